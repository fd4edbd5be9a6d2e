"""The plan of a move, for playbooks."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.vise.platform.plugins.filter.site_move import FilterModule, site_move

SITES = {"docs": {"domain": "docs.example.org", "group": "docs", "source": "/built", "moved_from": {"group": ["a"]}}}
HOSTVARS = {"a": {"ansible_host": "192.0.2.1"}, "b": {"ansible_host": "192.0.2.2"}}


def test_plan_has_the_hosts_and_the_addresses() -> None:
    move = site_move(SITES, "docs", {"docs": ["b"], "edge": ["b"]}, HOSTVARS)
    assert (move["problems"], move["old_hosts"], move["new_hosts"]) == ([], ["a"], ["b"])
    assert move["addresses"] == ["192.0.2.2"]
    assert move["sites_after"]["docs"].keys() == {"domain", "group", "source"}


def test_name_that_is_not_possible_is_an_error() -> None:
    sites = {"docs": {**SITES["docs"], "domain": "a" * 70 + "\u00fc.org"}}
    with pytest.raises(AnsibleFilterError):
        site_move(sites, "docs", {"docs": ["b"], "edge": ["b"]}, HOSTVARS)


def test_filter_has_its_name() -> None:
    assert FilterModule().filters() == {"site_move": site_move}
