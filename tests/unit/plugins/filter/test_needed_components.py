"""The components that the functions of a host need."""

from __future__ import annotations

import pytest
from ansible_collections.vise.platform.plugins.filter.needed_components import FilterModule, needed_components

SITES = {"docs": {"domain": "docs.example.test", "group": "docs", "root": "/srv/docs"}}


@pytest.mark.parametrize(
    ("groups", "needed"),
    [
        ({}, []),
        ({"cache": ["a"]}, ["redis"]),
        ({"cache": ["b"], "database_standby": ["a"]}, ["postgresql", "pgbouncer", "pgbackrest"]),
        ({"mail": ["a"]}, ["docker", "mailcow"]),
        ({"edge": ["a"], "docs": ["b"]}, ["nginx", "certificates"]),
        ({"edge": ["b"], "docs": ["a"]}, ["nginx", "certificates"]),
        ({"edge": ["b"], "docs": ["b"], "edu": ["a"]}, ["docker"]),
    ],
)
def test_functions_of_a_host_need_their_components(groups: dict[str, list[str]], needed: list[str]) -> None:
    hostvars = {name: {"ansible_host": f"192.0.2.{number}"} for number, name in enumerate(("a", "b"), 1)}
    assert needed_components(SITES, "a", {"all": ["a", "b"], **groups}, hostvars) == needed


def test_filter_has_its_name() -> None:
    assert FilterModule().filters() == {"needed_components": needed_components}
