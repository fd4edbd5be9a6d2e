"""The reverse names that the provider must set."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.vise.platform.plugins.filter.ptr_advice import FilterModule, ptr_advice

HOSTVARS: dict[str, dict[str, Any]] = {
    "m": {"public_addresses": ["192.0.2.4", "2001:db8::4"]},
    "n": {"ansible_host": "mail-1"},
}


@pytest.mark.parametrize(
    ("members", "reverse"),
    [
        (["m"], ["4.2.0.192.in-addr.arpa", f"4{'.0' * 23}.8.b.d.0.1.0.0.2.ip6.arpa"]),
        (["n"], []),
        ([], []),
    ],
)
def test_each_address_of_the_mail_host_has_a_reverse_name(members: list[str], reverse: list[str]) -> None:
    found = ptr_advice("mail.example.test", {"mail": members}, HOSTVARS)
    assert [one["reverse"] for one in found] == reverse
    assert {one["name"] for one in found} <= {"mail.example.test"}


def test_missing_name_of_the_host_is_an_error() -> None:
    with pytest.raises(AnsibleFilterError, match="the name of the mail host"):
        ptr_advice("", {}, {})


def test_filter_has_its_name() -> None:
    assert FilterModule().filters() == {"ptr_advice": ptr_advice}
