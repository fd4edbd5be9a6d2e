"""Plans for users, databases and grants."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.postgresql import objects, scram
from ansible_collections.vise.platform.plugins.module_utils.postgresql.description import READ_ONLY, READ_WRITE
from ansible_collections.vise.platform.plugins.module_utils.postgresql.objects import (
    MARK,
    PRIVILEGES,
    CurrentState,
    Database,
    DatabaseContent,
    DesiredState,
    Role,
    Slot,
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
DESIRED = DesiredState([DATABASE], USERS, ["pg_stat_statements"], ["b"])


def settled() -> CurrentState:
    """Return a cluster whose state is the desired one."""
    roles = {one["name"]: Role(login=True, verifier=scram.verifier(one["name"]), comment=MARK) for one in USERS}
    roles |= {"edu" + suffix: Role(comment=MARK) for suffix in PRIVILEGES}
    inside = DatabaseContent(
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
    return CurrentState(
        {**roles, "postgres": Role(login=True, superuser=True)},
        frozenset({("edu" + READ_WRITE, "app"), ("edu" + READ_ONLY, "report")}),
        {
            "postgres": Database("postgres", content=DatabaseContent(frozenset({"pg_stat_statements"}))),
            "edu": Database(
                "own", -1, {"edu" + suffix: PRIVILEGES[suffix]["DATABASE"] for suffix in PRIVILEGES}, inside
            ),
        },
        {"b": Slot()},
        frozenset({"pg_trgm", "pg_stat_statements"}),
    )


def texts(desired: DesiredState, current: CurrentState) -> list[str]:
    return [step.text for step in objects.plan(desired, current)]


def test_cluster_in_the_desired_state_is_not_changed() -> None:
    assert texts(DESIRED, settled()) == []


def test_empty_cluster_gets_all_objects_in_a_working_order() -> None:
    steps = objects.plan(DESIRED, CurrentState())
    order = [step.text for step in steps]
    assert (
        order.index("create user own")
        < order.index("create database edu")
        < order.index("edu: create extension pg_trgm")
    )
    assert order.index("create group edu_read_write") < order.index("add app to edu_read_write")
    assert [step.text for step in steps if step.autocommit] == ["create database edu"]


def test_no_statement_or_text_contains_a_password() -> None:
    secret = "a word like no other"  # noqa: S105
    steps = objects.plan(dataclasses.replace(DESIRED, users=[user("own", password=secret), *USERS[1:]]), CurrentState())
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
def test_drift_of_a_user_is_corrected(change: dict[str, Any], expected: list[str]) -> None:
    current = settled()
    roles = {**current.roles, "app": dataclasses.replace(current.roles["app"], **change)}
    assert texts(DESIRED, dataclasses.replace(current, roles=roles)) == expected


def test_corrected_user_is_not_superuser() -> None:
    current = settled()
    roles = {**current.roles, "app": dataclasses.replace(current.roles["app"], superuser=True)}
    (step,) = objects.plan(DESIRED, dataclasses.replace(current, roles=roles))
    assert " NOSUPERUSER " in step.sql


def test_user_that_is_no_longer_described_is_locked_once_and_kept() -> None:
    current = settled()
    desired = dataclasses.replace(DESIRED, users=USERS[:2], databases=[{**DATABASE, "read_only": []}])
    assert texts(desired, current) == [
        "lock user report",
        "end the sessions of report",
        "remove report from edu_read_only",
    ]
    locked = dataclasses.replace(current.roles["report"], login=False)
    current = dataclasses.replace(
        current, roles={**current.roles, "report": locked}, members=frozenset({("edu_read_write", "app")})
    )
    assert texts(desired, current) == []
    assert texts(DESIRED, current) == ["user report: set login", "add report to edu_read_only"]


def test_users_that_were_never_described_are_not_changed() -> None:
    current = settled()
    roles = {**current.roles, "other": Role(login=True)}
    members = current.members | {("pg_monitor", "other")}
    assert texts(DESIRED, dataclasses.replace(current, roles=roles, members=members)) == []


@pytest.mark.parametrize(
    ("pair", "expected"),
    [
        (("pg_read_all_data", "app"), "remove app from pg_read_all_data"),
        (("edu_read_write", "other"), "remove other from edu_read_write"),
    ],
)
def test_undescribed_memberships_are_revoked(pair: tuple[str, str], expected: str) -> None:
    current = settled()
    assert texts(DESIRED, dataclasses.replace(current, members=current.members | {pair})) == [expected]


def inside(**change: Any) -> CurrentState:
    current = settled()
    edu = current.databases["edu"]
    edu = dataclasses.replace(edu, content=dataclasses.replace(edu.content, **change))
    return dataclasses.replace(current, databases={**current.databases, "edu": edu})


GRANTS = settled().databases["edu"].content.grants
DEFAULTS = settled().databases["edu"].content.defaults
COURSES = ("edu_read_only", "TABLE", "public", "courses")


@pytest.mark.parametrize(
    ("current", "statements"),
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
def test_drift_inside_a_database_is_corrected(current: CurrentState, statements: list[str]) -> None:
    assert [(step.database, step.sql) for step in objects.plan(DESIRED, current)] == [
        ("edu", sql) for sql in statements
    ]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"owner": "app"}, ["edu: owner own"]),
        ({"limit": 7}, ["edu: connection limit -1"]),
        (
            {"grants": {**settled().databases["edu"].grants, "": frozenset({"CONNECT"})}},
            ["edu: revoke the privileges of PUBLIC"],
        ),
    ],
)
def test_drift_of_a_database_is_corrected(change: dict[str, Any], expected: list[str]) -> None:
    current = settled()
    edu = dataclasses.replace(current.databases["edu"], **change)
    assert texts(DESIRED, dataclasses.replace(current, databases={**current.databases, "edu": edu})) == expected


def test_undescribed_databases_are_not_dropped() -> None:
    assert not [step for step in objects.plan(DesiredState(), settled()) if "DROP" in step.sql]


@pytest.mark.parametrize(
    ("slots", "expected"),
    [
        ({}, ["create slot b"]),
        ({"b": Slot(lost=True)}, ["drop slot b, whose WAL is lost", "create slot b"]),
        ({"b": Slot(), "old": Slot()}, []),
    ],
)
def test_missing_and_lost_slots_are_created(slots: dict[str, Slot], expected: list[str]) -> None:
    assert texts(DESIRED, dataclasses.replace(settled(), slots=slots)) == expected


def test_undescribed_slot_causes_a_warning() -> None:
    current = dataclasses.replace(settled(), slots={"b": Slot(), "old": Slot()})
    assert [text.split()[1] for text in objects.list_warnings(DESIRED, current)] == ["old"]


@pytest.mark.parametrize(
    ("desired", "message"),
    [
        (dataclasses.replace(DESIRED, extensions=["postgis"]), "extension postgis is not available"),
        (DesiredState(users=[user("a", roles=["pg_no_such"])]), "PostgreSQL has no role pg_no_such"),
    ],
)
def test_unsupported_extension_or_role_is_reported_before_the_plan(desired: DesiredState, message: str) -> None:
    (problem,) = objects.find_problems(desired, settled())
    assert message in problem


def test_identifiers_and_literals_are_quoted() -> None:
    assert (objects.quote_ident('a"b'), objects.quote_literal("it's")) == ('"a""b"', "'it''s'")


def test_only_replication_users_may_rewind() -> None:
    marked = {name: objects.Role(comment=objects.MARK) for name in ("gone", "kept")}
    current = CurrentState(roles=marked, rewinders=frozenset({"gone", "other"}))
    steps = objects.plan(DesiredState(users=[user("kept", replication=True)]), current)
    texts_of_rewind = [step.text for step in steps if "rewind" in step.text]
    assert texts_of_rewind == ["allow pg_rewind for kept", "forbid pg_rewind for gone"]
