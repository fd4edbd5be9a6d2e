from __future__ import annotations

import idna
import pytest
from ansible_collections.vise.platform.plugins.module_utils.model.domains import DomainError, to_ascii

NAMES = ["bücher.example", "straße.de", "faß.de", "παράδειγμα.gr", "пример.рф", "例え.jp", "मराठी.भारत", "a-ö.example"]


@pytest.mark.parametrize("name", NAMES)
def test_international_name_is_converted_as_by_the_standard(name: str) -> None:
    assert to_ascii(name) == idna.encode(name).decode()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("docs.example.org", "docs.example.org"),
        ("*.example.org", "*.example.org"),
        ("*.bücher.example", "*.xn--bcher-kva.example"),
        ("Bücher.example", "xn--bcher-kva.example"),
        ("bu\u0308cher.example", "xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("a--ü.example", "xn--a---joa.example"),
    ],
)
def test_one_name_has_one_form(name: str, expected: str) -> None:
    assert to_ascii(name) == expected


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("💩.la", "is not a letter or a digit"),
        ("a\u200db.example", "is not a letter or a digit"),
        ("ü b.example", "is not a letter or a digit"),
        ("ﬁü.example", "is not a letter or a digit"),
        ("ü-.example", "begins or ends with a wrong character"),
        ("-ü.example", "begins or ends with a wrong character"),
        ("ab--ü.example", "begins or ends with a wrong character"),
        ("\u0308u.example", "begins or ends with a wrong character"),
        ("ü" * 60 + ".example", "is too long"),
    ],
)
def test_impossible_name_is_an_error(name: str, reason: str) -> None:
    with pytest.raises(DomainError, match=reason):
        to_ascii(name)
