"""The lease of a host: one run at a time, and never for longer than its run or some minutes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.host import leases

ALICE = {"run": "a", "who": "alice", "origin": "laptop", "machine": "m1", "command": "site.yml", "ends": ""}
BOB = {**ALICE, "run": "b", "who": "bob", "origin": "desk"}


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(leases, "DIRECTORY", str(tmp_path / "vise"))
    monkeypatch.setattr(leases, "_read_clock", lambda: now[0])
    return now


def read(tmp_path: Path) -> dict[str, Any]:
    """Return the lease on the host."""
    content: dict[str, Any] = json.loads((tmp_path / "vise/lease.json").read_text())
    return content


def test_second_run_gets_the_lease_of_the_first_one(tmp_path: Path, clock: list[float]) -> None:
    assert leases.take(ALICE) == {}
    clock[0] += 30
    other = leases.take(BOB)
    assert (other["who"], other["silent"]) == ("alice", 30)
    assert leases.find_other("b")["run"] == "a"
    assert leases.find_other("a") == {}
    assert read(tmp_path)["run"] == "a"


def test_own_lease_is_renewed_and_keeps_its_begin(tmp_path: Path, clock: list[float]) -> None:
    leases.take(ALICE)
    since = read(tmp_path)["since"]
    clock[0] += 590
    assert leases.take(ALICE) == {}
    clock[0] += 590
    assert leases.take(BOB)["since"] == since


def test_lease_ends_ten_minutes_after_its_last_sign(tmp_path: Path, clock: list[float]) -> None:
    leases.take(ALICE)
    clock[0] += leases.SECONDS
    assert leases.find_other("b") == {}
    assert leases.take(BOB) == {}
    assert read(tmp_path)["who"] == "bob"


def test_lease_that_the_operator_ends_is_replaced(clock: list[float]) -> None:
    assert clock
    leases.take(ALICE)
    assert leases.take({**BOB, "ends": "other"})["run"] == "a"
    assert leases.take({**BOB, "ends": "a"}) == {}


def test_run_ends_only_its_own_lease(tmp_path: Path, clock: list[float]) -> None:
    assert clock
    assert not leases.end("a")
    leases.take(ALICE)
    assert not leases.end("b")
    assert leases.end("a")
    assert not (tmp_path / "vise/lease.json").exists()


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"run": "a"}'])
def test_file_that_is_no_lease_is_none(tmp_path: Path, clock: list[float], content: str) -> None:
    assert clock
    (tmp_path / "vise").mkdir()
    (tmp_path / "vise/lease.json").write_text(content)
    assert leases.find_other("b") == {}
    assert leases.take(BOB) == {}


def test_clock_of_another_start_of_the_host_is_no_lease(tmp_path: Path, clock: list[float]) -> None:
    leases.take(ALICE)
    clock[0] = 5.0
    assert leases.find_other("b") == {}
    assert read(tmp_path)["run"] == "a"


def test_message_names_who_from_where_since_when_and_what_to_do() -> None:
    text = leases.describe({**ALICE, "since": 1796000400, "silent": 61})
    assert text.startswith("alice runs site.yml from laptop on this host since 01:00 UTC; its last sign was 61 s ago")
    assert text.endswith("wait until that run has ended; if it is dead, add `-e end_lease=a`, or wait 9 min")


def test_run_that_waits_for_others_has_more_time(clock: list[float]) -> None:
    leases.take(ALICE, leases.LONG_SECONDS)
    clock[0] += leases.LONG_SECONDS - 1
    assert leases.take(BOB)["run"] == "a"
    assert "or wait 1 min" in leases.describe(leases.find_other("b"))
    leases.take(ALICE)
    clock[0] += leases.SECONDS
    assert leases.take(BOB) == {}


def test_task_renews_the_lease_while_it_runs(
    tmp_path: Path, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "RENEWAL", 0)
    leases.take(ALICE)
    clock[0] += 500
    thread = leases.keep_alive()
    assert thread
    assert thread.daemon
    while read(tmp_path)["renewed"] != clock[0]:
        pass
    clock[0] += 500
    while read(tmp_path)["renewed"] != clock[0]:
        pass
    assert leases.take(BOB)["run"] == "a"
    # The run ends its lease in a later task, also when this one still waits for its end.
    leases.end("a")
    thread.join()
    assert not (tmp_path / "vise/lease.json").exists()


def test_task_renews_no_lease_of_a_later_run(clock: list[float]) -> None:
    leases.take(ALICE)
    clock[0] += leases.SECONDS
    leases.take(BOB)
    assert not leases.renew("a")
    assert leases.renew("b")


@pytest.mark.parametrize(("check_mode", "later"), [(True, 0), (False, leases.SECONDS), (False, -2000)])
def test_task_renews_nothing_in_check_mode_and_no_lease_that_has_ended(
    tmp_path: Path, clock: list[float], check_mode: bool, later: int
) -> None:
    assert leases.keep_alive() is None
    leases.take(ALICE)
    renewed = read(tmp_path)["renewed"]
    clock[0] += later
    assert leases.keep_alive(check_mode) is None
    assert read(tmp_path)["renewed"] == renewed
