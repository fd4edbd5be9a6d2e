"""Lines of pg_hba.conf for users and rules, and refused descriptions."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.vise.platform.plugins.filter.postgresql_hba import FIRST, LAST, FilterModule, postgresql_hba

DATABASES = [
    {"name": "edu", "owner": "edu", "read_write": ["app"], "read_only": ["report"]},
    {"name": "docs", "owner": "docs", "read_only": ["report"]},
]
OWNERS = [{"name": "edu"}, {"name": "docs"}, {"name": "app"}, {"name": "report"}]
NETWORK = "192.0.2.0/24"


def derived(*users: dict[str, Any], rules: list[dict[str, Any]] | None = None) -> list[str]:
    others = [owner for owner in OWNERS if owner["name"] not in [user["name"] for user in users]]
    people = [{"password": "word", **user} for user in users]
    lines = FilterModule().filters()["postgresql_hba"](DATABASES, [*people, *others], rules)
    assert lines[: len(FIRST)] == FIRST
    assert lines[-len(LAST) :] == LAST
    return list(lines[len(FIRST) : -len(LAST)])


@pytest.mark.parametrize(
    ("user", "lines"),
    [
        ({"name": "edu", "addresses": [NETWORK]}, [f'hostssl "edu" "edu" {NETWORK} scram-sha-256']),
        ({"name": "edu", "addresses": []}, []),
        (
            {"name": "app", "addresses": [NETWORK, "2001:db8::/32"]},
            [
                f'hostssl "edu" "app" {NETWORK} scram-sha-256',
                'hostssl "edu" "app" 2001:db8::/32 scram-sha-256',
            ],
        ),
        ({"name": "report", "addresses": [NETWORK]}, [f'hostssl "edu","docs" "report" {NETWORK} scram-sha-256']),
        ({"name": "stranger", "addresses": [NETWORK]}, []),
        (
            {"name": "watch", "addresses": [NETWORK], "roles": ["pg_monitor"]},
            [f'hostssl "postgres","edu","docs" "watch" {NETWORK} scram-sha-256'],
        ),
        (
            {"name": "follow", "addresses": [NETWORK], "replication": True},
            [f'hostssl replication,postgres "follow" {NETWORK} scram-sha-256'],
        ),
    ],
)
def test_user_may_connect_to_the_databases_that_name_it(user: dict[str, Any], lines: list[str]) -> None:
    assert derived(user) == lines


@pytest.mark.parametrize(
    ("rule", "line"),
    [
        ({"type": "local", "users": ["edu"], "method": "peer"}, "local all edu peer"),
        (
            {"type": "local", "method": "peer", "options": {"map": "people"}},
            'local all all peer map="people"',
        ),
        (
            {"type": "hostssl", "databases": ["edu"], "addresses": [NETWORK], "method": "cert"},
            f"hostssl edu all {NETWORK} cert",
        ),
    ],
)
def test_rule_becomes_a_line(rule: dict[str, Any], line: str) -> None:
    assert derived(rules=[rule]) == [line]


@pytest.mark.parametrize(
    ("users", "rules", "message"),
    [
        (OWNERS[1:], [], "edu: the owner edu is not in the list of users"),
        (OWNERS[:2], [], "edu: the reader or writer app is not in the list of users"),
        ([*OWNERS, {"name": "edu"}], [], "edu is listed twice"),
        ([*OWNERS, {"name": "postgres"}], [], "`postgres` is reserved by PostgreSQL"),
        ([*OWNERS, {"name": "Edu-1"}], [], "`Edu-1` is not a valid name; use lower-case letters"),
        ([*OWNERS, {"name": "edu_read_only"}], [], "`edu_read_only` is the name of a group"),
        ([*OWNERS, {"name": "a", "password": "pässword"}], [], "a: the password"),
        ([*OWNERS, {"name": "a", "addresses": ["10.0.0.1/8"]}], [], "10.0.0.1/8"),
        ([*OWNERS, {"name": "a", "addresses": [NETWORK]}], [], "a: a user with addresses needs a password"),
        (OWNERS, [{"type": "host", "addresses": [NETWORK], "method": "cert"}], "only allowed with method reject"),
        (OWNERS, [{"type": "hostssl", "method": "reject"}], "addresses are missing"),
        (
            OWNERS,
            [{"type": "hostssl", "addresses": [NETWORK], "method": "peer"}],
            "method peer is only allowed with type local",
        ),
        (OWNERS, [{"type": "local", "users": ["a b"], "method": "peer"}], "a b"),
    ],
)
def test_inconsistent_description_is_refused(
    users: list[dict[str, Any]], rules: list[dict[str, Any]], message: str
) -> None:
    with pytest.raises(AnsibleFilterError, match=message):
        postgresql_hba(DATABASES, users, rules)
