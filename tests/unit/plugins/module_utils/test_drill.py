"""The result of a drill, as tables."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils import drill

BEGAN = 1_800_000_000.0
FOUND: dict[str, Any] = {
    "newest": BEGAN - 30,
    "checks": [{"name": "marker chain", "passed": True, "detail": "1,440 rows"}],
    "tables": [{"name": "edu.users", "rows": 5000, "checksum": "abc"}],
    "files": [{"name": "configuration", "files": 12, "bytes": 3400}],
}


def after(*stages: tuple[str, float, float | None], found: Any = FOUND, rpo: int = 3600, rto: int = 14400) -> Any:
    """A drill that went through these stages, each with the seconds at which it began and passed."""
    known = drill.start(BEGAN, rpo, rto)
    for name, begun, ended in stages:
        known = drill.start_stage(known, name, BEGAN + begun)
        if ended is not None:
            known = drill.complete_stage(known, BEGAN + ended)
    return drill.finish(known, found, BEGAN + 500)


WHOLE = (("create the hosts", 0.0, 20.0), ("restore the database", 20.0, 75.0))


def test_drill_that_recovered_everything_passes() -> None:
    passed = after(*WHOLE)
    assert drill.problems(passed) == []
    assert drill.verdict(passed) == "drill passed: RPO 30 s (limit 3600), RTO 75 s (limit 14400), 1 checks"


@pytest.mark.parametrize(
    ("failed", "problem"),
    [
        (after(*WHOLE[:1], ("restore the database", 20.0, None)), "the stage `restore the database` failed"),
        (after(), "the drill ended before its first stage"),
        (
            after(*WHOLE, found={**FOUND, "newest": BEGAN - 86400}),
            "RPO: 86400 s of data were lost, the limit is 3600 s",
        ),
        (after(*WHOLE, found={}), "RPO: unknown, no marker was restored"),
        (after(*WHOLE, rto=60), "RTO: the rebuild took 75 s, the limit is 60 s"),
        (
            after(*WHOLE, found={**FOUND, "checks": [{"name": "amcheck", "passed": False, "detail": "index i"}]}),
            "amcheck: index i",
        ),
    ],
)
def test_drill_fails_with_the_reason(failed: Any, problem: str) -> None:
    assert drill.problems(failed) == [problem]
    assert drill.verdict(failed) == f"drill FAILED: {problem}"
    assert "vise_drill_success 0\n" in drill.metrics(failed)


def test_failed_stage_is_reported_with_the_checks_that_it_found_wrong() -> None:
    missing = {"name": "mail of host-1", "passed": False, "detail": "first has no snapshot of it"}
    failed = after(*WHOLE[:1], ("look for the backups", 20.0, None), found={"checks": [missing]})
    assert drill.verdict(failed) == (
        "drill FAILED: the stage `look for the backups` failed; mail of host-1: first has no snapshot of it"
    )


@pytest.mark.parametrize(
    ("found", "problems"),
    [
        (FOUND, []),
        ({}, []),
        ({"newest": BEGAN - 86400}, ["RPO: 86400 s of data were lost, the limit is 3600 s"]),
    ],
)
def test_age_of_restored_data_is_evaluated_as_soon_as_it_is_known(found: Any, problems: list[str]) -> None:
    assert drill.rpo_problems({**after(*WHOLE), "found": found}) == problems


def test_stages_after_the_last_passed_one_do_not_count_as_recovery_time() -> None:
    assert drill.rto(after(*WHOLE)) == 75


def test_metrics_contain_rpo_and_rto() -> None:
    text = drill.metrics(after(*WHOLE))
    assert "vise_drill_success 1\n" in text
    assert "vise_drill_rpo_seconds 30\n" in text
    assert "vise_drill_rto_seconds 75\n" in text


def test_report_shows_stages_checks_tables_and_files() -> None:
    text = drill.markdown(after(*WHOLE))
    assert text.startswith("# Drill of 2027-01-15T08:00:00Z\n\n**drill passed: ")
    for row in (
        "| restore the database | 55 |",
        "| marker chain | passed | 1,440 rows |",
        "| edu.users | 5000 | `abc` |",
        "| configuration | 12 | 3400 |",
    ):
        assert row in text


def test_report_of_an_interrupted_drill_names_the_stage() -> None:
    text = drill.markdown(after(*WHOLE[:1], ("restore the database", 20.0, None), found={}))
    assert "| restore the database | FAILED |" in text
    assert "| data lost (RPO) | unknown | 3600 s |" in text
