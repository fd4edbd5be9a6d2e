# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Generate secrets, and decide which ones can be generated. No function writes or shows a value."""

from __future__ import annotations

import secrets as randomness
import typing as t
from collections.abc import Collection, Mapping

from .description import Schema
from .tls.x509 import make_ca

AUTHORITY = "authority"
TOKEN = "token-"  # noqa: S105  # the prefix of a kind
# The keys of the description that contain the authority
CERTIFICATE_KEY, PRIVATE_KEY = "internal_ca", "internal_ca_key"

# The variables that read each secret
Readers = Mapping[str, Collection[str]]


class SecretError(ValueError):
    """A secret cannot be generated; the text names it and what to do."""


class Decision(t.NamedTuple):
    """The secrets that can be generated, each with its kind, and the others, each with how to get it."""

    kinds: dict[str, str]
    issued: dict[str, str]


def make_password() -> str:
    """Return a password for programs, not for typing."""
    return randomness.token_urlsafe(24)


def make_token(length: int) -> str:
    """Return hexadecimal digits, for programs that accept no other characters."""
    return randomness.token_hex(length)[:length]


def make_value(kind: str) -> str:
    """Return a new secret of a kind."""
    return make_token(int(kind.removeprefix(TOKEN))) if kind.startswith(TOKEN) else make_password()


def make_authority() -> tuple[str, str]:
    """Return the certificate and the key of a new authority of the platform.

    Each has its own name: of two trusted authorities with the same name, some TLS libraries try only the first one.
    """
    return make_ca(f"vise internal CA {make_token(8)}")


def decide(missing: Readers, schema: Schema) -> Decision:
    """Return which of the missing secrets can be generated.

    A secret that a key without `x-generate` reads is never invented: a provider or a user knows it.
    """
    kinds, issued = {}, {}
    for secret, readers in missing.items():
        keys = [schema["properties"].get(reader, {}) for reader in readers]
        if all("x-generate" in key for key in keys):
            found = [str(key["x-generate"]) for key in keys]
            # A program with the strictest rules for its characters decides.
            kinds[secret] = max(found, key=lambda kind: (kind == AUTHORITY, kind.startswith(TOKEN)))
        else:
            advice = next((str(key["x-issued"]) for key in keys if "x-issued" in key), "")
            issued[secret] = advice or f"write the value that {', '.join(sorted(readers))} needs"
    return Decision(kinds, issued)


def generate(decision: Decision, missing: Readers) -> dict[str, str]:
    """Return new values for all secrets that can be generated.

    Raises:
        SecretError: only a part of the authority is missing.
    """
    values = {secret: make_value(kind) for secret, kind in decision.kinds.items() if kind != AUTHORITY}
    parts = {
        key: [secret for secret, kind in decision.kinds.items() if kind == AUTHORITY and key in missing[secret]]
        for key in (CERTIFICATE_KEY, PRIVATE_KEY)
    }
    if any(parts.values()):
        if not all(parts.values()):
            absent, present = (PRIVATE_KEY, CERTIFICATE_KEY) if parts[PRIVATE_KEY] else (CERTIFICATE_KEY, PRIVATE_KEY)
            raise SecretError(
                f"{', '.join(parts[absent])} is missing, but the value of {present} is present, and they belong "
                "together: add the missing value, or remove the present one so that both are generated"
            )
        for key, value in zip(parts, make_authority(), strict=True):
            values |= dict.fromkeys(parts[key], value)
    return values
