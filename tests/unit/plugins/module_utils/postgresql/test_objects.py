"""What is done to users, databases and grants."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.postgresql import objects, scram
from ansible_collections.vise.platform.plugins.module_utils.postgresql.description import READ_ONLY, READ_WRITE
from ansible_collections.vise.platform.plugins.module_utils.postgresql.objects import (
    MARK,
    PRIVILEGES,
    Database,
    Found,
    Inside,
    Role,
    Slot,
    Wanted,
)

KINDS = ("SCHEMA", "TABLE", "SEQUENCE")
DATABASE: dict[str, Any] = {
    "name": "edu",
    "owner": "own",
    "read_write": ["app"],
    "read_only": ["report"],
    "extensions": ["pg_trgm"],
    "connection_limit": -1,
}


def user(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "password": name, "connection_limit": -1, "roles": [], "replication": False, **more}


USERS = [user("own"), user("app"), user("report")]
WANTED = Wanted([DATABASE], USERS, ["pg_stat_statements"], ["b"])


def settled() -> Found:
    """Return a cluster in which everything is as wanted."""
    roles = {one["name"]: Role(login=True, verifier=scram.verifier(one["name"]), comment=MARK) for one in USERS}
    roles |= {"edu" + suffix: Role(comment=MARK) for suffix in PRIVILEGES}
    inside = Inside(
        frozenset({"pg_trgm"}),
        ("public",),
        (("TABLE", "public", "courses"), ("SEQUENCE", "public", "ids")),
        {
            ("edu" + suffix, kind, "public", name): PRIVILEGES[suffix][kind]
            for suffix in PRIVILEGES
            for kind, name in (("SCHEMA", "public"), ("TABLE", "courses"), ("SEQUENCE", "ids"))
        },
        {("edu" + suffix, kind): PRIVILEGES[suffix][kind] for suffix in PRIVILEGES for kind in KINDS},
    )
    return Found(
        {**roles, "postgres": Role(login=True, superuser=True)},
        frozenset({("edu" + READ_WRITE, "app"), ("edu" + READ_ONLY, "report")}),
        {
            "postgres": Database("postgres", inside=Inside(frozenset({"pg_stat_statements"}))),
            "edu": Database(
                "own", -1, {"edu" + suffix: PRIVILEGES[suffix]["DATABASE"] for suffix in PRIVILEGES}, inside
            ),
        },
        {"b": Slot()},
        frozenset({"pg_trgm", "pg_stat_statements"}),
    )


def texts(wanted: Wanted, found: Found) -> list[str]:
    return [step.text for step in objects.plan(wanted, found)]


def test_a_settled_cluster_is_left_alone() -> None:
    assert texts(WANTED, settled()) == []


def test_an_empty_cluster_gets_everything_in_an_order_that_works() -> None:
    steps = objects.plan(WANTED, Found())
    order = [step.text for step in steps]
    assert (
        order.index("create user own")
        < order.index("create database edu")
        < order.index("edu: create extension pg_trgm")
    )
    assert order.index("create group edu_read_write") < order.index("put app into edu_read_write")
    assert [step.text for step in steps if step.alone] == ["create database edu"]


def test_no_statement_or_text_holds_a_password() -> None:
    secret = "a word like no other"  # noqa: S105
    steps = objects.plan(dataclasses.replace(WANTED, users=[user("own", password=secret), *USERS[1:]]), Found())
    assert not [step for step in steps if secret in step.sql + step.text]
    assert any("PASSWORD 'SCRAM-SHA-256$4096:" in step.sql for step in steps)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"verifier": scram.verifier("other")}, ["user app: set password"]),
        ({"verifier": ""}, ["user app: set password"]),
        ({"superuser": True}, ["user app: set superuser"]),
        ({"login": False}, ["user app: set login"]),
        ({"limit": 3, "createdb": True}, ["user app: set createdb, limit"]),
        ({"comment": ""}, ["mark user app as managed"]),
    ],
)
def test_drift_of_a_user_is_mended(change: dict[str, Any], expected: list[str]) -> None:
    found = settled()
    roles = {**found.roles, "app": dataclasses.replace(found.roles["app"], **change)}
    assert texts(WANTED, dataclasses.replace(found, roles=roles)) == expected


def test_mended_user_is_no_superuser() -> None:
    found = settled()
    roles = {**found.roles, "app": dataclasses.replace(found.roles["app"], superuser=True)}
    (step,) = objects.plan(WANTED, dataclasses.replace(found, roles=roles))
    assert " NOSUPERUSER " in step.sql


def test_user_who_is_no_longer_described_is_locked_once_and_kept() -> None:
    found = settled()
    wanted = dataclasses.replace(WANTED, users=USERS[:2], databases=[{**DATABASE, "read_only": []}])
    assert texts(wanted, found) == [
        "lock user report",
        "end the sessions of report",
        "take report out of edu_read_only",
    ]
    locked = dataclasses.replace(found.roles["report"], login=False)
    found = dataclasses.replace(
        found, roles={**found.roles, "report": locked}, members=frozenset({("edu_read_write", "app")})
    )
    assert texts(wanted, found) == []
    assert texts(WANTED, found) == ["user report: set login", "put report into edu_read_only"]


def test_users_whom_nobody_described_are_left_alone() -> None:
    found = settled()
    roles = {**found.roles, "somebody": Role(login=True)}
    members = found.members | {("pg_monitor", "somebody")}
    assert texts(WANTED, dataclasses.replace(found, roles=roles, members=members)) == []


@pytest.mark.parametrize(
    ("pair", "expected"),
    [
        (("pg_read_all_data", "app"), "take app out of pg_read_all_data"),
        (("edu_read_write", "somebody"), "take somebody out of edu_read_write"),
    ],
)
def test_memberships_that_are_not_described_end(pair: tuple[str, str], expected: str) -> None:
    found = settled()
    assert texts(WANTED, dataclasses.replace(found, members=found.members | {pair})) == [expected]


def inside(**change: Any) -> Found:
    found = settled()
    edu = found.databases["edu"]
    edu = dataclasses.replace(edu, inside=dataclasses.replace(edu.inside, **change))
    return dataclasses.replace(found, databases={**found.databases, "edu": edu})


GRANTS = settled().databases["edu"].inside.grants
DEFAULTS = settled().databases["edu"].inside.defaults
COURSES = ("edu_read_only", "TABLE", "public", "courses")


@pytest.mark.parametrize(
    ("found", "statements"),
    [
        (
            inside(grants={**GRANTS, COURSES: frozenset({"SELECT", "DELETE"})}),
            ['REVOKE DELETE ON TABLE "public"."courses" FROM "edu_read_only"'],
        ),
        (
            inside(grants={**GRANTS, COURSES: frozenset({"INSERT"})}),
            [
                'REVOKE INSERT ON TABLE "public"."courses" FROM "edu_read_only"',
                'GRANT SELECT ON TABLE "public"."courses" TO "edu_read_only"',
            ],
        ),
        (
            inside(defaults={**DEFAULTS, ("edu_read_only", "TABLE"): frozenset()}),
            ['ALTER DEFAULT PRIVILEGES FOR ROLE "own" GRANT SELECT ON TABLES TO "edu_read_only"'],
        ),
        (
            inside(extensions=frozenset()),
            ['SET LOCAL search_path = public; CREATE EXTENSION "pg_trgm"'],
        ),
        (inside(extensions=frozenset({"pg_trgm", "hstore"})), []),
    ],
)
def test_drift_inside_a_database_is_mended(found: Found, statements: list[str]) -> None:
    assert [(step.database, step.sql) for step in objects.plan(WANTED, found)] == [("edu", sql) for sql in statements]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"owner": "app"}, ["edu: owner own"]),
        ({"limit": 7}, ["edu: connection limit -1"]),
        (
            {"grants": {**settled().databases["edu"].grants, "": frozenset({"CONNECT"})}},
            ["edu: take everybody's rights"],
        ),
    ],
)
def test_drift_of_a_database_is_mended(change: dict[str, Any], expected: list[str]) -> None:
    found = settled()
    edu = dataclasses.replace(found.databases["edu"], **change)
    assert texts(WANTED, dataclasses.replace(found, databases={**found.databases, "edu": edu})) == expected


def test_databases_that_nobody_describes_stay() -> None:
    assert not [step for step in objects.plan(Wanted(), settled()) if "DROP" in step.sql]


@pytest.mark.parametrize(
    ("slots", "expected"),
    [
        ({}, ["create slot b"]),
        ({"b": Slot(lost=True)}, ["drop slot b, whose WAL is gone", "create slot b"]),
        ({"b": Slot(), "old": Slot()}, []),
    ],
)
def test_slots_are_there(slots: dict[str, Slot], expected: list[str]) -> None:
    assert texts(WANTED, dataclasses.replace(settled(), slots=slots)) == expected


def test_a_slot_that_nobody_described_is_warned_about() -> None:
    found = dataclasses.replace(settled(), slots={"b": Slot(), "old": Slot()})
    assert [text.split()[1] for text in objects.warnings(WANTED, found)] == ["old"]


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        (dataclasses.replace(WANTED, extensions=["postgis"]), "there is no extension postgis"),
        (Wanted(users=[user("a", roles=["pg_no_such"])]), "PostgreSQL has no role pg_no_such"),
    ],
)
def test_what_the_server_does_not_have_is_told_before(wanted: Wanted, says: str) -> None:
    (problem,) = objects.problems(wanted, settled())
    assert says in problem


def test_names_and_texts_are_quoted() -> None:
    assert (objects.ident('a"b'), objects.literal("it's")) == ('"a""b"', "'it''s'")


def test_who_follows_may_rewind_and_nobody_else() -> None:
    marked = {name: objects.Role(comment=objects.MARK) for name in ("gone", "kept")}
    found = Found(roles=marked, rewinders=frozenset({"gone", "somebody"}))
    steps = objects.plan(Wanted(users=[user("kept", replication=True)]), found)
    said = [step.text for step in steps if "rewind" in step.text]
    assert said == ["let kept rewind", "let gone rewind no more"]
