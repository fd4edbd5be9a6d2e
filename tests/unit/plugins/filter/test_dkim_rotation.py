"""The filter hands over what a playbook says."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.vise.platform.plugins.filter.dkim_rotation import FilterModule

rotation = FilterModule().filters()["dkim_rotation"]


def test_domain_without_a_key_needs_one() -> None:
    told = rotation([], ["a.test", "b.test"], settle="5")
    assert [one["domain"] for one in told["begin"]] == ["a.test", "b.test"]
    assert told["settle"] == 0


@pytest.mark.parametrize("times", [{"lifetime": 0}, {"overlap": -1}, {"settle": -1}])
def test_time_that_cannot_be_is_refused(times: dict[str, int]) -> None:
    with pytest.raises(AnsibleFilterError, match="no time is negative"):
        rotation([], ["a.test"], **times)
