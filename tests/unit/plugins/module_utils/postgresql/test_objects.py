"""Plans for users, databases and grants."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.postgresql import extensions, objects, scram
from ansible_collections.vise.platform.plugins.module_utils.postgresql.description import READ_ONLY, READ_WRITE
from ansible_collections.vise.platform.plugins.module_utils.postgresql.objects import (
    MARK,
    PRIVILEGES,
    CurrentState,
    Database,
    DatabaseContent,
    DesiredState,
    Role,
    Setting,
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
        {"pg_trgm": frozenset(), "pg_stat_statements": frozenset()},
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
        (
            dataclasses.replace(DESIRED, extensions=["postgis"]),
            "extension postgis is not available on this",
        ),
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


REQUIRED = {
    "cube": frozenset[str](),
    "earthdistance": frozenset({"cube"}),
    "postgis": frozenset[str](),
    "fuzzystrmatch": frozenset[str](),
    "postgis_tiger_geocoder": frozenset({"postgis", "fuzzystrmatch"}),
    "plpython3u": frozenset({"absent"}),
}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (["earthdistance", "cube"], ["cube", "earthdistance"]),
        (["cube", "earthdistance"], ["cube", "earthdistance"]),
        (
            ["postgis_tiger_geocoder", "cube", "fuzzystrmatch", "postgis"],
            ["cube", "fuzzystrmatch", "postgis", "postgis_tiger_geocoder"],
        ),
        (["unknown", "cube"], ["unknown", "cube"]),
    ],
)
def test_extensions_follow_those_that_they_require(wanted: list[str], expected: list[str]) -> None:
    assert extensions.order_extensions(wanted, REQUIRED) == expected


@pytest.mark.parametrize(
    ("wanted", "created", "expected"),
    [
        (["earthdistance", "cube"], [], []),
        (["earthdistance"], ["cube"], []),
        (["earthdistance"], ["cube", "earthdistance"], []),
        (["earthdistance"], [], ["edu: extension earthdistance requires cube: add cube to the extensions"]),
        (["plpython3u"], [], ["edu: extension plpython3u requires absent: add absent to the extensions"]),
        (
            ["nowhere"],
            [],
            ["edu: extension nowhere is not available on this host: install its package by"],
        ),
    ],
)
def test_missing_extensions_are_reported_with_those_that_need_them(
    wanted: list[str], created: list[str], expected: list[str]
) -> None:
    found = extensions.find_problems("edu", wanted, created, REQUIRED)
    assert [line[: len(start)] for line, start in zip(found, expected, strict=True)] == expected


def test_plan_creates_extensions_in_their_order() -> None:
    desired = dataclasses.replace(DESIRED, databases=[{**DATABASE, "extensions": ["earthdistance", "pg_trgm", "cube"]}])
    current = dataclasses.replace(settled(), available={**(settled().available or {}), **REQUIRED})
    assert objects.find_problems(desired, current) == []
    assert texts(desired, current) == ["edu: create extension cube", "edu: create extension earthdistance"]


@pytest.mark.parametrize(
    ("change", "attribute"),
    [
        ({"valid_until": "2020-01-01 00:00:00+00"}, "VALID UNTIL 'infinity'"),
        ({"inherit": False}, " INHERIT "),
        ({"limit": 0}, "CONNECTION LIMIT -1"),
        ({"login": False}, 'ROLE "app" LOGIN'),
    ],
)
def test_attribute_that_prevents_a_login_is_corrected(change: dict[str, Any], attribute: str) -> None:
    current = settled()
    current = dataclasses.replace(
        current, roles={**current.roles, "app": dataclasses.replace(current.roles["app"], **change)}
    )
    [step] = objects.plan(DESIRED, current)
    assert attribute in step.sql


@pytest.mark.parametrize(
    ("setting", "statement"),
    [
        (Setting("app", "", "default_transaction_read_only"), 'ALTER ROLE "app" RESET default_transaction_read_only'),
        (Setting("app", "edu", "role"), 'ALTER ROLE "app" IN DATABASE "edu" RESET role'),
        (Setting("", "edu", "session_preload_libraries"), 'ALTER DATABASE "edu" RESET session_preload_libraries'),
        (Setting("", "", "transaction_read_only"), "ALTER ROLE ALL RESET transaction_read_only"),
    ],
)
def test_setting_that_prevents_work_is_reset(setting: Setting, statement: str) -> None:
    assert [
        one.sql for one in objects.plan(DESIRED, dataclasses.replace(settled(), settings=frozenset({setting})))
    ] == [statement]


def test_other_settings_of_described_users_are_reported() -> None:
    found = {Setting("app", "", "search_path"), Setting("stranger", "", "role"), Setting("", "other", "role")}
    current = dataclasses.replace(settled(), settings=frozenset(found))
    assert texts(DESIRED, current) == []
    [warning] = objects.list_warnings(DESIRED, current)
    assert 'ALTER ROLE "app" RESET search_path' in warning


def test_membership_without_inheritance_is_corrected() -> None:
    pair = ("edu" + READ_WRITE, "app")
    [step] = objects.plan(DESIRED, dataclasses.replace(settled(), uninherited=frozenset({pair, ("x", "y")})))
    assert step.sql == 'GRANT "edu_read_write" TO "app" WITH INHERIT TRUE'


def with_owners(owners: dict[str, int], **change: Any) -> CurrentState:
    current = settled()
    content = dataclasses.replace(current.databases["edu"].content, owners=owners)
    edu = dataclasses.replace(current.databases["edu"], **{"content": content, **change})
    return dataclasses.replace(current, databases={**current.databases, "edu": edu})


def test_new_owner_gets_the_objects_and_the_former_one_keeps_its_other_databases() -> None:
    current = with_owners({"shop": 3, "own": 1}, owner="shop")
    holdings = {("DATABASE", "edu", "shop"), ("DATABASE", "blog", "shop"), ("DATABASE", "x", "own")}
    current = dataclasses.replace(
        current,
        roles={**current.roles, "shop": Role(login=True, comment=MARK)},
        holdings=frozenset({*holdings, ("TABLESPACE", "fast", "shop")}),
    )
    steps = objects.plan(DESIRED, current)
    assert [step.sql for step in steps if step.database == "edu"] == [
        'REASSIGN OWNED BY "shop" TO "own"',
        'ALTER DATABASE "blog" OWNER TO "shop"',
        'ALTER TABLESPACE "fast" OWNER TO "shop"',
    ]
    assert "edu: owner own" in [step.text for step in steps]


def test_objects_of_a_locked_owner_follow_in_a_later_run() -> None:
    current = with_owners({"shop": 3})
    current = dataclasses.replace(current, roles={**current.roles, "shop": Role(comment=MARK)})
    assert texts(DESIRED, current) == ["edu: the objects of shop belong to own"]


@pytest.mark.parametrize("holder", ["postgres", "stranger", "app"])
def test_objects_of_others_are_reported_and_not_changed(holder: str) -> None:
    current = with_owners({holder: 2})
    assert texts(DESIRED, current) == []
    [warning] = objects.list_warnings(DESIRED, current)
    assert f"2 objects belong to {holder}" in warning


def test_closed_database_is_opened_before_its_content_is_read() -> None:
    current = with_owners({}, open=False)
    [step] = objects.plan_entry(DESIRED, current)
    assert step.sql == 'ALTER DATABASE "edu" ALLOW_CONNECTIONS true'
    assert texts(DESIRED, current) == ["edu: permit connections"]
    assert objects.plan_entry(DESIRED, settled()) == []


@pytest.mark.parametrize(
    ("place", "withheld", "granted", "reported"),
    [
        (
            ("TABLE", "public", "t"),
            {"SELECT", "INSERT"},
            'SELECT ON TABLE "public"."t"',
            'INSERT on TABLE "public"."t"',
        ),
        (("TABLE", "public", "t"), {"SELECT"}, 'SELECT ON TABLE "public"."t"', ""),
        # An application may revoke from itself what would change a table that only grows.
        (("TABLE", "public", "log"), {"DELETE", "UPDATE"}, "", 'DELETE, UPDATE on TABLE "public"."log"'),
        (("SCHEMA", "s", "s"), {"USAGE", "CREATE"}, 'USAGE ON SCHEMA "s"', 'CREATE on SCHEMA "s"'),
        (("SEQUENCE", "public", "n"), {"SELECT"}, 'SELECT ON SEQUENCE "public"."n"', ""),
    ],
)
def test_owner_reads_its_own_objects_and_other_revoked_privileges_are_reported(
    place: tuple[str, str, str], withheld: set[str], granted: str, reported: str
) -> None:
    current = with_owners({})
    content = dataclasses.replace(current.databases["edu"].content, withheld={place: frozenset(withheld)})
    databases = {**current.databases, "edu": dataclasses.replace(current.databases["edu"], content=content)}
    current = dataclasses.replace(current, databases=databases)
    assert [step.sql for step in objects.plan(DESIRED, current)] == ([f'GRANT {granted} TO "own"'] if granted else [])
    warnings = objects.list_warnings(DESIRED, current)
    assert len(warnings) == bool(reported)
    assert not reported or f"edu: the owner own lacks {reported}: keep it, or run GRANT " in warnings[0]


def test_owner_without_its_privileges_gets_them_again() -> None:
    [step] = objects.plan(DESIRED, with_owners({}, owner_grants=frozenset({"CREATE"})))
    assert step.sql == 'GRANT ALL ON DATABASE "edu" TO "own"'


def test_database_of_an_interrupted_drop_is_refused() -> None:
    [problem] = objects.find_problems(DESIRED, with_owners({}, limit=-2))
    assert "a DROP DATABASE was interrupted" in problem
