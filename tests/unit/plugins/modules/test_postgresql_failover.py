"""Fencing and promoting on a host of the test's: in which order, and when not."""

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
    """A host below a directory; its server's answers are taken from a table by what is asked."""

    def __init__(self, root: pathlib.Path) -> None:
        self.root, self.calls = root, list[str]()
        self.state, self.recovery = "shut down", "t"
        self.active, self.other_primary, self.promotes = False, "", "t"
        # How far the standby is, each time it is asked.
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

    def promote(self, answers: bool = False, check_mode: bool = False, **options: Any) -> dict[str, Any]:
        result: dict[str, Any] = postgresql_failover.promote(
            self.cluster, {**OPTIONS, **options}, check_mode, lambda _host, _port: answers
        )
        return result

    def promoted(self) -> bool:
        return any("pg_promote" in call for call in self.calls)


@pytest.fixture
def machine(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    return Host(tmp_path)


def test_fence_is_there_before_the_server_is_stopped(machine: Host) -> None:
    assert machine.fence() == {"changed": True, "actions": ["fence the primary"], "position": "0/3000060"}
    verbs = [call.split()[1] for call in machine.calls if call.startswith("systemctl")]
    assert verbs == ["stop", "mask"]
    assert (machine.root / "etc/postgresql/17/main/start.conf").read_text() == "disabled\n"


def test_second_fence_changes_nothing_and_keeps_its_reason(machine: Host) -> None:
    machine.fence()
    assert machine.fence()["changed"] is False
    assert host.find(machine.cluster).fence == "db-2 was promoted"


def test_fence_in_check_mode_changes_nothing(machine: Host) -> None:
    assert machine.fence(check_mode=True)["changed"]
    assert host.find(machine.cluster).fence == ""


def test_position_of_a_crashed_primary_is_where_its_wal_ends(machine: Host) -> None:
    machine.state = "in production"
    assert machine.fence()["position"] == "0/3000100"


def test_standby_is_not_fenced(machine: Host) -> None:
    (machine.root / "var/lib/postgresql/17/main/standby.signal").write_text("")
    with pytest.raises(ClusterError, match="needs no fence"):
        machine.fence()


def test_fenced_primary_serves_again(machine: Host) -> None:
    machine.fence()
    machine.calls.clear()
    assert machine.unfence() == {"changed": True, "actions": ["remove the fence", "start the primary"]}
    assert host.find(machine.cluster).fence == ""
    assert (machine.root / "etc/postgresql/17/main/start.conf").read_text() == "auto\n"
    verbs = [call.split()[1] for call in machine.calls if call.startswith("systemctl")]
    assert verbs == ["is-active", "unmask", "start"]


def test_primary_that_serves_is_left_alone(machine: Host) -> None:
    machine.active = True
    assert machine.unfence() == {"changed": False, "actions": []}


def test_run_that_was_cut_off_after_the_fence_went_is_ended(machine: Host) -> None:
    assert machine.unfence()["actions"] == ["start the primary"]


@pytest.mark.parametrize("check_mode", [False, True])
def test_fence_stays_while_another_is_the_primary(machine: Host, check_mode: bool) -> None:
    machine.fence()
    machine.other_primary = "192.0.2.2 runs as primary of this cluster"
    with pytest.raises(ClusterError, match=machine.other_primary):
        machine.unfence(check_mode)
    assert host.find(machine.cluster).fence == "db-2 was promoted"


def test_fence_stays_in_check_mode(machine: Host) -> None:
    machine.fence()
    assert machine.unfence(check_mode=True)["changed"]
    assert host.find(machine.cluster).fence == "db-2 was promoted"


def test_what_is_on_its_way_is_waited_for(machine: Host) -> None:
    machine.received = ["0/3000000", "0/3000060"]
    assert machine.promote(fenced_at="0/3000060")["lost_bytes"] == 0
    assert machine.promoted()


@pytest.mark.parametrize(
    ("options", "lost_bytes", "lost_seconds"),
    [({"fenced_at": "0/3000060"}, 0, 0), ({"gone": True}, None, 12)],
)
def test_promotion_says_what_was_lost(
    machine: Host, options: dict[str, Any], lost_bytes: int | None, lost_seconds: int
) -> None:
    result = machine.promote(**options)
    assert (result["lost_bytes"], result["lost_seconds"]) == (lost_bytes, lost_seconds)
    assert machine.promoted()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"answers": True, "gone": True}, "still answers at db-1"),
        ({"answers": True, "fenced_at": "0/3000060"}, "still answers"),
        ({}, "was not fenced"),
        ({"fenced_at": "0/3000100"}, "40 bytes"),
    ],
)
def test_promotion_that_could_make_two_primaries_or_lose_rows_is_refused(
    machine: Host, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(ClusterError, match=says):
        machine.promote(**options)
    assert not machine.promoted()


def test_promotion_that_takes_too_long_may_come_yet(machine: Host) -> None:
    machine.promotes = "f"
    with pytest.raises(ClusterError, match="Stop it before you let the old primary serve again"):
        machine.promote(fenced_at="0/3000060")


def test_check_mode_takes_the_position_for_a_fence_and_promotes_nothing(machine: Host) -> None:
    assert machine.promote(answers=True, check_mode=True, fenced_at="0/3000060")["changed"]
    assert not machine.promoted()


def test_promoted_host_is_left_alone(machine: Host) -> None:
    machine.recovery = "f"
    assert machine.promote(answers=True) == {"changed": False, "actions": []}
    assert not machine.promoted()


def test_closed_port_does_not_answer() -> None:
    assert postgresql_failover.answers("127.0.0.1", 1) is False
