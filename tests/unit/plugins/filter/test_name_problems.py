"""The names in a variable of a role are found that are not valid."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.filter.name_problems import FilterModule

name_problems = FilterModule().filters()["name_problems"]


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        (
            "redis_users",
            [{"name": "edu"}, {"name": False}],
            ["redis_users[1].name: the name is not text: YAML reads it"],
        ),
        (
            "pgbouncer_auth_user",
            7,
            ["pgbouncer_auth_user: the name is not text: YAML reads it as a number; quote it, and"],
        ),
        ("postgresql_slots", ["db_2", "DB 2"], ["postgresql_slots[1]: `DB 2` is not a valid name"]),
        (
            "postgresql_databases",
            [{"name": "edu", "owner": True, "read_only": ["a", False]}],
            [
                "postgresql_databases[0].owner: the name is not text: YAML reads it as true or false; quote it, as in ",
                "postgresql_databases[0].read_only[1]: the name is not text",
            ],
        ),
        ("postgresql_standby", {"host": "a", "user": "x y", "slot": "db_2"}, ["postgresql_standby.user: `x y` is not"]),
        ("postgresql_standby", {}, []),
        ("postgresql_databases", [{"name": "a", "owner": "a", "locale": "", "encoding": None}], []),
        # The language code of Norwegian
        ("postgresql_databases", [{"name": "a", "locale": False}], ["postgresql_databases[0].locale: the name is not"]),
        ("restic_sets", [{"name": "a", "paths": ["/b"]}], []),
        ("nginx_sites", [{"name": "docs", "root": None}], []),
        ("ssh_port", 22, []),
    ],
)
def test_names_in_a_variable_of_a_role_are_found(variable: str, value: Any, expected: list[str]) -> None:
    found = name_problems(value, variable)
    assert len(found) == len(expected)
    assert all(line.startswith(start) for line, start in zip(found, expected, strict=True)), found
