"""What follows for one host from databases, caches and the inventory."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.vise.platform.plugins.filter.data_services import FilterModule, data_services

DATABASES = {"edu": {"clients": "edu", "password": "of edu", "extensions": ["pg_trgm"]}}
CACHES = {"edu": {"clients": "edu", "password": "of the cache"}}
REPLICATION, POOL = "of standbys", "of the pool"
ONE = {"database": ["a"], "cache": ["a"], "edu": ["a"]}
EACH = {"database": ["d"], "cache": ["c"], "edu": ["e"]}
SCALED = {**EACH, "database_standby": ["s-1"], "edu": ["e", "f"]}
HOSTVARS: dict[str, dict[str, Any]] = {
    "a": {"ansible_host": "10.0.0.1"},
    "c": {"ansible_host": "10.0.0.2"},
    "d": {"ansible_host": "192.0.2.3", "internal_addresses": ["10.0.0.3", "fd00::3"]},
    "e": {"ansible_host": "10.0.0.4"},
    "f": {"ansible_host": "10.0.0.5"},
    "s-1": {"ansible_host": "10.0.0.6"},
}


def of(host: str, groups: dict[str, list[str]]) -> dict[str, Any]:
    passwords = {"replication": REPLICATION, "pool": POOL}
    return data_services(DATABASES, host, groups, HOSTVARS, caches=CACHES, passwords=passwords)


@pytest.mark.parametrize(
    ("host", "groups", "database", "cache"),
    [
        ("a", ONE, "primary", True),
        ("d", EACH, "primary", False),
        ("c", EACH, "", True),
        ("e", EACH, "", False),
        ("s-1", SCALED, "standby", False),
    ],
)
def test_role_of_a_host_follows_from_its_groups(
    host: str, groups: dict[str, list[str]], database: str, cache: bool
) -> None:
    found = of(host, groups)
    assert (found["database"], found["cache"]) == (database, cache)


@pytest.mark.parametrize(
    ("host", "groups", "rules"),
    [
        ("a", ONE, {}),
        ("d", EACH, {"5432": ["10.0.0.4"], "6432": ["10.0.0.4"]}),
        ("c", EACH, {"6379": ["10.0.0.4"]}),
        ("e", EACH, {}),
        ("d", SCALED, {"5432": ["10.0.0.4", "10.0.0.5", "10.0.0.6"], "6432": ["10.0.0.4", "10.0.0.5"]}),
        (
            "s-1",
            SCALED,
            {"5432": ["10.0.0.4", "10.0.0.5", "10.0.0.3", "fd00::3"], "6432": ["10.0.0.4", "10.0.0.5"]},
        ),
    ],
)
def test_ports_are_open_to_clients_and_peers_only(
    host: str, groups: dict[str, list[str]], rules: dict[str, list[str]]
) -> None:
    assert {rule["port"]: rule["from"] for rule in of(host, groups)["firewall_allow"]} == rules


def test_database_is_owned_by_the_user_of_its_name_with_the_addresses_of_its_clients() -> None:
    found = of("d", EACH)
    assert found["databases"] == [{"name": "edu", "owner": "edu", "extensions": ["pg_trgm"]}]
    assert found["users"] == [
        {"name": "edu", "password": "of edu", "addresses": ["10.0.0.4/32"]},
        {"name": "pgbouncer", "password": POOL},
    ]
    assert found["pools"] == [{"name": "edu"}]
    assert (found["slots"], found["follows"]) == ([], {})


def test_standby_replicates_the_primary_through_its_own_slot() -> None:
    assert of("d", SCALED)["slots"] == ["s_1"]
    assert of("s-1", SCALED)["follows"] == {
        "host": "10.0.0.3",
        "user": "replication",
        "password": REPLICATION,
        "slot": "s_1",
    }
    (user,) = [user for user in of("d", SCALED)["users"] if user["name"] == "replication"]
    assert user["replication"] is True
    assert user["addresses"] == ["10.0.0.6/32", "10.0.0.3/32", "fd00::3/128"]


def test_cache_user_has_the_password_of_the_description() -> None:
    assert of("c", EACH)["cache_users"] == [{"name": "edu", "passwords": ["of the cache"]}]


@pytest.mark.parametrize("host", ["c", "d", "e"])
def test_host_without_a_store_gets_none_of_its_passwords(host: str) -> None:
    known = str(of(host, EACH))
    assert ("of edu" in known, "of the cache" in known) == (host == "d", host == "c")


@pytest.mark.parametrize(
    ("groups", "reason"),
    [
        ({"database": ["a", "d"]}, "group database: it has a, d, but only one host can be the primary"),
        ({"database": ["a"], "database_standby": ["a"]}, "group database_standby: a is also in database"),
        ({"database_standby": ["a"]}, "group database: it has no host"),
    ],
)
def test_contradictory_inventory_is_refused(groups: dict[str, list[str]], reason: str) -> None:
    with pytest.raises(AnsibleFilterError, match=reason):
        of("a", groups)


def test_platform_without_databases_has_no_data_services() -> None:
    found = FilterModule().filters()["data_services"]({}, "e", {"edu": ["e"]}, HOSTVARS)
    assert (found["database"], found["cache"], found["firewall_allow"]) == ("", False, [])


@pytest.mark.parametrize(
    ("standbys", "expected"),
    [
        (["s-1", "s.1"], "s-1 and s.1 would share the replication slot s_1; rename one of the hosts"),
        (["s" * 64], "is not a valid name; use lower-case letters, digits and underscores, at most 63"),
    ],
)
def test_standbys_without_a_slot_of_their_own_are_refused(standbys: list[str], expected: str) -> None:
    hostvars = {**HOSTVARS, **{name: {"ansible_host": f"10.0.1.{n}"} for n, name in enumerate(standbys)}}
    with pytest.raises(AnsibleFilterError, match=expected):
        data_services(DATABASES, "d", {**EACH, "database_standby": standbys}, hostvars)


def test_locale_of_a_database_reaches_the_role() -> None:
    databases = {"synapse": {"clients": "edu", "password": "of synapse", "locale": "C", "encoding": "UTF8"}}
    [found] = data_services(databases, "a", ONE, HOSTVARS)["databases"]
    assert found == {"name": "synapse", "owner": "synapse", "extensions": [], "locale": "C", "encoding": "UTF8"}
