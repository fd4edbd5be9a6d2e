"""The filter passes the options of a playbook."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.vise.platform.plugins.filter.dkim_rotation import FilterModule

rotation = FilterModule().filters()["dkim_rotation"]


def test_domain_without_a_key_gets_one() -> None:
    result = rotation([], ["a.test", "b.test"], settle="5")
    assert [one["domain"] for one in result["begin"]] == ["a.test", "b.test"]
    assert result["settle"] == 0


@pytest.mark.parametrize("times", [{"lifetime": 0}, {"overlap": -1}, {"settle": -1}])
def test_invalid_time_is_refused(times: dict[str, int]) -> None:
    with pytest.raises(AnsibleFilterError, match="no time can be negative"):
        rotation([], ["a.test"], **times)
