# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""International domain names in the form that the DNS, certificates and nginx use. Pure."""

from __future__ import annotations

import unicodedata

# Letters, marks and digits; everything else, such as symbols, is not possible in a domain (RFC 5892).
POSSIBLE = ("Ll", "Lo", "Lm", "Mn", "Mc", "Nd")
PREFIX = "xn--"


class DomainError(ValueError):
    """A name cannot be a domain; the text names the reason."""


def to_ascii(domain: str) -> str:
    """Return a domain with each international label in its ASCII form, such as `xn--bcher-kva` for `bücher`.

    A domain in ASCII is returned as it is. Raises DomainError for a label that the DNS cannot contain.
    """
    return domain if domain.isascii() else ".".join(map(_convert_label, domain.split(".")))


def _convert_label(label: str) -> str:
    if label.isascii():
        return label
    text = unicodedata.normalize("NFC", unicodedata.normalize("NFC", label).lower())
    wrong = next((sign for sign in text if sign != "-" and unicodedata.category(sign) not in POSSIBLE), "")
    if wrong or text != unicodedata.normalize("NFKC", text):
        raise DomainError(f"{label!r} is not a possible part of a domain: {wrong or text!r} is not a letter or a digit")
    if unicodedata.category(text[0]).startswith("M") or text.startswith("-") or text.endswith("-") or text[2:4] == "--":
        raise DomainError(f"{label!r} is not a possible part of a domain: it begins or ends with a wrong character")
    converted = PREFIX + text.encode("punycode").decode("ascii")
    if len(converted) > 63:
        raise DomainError(f"{label!r} is too long for a part of a domain: {len(converted)} of 63 characters")
    return converted
