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
