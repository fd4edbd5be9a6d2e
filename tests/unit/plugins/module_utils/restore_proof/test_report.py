"""Metrics, reports and the last line."""

from __future__ import annotations

import json

import pytest
from ansible_collections.vise.platform.plugins.module_utils.restore_proof import report
from ansible_collections.vise.platform.plugins.module_utils.restore_proof.report import Outcome, Stage, State

CONFIGURED = [("postgresql", "1"), ("restic", "a")]


def good() -> Outcome:
    stages = [Stage("restore", 2.0, 50_000_000), Stage("recover", 1.0)]
    tables = [{"database": "app", "table": "public.a|b", "rows": 3, "checksum": "-17"}]
    return Outcome("postgresql", "1", 1000.0, 9.5, 61.0, [], stages, {"set": "20260101-000000F"}, tables)


def bad() -> Outcome:
    return Outcome("restic", "a", 2000.0, 1.0, None, ["set files: a pack is damaged"])


def test_successful_proof_sets_the_time() -> None:
    state = report.merge_results({}, [good()], CONFIGURED)
    assert state["postgresql/1"] == {
        "success": True,
        "timestamp_seconds": 1000,
        "rpo_seconds": 61.0,
        "duration_seconds": 9.5,
    }


def test_failed_proof_keeps_the_time_of_the_last_success() -> None:
    before: State = {"restic/a": {"success": True, "timestamp_seconds": 500, "rpo_seconds": 5, "duration_seconds": 1}}
    known = report.merge_results(before, [bad()], CONFIGURED)["restic/a"]
    assert (known["success"], known["timestamp_seconds"]) == (False, 500)


def test_unproven_backup_has_no_success_and_no_time() -> None:
    known = report.merge_results({}, [], CONFIGURED)["restic/a"]
    assert (known["success"], known["timestamp_seconds"]) == (False, 0)


def test_other_repositories_keep_their_state_and_removed_ones_lose_it() -> None:
    known = {"success": True, "timestamp_seconds": 500, "rpo_seconds": 5, "duration_seconds": 1}
    state = report.merge_results({"restic/a": known, "restic/gone": known}, [good()], CONFIGURED)
    assert sorted(state) == ["postgresql/1", "restic/a"]
    assert state["restic/a"] == known


def test_metrics_are_in_the_format_of_node_exporter() -> None:
    lines = report.format_metrics(report.merge_results({}, [good(), bad()], CONFIGURED)).splitlines()
    assert [line for line in lines if not line.startswith("#")] == [
        'vise_restore_proof_timestamp_seconds{tool="pgbackrest",repository="1"} 1000',
        'vise_restore_proof_timestamp_seconds{tool="restic",repository="a"} 0',
        'vise_restore_proof_success{tool="pgbackrest",repository="1"} 1',
        'vise_restore_proof_success{tool="restic",repository="a"} 0',
        'vise_restore_proof_rpo_seconds{tool="pgbackrest",repository="1"} 61',
        'vise_restore_proof_duration_seconds{tool="pgbackrest",repository="1"} 9.500',
        'vise_restore_proof_duration_seconds{tool="restic",repository="a"} 1',
    ]
    assert "# TYPE vise_restore_proof_success gauge" in lines


def test_time_is_written_to_the_second() -> None:
    outcome = Outcome("restic", "a", 1795556221.9)
    assert " 1795556221\n" in report.format_metrics(report.merge_results({}, [outcome], CONFIGURED[1:]))


def test_json_report_has_counts_and_rates() -> None:
    content = json.loads(report.format_json("db", 1000.0, [good(), bad()]))
    first, second = content["proofs"]
    assert content["success"] is False
    assert (first["success"], first["tool"], first["facts"]["set"]) == (True, "pgbackrest", "20260101-000000F")
    assert first["stages"][0]["mb_per_second"] == 25.0
    assert second["problems"] == ["set files: a pack is damaged"]


def test_markdown_report_has_results_and_tables() -> None:
    text = report.format_markdown("db", 1000.0, [good(), bad()])
    assert "| postgresql 1 | proven | 61 | 9.5 |" in text
    assert "| restic a | FAILED | - | 1.0 |" in text
    assert "| restore | 2.0 | 25 |" in text
    assert "| app | public.a\\|b | 3 | -17 |" in text
    assert "- **set files: a pack is damaged**" in text


def test_old_reports_are_removed_as_pairs_and_other_files_stay() -> None:
    names = [f"2026-01-0{day}T000000Z{suffix}" for day in (1, 2, 3) for suffix in (".md", ".json")] + ["notes.txt"]
    assert report.find_old_reports(names, 2) == ["2026-01-01T000000Z.json", "2026-01-01T000000Z.md"]
    assert report.find_old_reports(names, 3) == []


def test_last_line_of_a_successful_run_lists_the_proofs() -> None:
    assert report.summarize([good()]) == "proven: postgresql 1"


@pytest.mark.parametrize(
    ("proof", "problem", "step"),
    [
        ("postgresql", "RPO: the newest marker is 86400 s old", "check that WAL is archived"),
        ("postgresql", "pgbackrest info: ERROR: [103]: timeout", "check the repository"),
        ("postgresql", "pgbackrest restore: ERROR: [082]: checksum", "make a new full backup"),
        ("yearly", "pgbackrest restore: ERROR: [082]: checksum", "make a new yearly backup of PostgreSQL"),
        ("restic", "set files: there is no snapshot", "check why restic's timer does not make backups"),
        ("restic", "set files: snapshots cannot be read: Fatal", "check the repository"),
        ("restic", "pack 7e44 contains 2 errors", "make a new backup of the files"),
        (
            "restic",
            "set files: the list of files cannot be read: ciphertext verification failed",
            "make a new backup of the files",
        ),
        ("redis", "redis-check-rdb: Unexpected EOF", "make a new dump of Redis"),
    ],
)
def test_last_line_of_a_failed_run_has_the_problem_and_the_next_step(proof: str, problem: str, step: str) -> None:
    line = report.summarize([good(), Outcome(proof, "x", problems=[problem])])
    assert line.startswith(f"FAILED: {proof} x ({problem}). Next: {step}")
    assert line.endswith("then run vise-backup-verify again")


def test_failed_stage_is_measured_too() -> None:
    outcome, lines = Outcome("restic", "a"), list[str]()
    with pytest.raises(ValueError, match="broken"), outcome.stage("restore", lines.append) as stage:
        stage.bytes = 5
        raise ValueError("broken")
    assert [found.name for found in outcome.stages] == ["restore"]
    assert lines[0] == "restic a: restore ..."
    assert lines[1].startswith("restic a: restore took")


def test_worst_rpo_of_several_sets_counts() -> None:
    outcome = Outcome("restic", "a")
    outcome.record_rpo(5)
    outcome.record_rpo(3)
    assert outcome.rpo_seconds == 5
