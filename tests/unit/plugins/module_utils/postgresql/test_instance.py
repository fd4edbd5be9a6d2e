"""A server on a data directory; shells stand in for PostgreSQL."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.module_utils.postgresql import instance

POSTMASTER = "{pid}\n/var/lib/postgresql/17/main\n1764442800\n5433\n/run/postgresql\n\n  5432   98304\n{status}   \n"
LOG = """\
2026-03-01 [7] LOG:  starting PostgreSQL 17
2026-03-01 [8] FATAL:  the database system is not yet accepting connections
2026-03-01 [9] FATAL:  could not map anonymous shared memory
P00  ERROR: [039]: cannot unpack
2026-03-01 [9] FATAL:  could not map anonymous shared memory
"""


def test_controldata_is_parsed() -> None:
    text = "Database system identifier:           77\nTime of latest checkpoint:            Tue Nov 24 21:37:28 2026\n"
    assert instance.parse_controldata(text) == {
        "Database system identifier": "77",
        "Time of latest checkpoint": "Tue Nov 24 21:37:28 2026",
    }


def test_running_server_has_a_pid_a_port_and_a_state(tmp_path: Path) -> None:
    data = str(tmp_path)
    assert (instance.get_pid(data), instance.get_port(data, 5432), instance.is_ready(data)) == (0, 5432, False)
    (tmp_path / "postmaster.pid").write_text(POSTMASTER.format(pid=os.getpid(), status="ready"))
    # This process is no server: the file is left over, and its number was given to another program.
    assert instance.get_pid(data) == 0
    assert (instance.get_port(data, 5432), instance.is_ready(data)) == (5433, True)
    (tmp_path / "postmaster.pid").write_text(POSTMASTER.format(pid=99999999, status="starting"))
    assert (instance.get_pid(data), instance.is_ready(data)) == (0, False)
    (tmp_path / "postmaster.pid").write_text("7\n")
    assert (instance.get_port(data, 5432), instance.is_ready(data)) == (5432, False)


def test_settings_are_on_the_command_line() -> None:
    command = instance.build_command("/bin/postgres", "/data", {"port": "5432", "listen_addresses": ""})
    assert command == ["/bin/postgres", "-D", "/data", "-c", "port=5432", "-c", "listen_addresses="]


def test_server_logs_to_a_new_private_file_and_not_through_a_link(tmp_path: Path) -> None:
    log, precious = tmp_path / "log", tmp_path / "precious"
    precious.write_text("untouched")
    log.symlink_to(precious)
    process = instance.start(["sh", "-c", "echo out; echo err >&2"], str(log))
    assert instance.stop(process) in (0, -signal.SIGINT)
    assert precious.read_text() == "untouched"
    assert not log.is_symlink()
    assert log.stat().st_mode & 0o777 == 0o600


def test_server_is_awaited_until_it_answers(tmp_path: Path) -> None:
    process = instance.start(["sleep", "60"], str(tmp_path / "log"))
    answers = iter([False, False, True])
    instance.wait_until_ready(process, lambda: next(answers), 30, 0.01)
    with pytest.raises(instance.InstanceError, match="does not answer after 0 s"):
        instance.wait_until_ready(process, lambda: False, 0)
    assert instance.stop(process) == -signal.SIGINT


def test_server_that_ends_while_it_starts_is_an_error(tmp_path: Path) -> None:
    process = instance.start(["sh", "-c", "exit 3"], str(tmp_path / "log"))
    with pytest.raises(instance.InstanceError, match=r"ended while it started \(exit 3\)"):
        instance.wait_until_ready(process, lambda: False, 30, 0.01)
    assert instance.stop(process) == 3


def test_server_that_does_not_stop_is_reported(tmp_path: Path) -> None:
    process = instance.start(["sh", "-c", "trap '' INT; echo deaf; while :; do sleep 0.1; done"], str(tmp_path / "log"))
    instance.wait_until_ready(process, lambda: "deaf" in (tmp_path / "log").read_text(), 30, 0.01)
    assert instance.stop(process, seconds=0.1) is None
    assert instance.stop(process, signal.SIGKILL) == -signal.SIGKILL


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (instance.SEVERE, ["FATAL:  could not map anonymous shared memory", "ERROR: [039]: cannot unpack"]),
        (re.compile("LOG.*"), ["LOG:  starting PostgreSQL 17"]),
        (re.compile("PANIC"), []),
    ],
)
def test_messages_are_found_in_the_log_without_replies(pattern: re.Pattern[str], expected: list[str]) -> None:
    assert instance.find_messages(LOG, pattern) == expected


def test_lowest_settings_for_recovery_are_in_the_control_file() -> None:
    text = "wal_level setting:  replica\nmax_connections setting:  300\nmax_prepared_xacts setting:  5\n"
    text += "max_locks_per_xact setting: 64\n"
    minima = instance.parse_recovery_minima(text)
    assert minima == {"max_connections": 300, "max_prepared_transactions": 5, "max_locks_per_transaction": 64}
    assert instance.describe_low_settings(minima, {**minima, "max_wal_senders": 0}) == ""
    assert instance.describe_low_settings(minima, {**minima, "max_connections": 299}) == (
        "max_connections is 299, and the WAL needs 300"
    )


def test_server_that_ignores_signals_is_killed(tmp_path: Path) -> None:
    process = instance.start(
        ["sh", "-c", "trap '' INT QUIT; echo deaf; while :; do sleep 0.1; done"], str(tmp_path / "log")
    )
    instance.wait_until_ready(process, lambda: "deaf" in (tmp_path / "log").read_text(), 30, 0.01)
    instance.end(process, 0.1)
    assert process.returncode == -signal.SIGKILL
