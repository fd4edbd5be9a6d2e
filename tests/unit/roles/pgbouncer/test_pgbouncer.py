"""What the role gives PgBouncer to read, and the pure parts of the program that asks it."""

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


def test_databases_are_on_the_server_or_on_their_own(program: types.ModuleType) -> None:
    lines = [line.rstrip() for line in program.section(rendered("every_setting")["pgbouncer.ini.j2"], "databases")]
    assert lines == [
        "postgres = host=db-1.internal port=5432",
        "edu = host=db-1.internal port=5432",
        "edu_ro = host=db-2.internal port=5433 dbname=edu pool_mode=session pool_size=2 max_db_connections=4",
    ]


def test_users_are_those_that_differ(program: types.ModuleType) -> None:
    lines = program.section(rendered("every_setting")["pgbouncer.ini.j2"], "users")
    assert [line.rstrip() for line in lines] == ["jobs = pool_mode=session max_user_connections=2"]


def test_settings_are_read_as_they_stand(program: types.ModuleType) -> None:
    words = program.own_words(rendered("every_setting")["pgbouncer.ini.j2"])
    expected = {
        "query_wait_timeout": "15",
        "tcp_keepalive": "1",
        "auth_type": "hba",
        "listen_addr": "localhost",
        "logfile": "",
    }
    assert {key: words[key] for key in expected} == expected


def test_only_databases_of_clients_are_open() -> None:
    lines = [line for line in rendered("every_setting")["hba.conf.j2"].splitlines() if not line.startswith("#")]
    assert lines == [
        "local pgbouncer postgres peer map=console",
        "host all postgres all reject",
        "hostssl edu,edu_ro all 10.0.0.0/8 scram-sha-256",
        "local all all reject",
        "host all all all reject",
    ]


def test_nothing_is_open_without_databases() -> None:
    assert "hostssl" not in rendered("defaults")["hba.conf.j2"]


def test_quotes_in_the_password_are_doubled() -> None:
    assert rendered("defaults")["userlist.txt.j2"].splitlines().count('"pgbouncer" "a ""password"" of sixteen"') == 1


def test_figures_of_the_moment_are_left_out(program: types.ModuleType) -> None:
    table = [["name", "current_connections", "pool_size"], ["b", "7", "1"], ["a", "0", "2"]]
    assert program.without_figures(table) == [["a", "2"], ["b", "1"]]


@pytest.mark.parametrize(
    ("live", "expected"),
    [
        (({"a": "1"}, [["edu"]], []), []),
        (({"a": "2"}, [["edu"]], []), ["a"]),
        (({}, [], [["jobs"]]), ["a", "databases", "users"]),
    ],
)
def test_what_differs_is_named(program: types.ModuleType, live: object, expected: list[str]) -> None:
    assert program.differing(({"a": "1"}, [["edu"]], []), live) == expected


@pytest.mark.parametrize("arguments", [[], ["unknown"]])
def test_unknown_command_says_what_there_is(
    program: types.ModuleType, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.main(arguments) == 2
    assert "vise-pgbouncer verify" in capsys.readouterr().err
