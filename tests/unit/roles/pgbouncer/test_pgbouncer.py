"""The files that the role writes for PgBouncer, and the pure functions of its program."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator

import pytest

from tools import collection, templates

ROLE = collection.ROOT / "roles/pgbouncer"
CASES = templates.load_cases(ROLE, collection.ROOT)


def rendered(case: str) -> dict[str, str]:
    return dict(templates.render_templates(ROLE, CASES[case]))


@pytest.fixture(scope="module", name="program")
def fixture_program() -> Iterator[types.ModuleType]:
    module = types.ModuleType("vise_pgbouncer")
    sys.modules["vise_pgbouncer"] = module
    code = compile(rendered("defaults")["vise-pgbouncer.j2"], "vise-pgbouncer", "exec")
    exec(code, module.__dict__)  # noqa: S102  # a template is no importable module
    yield module
    del sys.modules["vise_pgbouncer"]


def test_databases_have_the_common_server_or_their_own(program: types.ModuleType) -> None:
    lines = [line.rstrip() for line in program.read_section(rendered("every_setting")["pgbouncer.ini.j2"], "databases")]
    assert lines == [
        "postgres = host=db-1.internal port=5432",
        "edu = host=db-1.internal port=5432",
        "edu_ro = host=db-2.internal port=5433 dbname=edu pool_mode=session pool_size=2 max_db_connections=4",
    ]


def test_only_users_with_settings_are_listed(program: types.ModuleType) -> None:
    lines = program.read_section(rendered("every_setting")["pgbouncer.ini.j2"], "users")
    assert [line.rstrip() for line in lines] == ["jobs = pool_mode=session max_user_connections=2"]


def test_settings_are_read_literally(program: types.ModuleType) -> None:
    settings = program.read_literal_settings(rendered("every_setting")["pgbouncer.ini.j2"])
    expected = {
        "query_wait_timeout": "15",
        "tcp_keepalive": "1",
        "auth_type": "hba",
        "listen_addr": "localhost",
        "logfile": "",
    }
    assert {key: settings[key] for key in expected} == expected


def test_clients_can_reach_only_their_databases() -> None:
    lines = [line for line in rendered("every_setting")["hba.conf.j2"].splitlines() if not line.startswith("#")]
    assert lines == [
        "local pgbouncer postgres peer map=console",
        "host all postgres all reject",
        "hostssl edu,edu_ro all 10.0.0.0/8 scram-sha-256",
        "local all all reject",
        "host all all all reject",
    ]


def test_clients_cannot_connect_without_databases() -> None:
    assert "hostssl" not in rendered("defaults")["hba.conf.j2"]


def test_quotes_in_the_password_are_doubled() -> None:
    assert rendered("defaults")["userlist.txt.j2"].splitlines().count('"pgbouncer" "a ""password"" of sixteen"') == 1


def test_runtime_columns_are_removed(program: types.ModuleType) -> None:
    table = [["name", "current_connections", "pool_size"], ["b", "7", "1"], ["a", "0", "2"]]
    assert program.remove_runtime_columns(table) == [["a", "2"], ["b", "1"]]


@pytest.mark.parametrize(
    ("live", "expected"),
    [
        (({"a": "1"}, [["edu"]], []), []),
        (({"a": "2"}, [["edu"]], []), ["a"]),
        (({}, [], [["jobs"]]), ["a", "databases", "users"]),
    ],
)
def test_differences_are_named(program: types.ModuleType, live: object, expected: list[str]) -> None:
    assert program.find_differences(({"a": "1"}, [["edu"]], []), live) == expected


@pytest.mark.parametrize("arguments", [[], ["unknown"]])
def test_unknown_command_prints_the_usage(
    program: types.ModuleType, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.main(arguments) == 2
    assert "vise-pgbouncer verify" in capsys.readouterr().err
