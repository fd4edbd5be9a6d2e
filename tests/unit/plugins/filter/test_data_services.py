"""Databases and caches of one host as a filter. The tests of the derived values are those of the model."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.vise.platform.plugins.filter.data_services import FilterModule

DERIVE = FilterModule().filters()["data_services"]
HOSTVARS = {"a": {"ansible_host": "10.0.0.1"}, "b": {"ansible_host": "10.0.0.2"}}


def test_cluster_without_databases_and_passwords_has_the_users_of_the_platform() -> None:
    found = DERIVE(None, "a", {"database": ["a"], "cache": ["a"]}, HOSTVARS)
    assert (found["database"], found["databases"], found["cache_users"]) == ("primary", [], [])
    assert [user["password"] for user in found["users"]] == [""]


def test_contradiction_is_an_error_of_the_filter() -> None:
    with pytest.raises(AnsibleFilterError, match="only one host can be the primary"):
        DERIVE({}, "a", {"database": ["a", "b"]}, HOSTVARS)
