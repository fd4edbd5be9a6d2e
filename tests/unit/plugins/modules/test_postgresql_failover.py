"""Fencing and promoting on a stub host: the order of the steps, and the refusals."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.postgresql import host
from ansible_collections.vise.platform.plugins.module_utils.postgresql.cluster import ClusterError
from ansible_collections.vise.platform.plugins.modules import postgresql_failover

CONTROL = """Database system identifier: 7
Database cluster state: {state}
Latest checkpoint location: 0/3000060
Latest checkpoint's TimeLineID: 1
"""
OPTIONS: dict[str, Any] = {
    "port": 5432,
    "reason": "db-2 was promoted",
    "fenced_at": "",
    "gone": False,
    "accept_lost_bytes": 0,
}


class Host:
    """A stub host: its file system is a directory, its programs answer from a table."""

    def __init__(self, root: pathlib.Path) -> None:
        self.root, self.calls = root, list[str]()
        self.state, self.recovery = "shut down", "t"
        self.active, self.other_primary, self.promotes = False, "", "t"
        # The LSN that the standby has received, for each query.
        self.received = ["0/30000D8"]
        self.cluster = host.Cluster("17", "main", self.run, str(root))
        for path in ("etc/postgresql/17/main/start.conf", "var/lib/postgresql/17/main/PG_VERSION"):
            (root / path).parent.mkdir(parents=True)
            (root / path).write_text("")

    def run(self, argv: Sequence[str], _environment: Mapping[str, str]) -> tuple[int, str, str]:
        line = " ".join(argv)
        self.calls.append(line)
        answers = {
            "pg_controldata": (0, CONTROL.format(state=self.state), ""),
            "pg_waldump": (1, "", "error in WAL record at 0/3000060: invalid record length at 0/3000100"),
            "pg_promote": (0, f"{self.promotes}\n", ""),
            "SELECT pg_is_in_recovery()": (0, f"{self.recovery}\n", ""),
            "is-active": (0 if self.active else 3, "", ""),
            "guard": (1 if self.other_primary else 0, "", self.other_primary),
        }
        if "pg_last_wal_receive_lsn" in line:
            received = self.received.pop(0) if len(self.received) > 1 else self.received[0]
            return 0, f"{received}|12|host=db-1 port=5432 user=follow\n", ""
        return next((answer for word, answer in answers.items() if word in line), (0, "", ""))

    def fence(self, check_mode: bool = False) -> dict[str, Any]:
        result: dict[str, Any] = postgresql_failover.fence(self.cluster, OPTIONS, check_mode)
        return result

    def unfence(self, check_mode: bool = False) -> dict[str, Any]:
        result: dict[str, Any] = postgresql_failover.unfence(self.cluster, check_mode)
        return result

    def promote(self, accepts_connections: bool = False, check_mode: bool = False, **options: Any) -> dict[str, Any]:
        result: dict[str, Any] = postgresql_failover.promote(
            self.cluster, {**OPTIONS, **options}, check_mode, lambda _host, _port: accepts_connections
        )
        return result

    def promoted(self) -> bool:
        return any("pg_promote" in call for call in self.calls)


@pytest.fixture
def machine(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    return Host(tmp_path)


def test_fence_is_written_before_the_server_is_stopped(machine: Host) -> None:
    assert machine.fence() == {"changed": True, "actions": ["fence the primary"], "position": "0/3000060"}
    verbs = [call.split()[1] for call in machine.calls if call.startswith("systemctl")]
    assert verbs == ["stop", "mask"]
    assert (machine.root / "etc/postgresql/17/main/start.conf").read_text() == "disabled\n"


def test_second_fence_changes_nothing_and_keeps_its_reason(machine: Host) -> None:
    machine.fence()
    assert machine.fence()["changed"] is False
    assert host.inspect(machine.cluster).fence == "db-2 was promoted"


def test_fence_in_check_mode_changes_nothing(machine: Host) -> None:
    assert machine.fence(check_mode=True)["changed"]
    assert host.inspect(machine.cluster).fence == ""


def test_position_of_a_crashed_primary_is_the_end_of_its_wal(machine: Host) -> None:
    machine.state = "in production"
    assert machine.fence()["position"] == "0/3000100"


def test_standby_is_not_fenced(machine: Host) -> None:
    (machine.root / "var/lib/postgresql/17/main/standby.signal").write_text("")
    with pytest.raises(ClusterError, match="needs no fence"):
        machine.fence()


def test_fenced_primary_is_put_back_into_service(machine: Host) -> None:
    machine.fence()
    machine.calls.clear()
    assert machine.unfence() == {"changed": True, "actions": ["remove the fence", "start the primary"]}
    assert host.inspect(machine.cluster).fence == ""
    assert (machine.root / "etc/postgresql/17/main/start.conf").read_text() == "auto\n"
    verbs = [call.split()[1] for call in machine.calls if call.startswith("systemctl")]
    assert verbs == ["is-active", "unmask", "start"]


def test_running_primary_is_not_changed(machine: Host) -> None:
    machine.active = True
    assert machine.unfence() == {"changed": False, "actions": []}


def test_run_that_was_killed_after_removing_the_fence_is_completed(machine: Host) -> None:
    assert machine.unfence()["actions"] == ["start the primary"]


@pytest.mark.parametrize("check_mode", [False, True])
def test_fence_stays_while_another_host_is_the_primary(machine: Host, check_mode: bool) -> None:
    machine.fence()
    machine.other_primary = "192.0.2.2 runs as primary of this cluster"
    with pytest.raises(ClusterError, match=machine.other_primary):
        machine.unfence(check_mode)
    assert host.inspect(machine.cluster).fence == "db-2 was promoted"


def test_fence_stays_in_check_mode(machine: Host) -> None:
    machine.fence()
    assert machine.unfence(check_mode=True)["changed"]
    assert host.inspect(machine.cluster).fence == "db-2 was promoted"


def test_wal_in_transit_is_awaited(machine: Host) -> None:
    machine.received = ["0/3000000", "0/3000060"]
    assert machine.promote(fenced_at="0/3000060")["lost_bytes"] == 0
    assert machine.promoted()


@pytest.mark.parametrize(
    ("options", "lost_bytes", "lost_seconds"),
    [({"fenced_at": "0/3000060"}, 0, 0), ({"gone": True}, None, 12)],
)
def test_promotion_reports_the_loss(
    machine: Host, options: dict[str, Any], lost_bytes: int | None, lost_seconds: int
) -> None:
    result = machine.promote(**options)
    assert (result["lost_bytes"], result["lost_seconds"]) == (lost_bytes, lost_seconds)
    assert machine.promoted()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"accepts_connections": True, "gone": True}, "still answers at db-1"),
        ({"accepts_connections": True, "fenced_at": "0/3000060"}, "still answers"),
        ({}, "was not fenced"),
        ({"fenced_at": "0/3000100"}, "40 bytes"),
    ],
)
def test_promotion_that_could_make_two_primaries_or_lose_rows_is_refused(
    machine: Host, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ClusterError, match=message):
        machine.promote(**options)
    assert not machine.promoted()


def test_promotion_that_timed_out_may_still_happen(machine: Host) -> None:
    machine.promotes = "f"
    with pytest.raises(ClusterError, match="Stop it before you unfence the old primary"):
        machine.promote(fenced_at="0/3000060")


def test_check_mode_uses_the_position_as_a_fence_and_promotes_nothing(machine: Host) -> None:
    assert machine.promote(accepts_connections=True, check_mode=True, fenced_at="0/3000060")["changed"]
    assert not machine.promoted()


def test_promoted_host_is_not_changed(machine: Host) -> None:
    machine.recovery = "f"
    assert machine.promote(accepts_connections=True) == {"changed": False, "actions": []}
    assert not machine.promoted()


def test_closed_port_accepts_no_connection() -> None:
    assert postgresql_failover.accepts_connections("127.0.0.1", 1) is False
