from __future__ import annotations

from tools.run_gates import Outcome, summary


def test_summary_ends_with_the_counts_and_names_what_failed() -> None:
    lines = summary([Outcome("lint", True, 12.4), Outcome("unit", False, 3.0)]).splitlines()
    assert lines == [
        "passed      12 s  lint",
        "FAILED       3 s  unit",
        "            15 s  in all",
        "1 passed, 1 failed",
    ]
