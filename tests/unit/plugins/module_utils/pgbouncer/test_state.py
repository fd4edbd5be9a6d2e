"""The state of a PgBouncer: tables of its console, and the text of its configuration."""

from __future__ import annotations

import pytest
from ansible_collections.vise.platform.plugins.module_utils.pgbouncer import state

CONFIG = """# head
[databases]
edu = host=/run port=5432

[pgbouncer]
; a comment
listen_addr = localhost
unix_socket_dir = /run/pgbouncer
logfile =
[users]
jobs = pool_mode=session
"""
ANSWER = """key,value,default,changeable
port,6432,,no
listen_addr,,,no
-- next --
name,host,current_connections,paused
edu,"a,b",7,0
-- next --
name,pool_mode,current_connections
visitor,,3
jobs,session,1
"""
WANTED = state.State({"a": "1"}, [["edu"]], [])


def test_answer_has_settings_databases_and_configured_users() -> None:
    expected = state.State({"port": "6432", "listen_addr": ""}, [["edu", "a,b"]], [["jobs", "session"]])
    assert state.parse_answer(ANSWER, ["jobs"]) == expected


def test_query_separates_its_answers() -> None:
    assert state.QUERY.splitlines()[:3] == ["SHOW CONFIG;", r"\echo -- next --", "SHOW DATABASES;"]


def test_runtime_columns_are_removed_and_rows_sorted() -> None:
    table = [["name", "current_connections", "pool_size"], ["b", "7", "1"], ["a", "0", "2"]]
    assert state.remove_runtime_columns(table) == [["a", "2"], ["b", "1"]]


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("databases", {"edu": "host=/run port=5432"}),
        ("pgbouncer", {"listen_addr": "localhost", "unix_socket_dir": "/run/pgbouncer", "logfile": ""}),
        ("users", {"jobs": "pool_mode=session"}),
        ("peers", {}),
    ],
)
def test_section_is_read_literally(section: str, expected: dict[str, str]) -> None:
    assert state.read_section(CONFIG, section) == expected


def test_live_state_has_what_an_isolated_instance_overrides() -> None:
    isolated = state.State({"listen_addr": "", "unix_socket_dir": "/tmp/x", "conffile": "/tmp/x/y", "a": "1"}, [], [])
    live = state.describe_live(isolated, CONFIG, "/etc/pgbouncer.ini")
    assert live.settings == {
        "listen_addr": "localhost",
        "unix_socket_dir": "/run/pgbouncer",
        "conffile": "/etc/pgbouncer.ini",
        "a": "1",
    }


@pytest.mark.parametrize(
    ("live", "expected"),
    [
        (state.State({"a": "1", "more": "x"}, [["edu"]], []), []),
        (state.State({"a": "2"}, [["edu"]], []), ["a"]),
        (state.State({}, [], [["jobs"]]), ["a", "databases", "users"]),
    ],
)
def test_differences_are_named(live: state.State, expected: list[str]) -> None:
    assert state.find_differences(WANTED, live) == expected
