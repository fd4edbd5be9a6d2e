"""The MTA-STS policy."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.vise.platform.plugins.filter.mta_sts_policy import FilterModule, mta_sts_policy

MAIL = {"host": "mail.example.test", "domains": ["example.test"], "reports": "postmaster@example.test"}


@pytest.mark.parametrize(
    ("options", "mode", "age"), [({}, "testing", 604800), ({"mta_sts": "enforce"}, "enforce", 604800)]
)
def test_policy_has_mode_and_mail_host(options: dict[str, str], mode: str, age: int) -> None:
    expected = f"version: STSv1\nmode: {mode}\nmx: mail.example.test\nmax_age: {age}\n"
    assert mta_sts_policy({**MAIL, **options}) == expected


def test_unknown_key_is_named() -> None:
    with pytest.raises(AnsibleFilterError, match="mode"):
        mta_sts_policy({**MAIL, "mode": "enforce"})


def test_filter_has_its_name() -> None:
    assert FilterModule().filters() == {"mta_sts_policy": mta_sts_policy}
