from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tools import run_gates
from tools.run_gates import Outcome, summary

# Stands in for make: notes when a target begins and ends; `left` and `right` end only when both have begun.
MAKE = """#!/bin/sh
echo "begin $3" >> "$NOTES"
case $3 in
left) until grep -q "begin right" "$NOTES"; do sleep 0.01; done ;;
right) until grep -q "begin left" "$NOTES"; do sleep 0.01; done ;;
esac
echo "output of $3"
echo "FAILED tests/test_$3.py::test_it - AssertionError"
echo "end $3" >> "$NOTES"
[ "$3" != broken ]
"""


@pytest.fixture
def notes(stand_in: Callable[[str, str], Path]) -> Path:
    return stand_in("make", MAKE)


def test_summary_ends_with_the_counts_and_names_what_failed() -> None:
    lines = summary([Outcome("lint", True, 12.4), Outcome("unit", False, 3.0)], 13.2).splitlines()
    assert lines == [
        "passed      12 s  lint",
        "FAILED       3 s  unit",
        "            13 s  in all",
        "1 passed, 1 failed",
    ]


def test_gates_run_one_after_another_whatever_fails(notes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_gates.main(["a", "broken", "b"]) == 1
    assert notes.read_text().split("\n")[:6] == ["begin a", "end a", "begin broken", "end broken", "begin b", "end b"]
    lines = capsys.readouterr().out.splitlines()
    assert "broken | output of broken" in lines
    # Failures come again at the end, where they are seen; those of a gate that passed do not.
    after = lines[lines.index("") :]
    assert [line for line in after if "::" in line] == [
        "broken | FAILED tests/test_broken.py::test_it - AssertionError"
    ]
    assert lines[-1] == "2 passed, 1 failed"


def test_lanes_run_at_the_same_time(notes: Path) -> None:
    assert run_gates.main(["left", "beside", "right"]) == 0
    assert set(notes.read_text().splitlines()[:2]) == {"begin left", "begin right"}


def test_gate_waits_for_a_gate_of_another_lane(notes: Path) -> None:
    assert run_gates.main(["first@broken", "beside", "a", "broken"]) == 1
    assert notes.read_text().splitlines()[-3:] == ["end broken", "begin first", "end first"]
