from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tools import run_scenarios, tiers
from tools.collection import ROOT

# Stands in for molecule: notes who ran what, prints, and fails for the scenario "broken".
MOLECULE = """#!/bin/sh
echo "$VISE_WORKER $1 $3 $PYTEST_ADDOPTS $VISE_VERIFY" >> "$NOTES"
echo "output of $3"
[ "$3" != broken ]
"""


@pytest.fixture
def notes(stand_in: Callable[[str, str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(run_scenarios, "LOGS", tmp_path / "logs")
    monkeypatch.setattr(run_scenarios, "SECONDS", tmp_path / "seconds.json")
    return stand_in("molecule", MOLECULE)


def test_every_scenario_runs_once_on_one_of_the_workers(notes: Path) -> None:
    assert run_scenarios.main(["a", "b", "c"]) == 0
    ran = [line.split() for line in notes.read_text().splitlines()]
    assert sorted(name for _worker, _step, name, *_tier in ran) == ["a", "b", "c"]
    assert {worker for worker, *_rest in ran} <= {"1", "2"}
    assert {(step, *tier) for _worker, step, _name, *tier in ran} == {("test", "-m", "'not", "deep'", "verify.yml")}


def test_failure_shows_the_end_of_its_log_and_fails_the_run(notes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_scenarios.main(["a", "broken"]) == 1
    output = capsys.readouterr().out
    assert "output of broken" in output
    assert "output of a" not in output
    assert output.splitlines()[-1] == "1 passed, 1 failed"
    assert len(notes.read_text().splitlines()) == 2


def test_only_passed_scenarios_are_remembered_with_their_seconds(notes: Path) -> None:
    run_scenarios.main(["a", "broken"])
    assert list(run_scenarios.known_seconds()) == ["a"]
    assert notes.exists()


def test_longest_scenario_comes_first_as_far_as_it_is_known() -> None:
    names = ["a", "b", "mailcow", "new"]
    assert run_scenarios.longest_first(names, {"a": 5, "b": 1000}) == ["b", "mailcow", "new", "a"]


def test_scenario_that_is_called_long_is_there() -> None:
    assert set(run_scenarios.LONG) <= set(tiers.all_scenarios(ROOT))


def test_fault_tests_skip_the_checks_of_the_contract_and_select_their_own_files(notes: Path) -> None:
    assert run_scenarios.main(["--deep", "a"]) == 0
    assert [line.split()[1:] for line in notes.read_text().splitlines()] == [
        ["destroy", "a", "-m", "deep", "faults.yml"],
        ["converge", "a", "-m", "deep", "faults.yml"],
        ["verify", "a", "-m", "deep", "faults.yml"],
        ["destroy", "a", "-m", "deep", "faults.yml"],
    ]
