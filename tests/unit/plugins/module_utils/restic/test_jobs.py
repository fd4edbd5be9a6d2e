"""Jobs with a restic that answers from a script."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.restic import jobs, plan

SUMMARY = json.dumps(
    {
        "message_type": "summary",
        "snapshot_id": "0123456789",
        "total_bytes_processed": 7,
        "total_files_processed": 2,
        "total_duration": 0.5,
    }
)


class Script:
    """Answers by the first argument, and remembers what it was asked."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def __call__(self, argv: Any, *_further: Any, **_limit: Any) -> jobs.Done:
        word = argv[1] if argv[0] == "restic" else argv[0]
        self.asked.append(" ".join(argv[1:3]) if argv[0] == "restic" else word)
        given: Any = self.answers.get(word, jobs.Done(0, "", ""))
        answer: jobs.Done = given(argv) if callable(given) else given
        return answer


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> plan.Settings:
    monkeypatch.setattr(jobs, "STATE", str(tmp_path / "state"))
    monkeypatch.setattr(jobs, "TEXTFILES", str(tmp_path / "text"))
    (tmp_path / "files").mkdir()
    one = {
        "name": "files",
        "paths": [str(tmp_path / "files")],
        "before": [{"argv": ["dump"]}],
        "after": [{"argv": ["tidy"]}],
    }
    data = {"host": "h", "sets": [one], "keep": {}, "check_days": 3, "answer_seconds": 5, "ca_file": ""}
    entry = {"name": "a", "url": "s3:https://s3/b", "key": "AK", "key_secret": "S", "password": "W"}
    return plan.Settings.from_json(data, [entry], [{**entry, "key": "FULL", "key_secret": "T"}])


def use(monkeypatch: pytest.MonkeyPatch, **answers: Any) -> Script:
    script = Script(**answers)
    monkeypatch.setattr(jobs, "run", script)
    return script


def test_backup_runs_its_commands_around_restic(config: plan.Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    script = use(monkeypatch, backup=jobs.Done(0, SUMMARY, ""))
    assert jobs.backup(config, "files:a") == 0
    assert script.asked == ["cat config", "unlock", "dump", "backup --json", "tidy"]
    assert jobs.state("backup", "files:a")["snapshot"] == "0123456789"


def test_failing_command_before_fails_the_backup_and_the_one_after_still_runs(
    config: plan.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = use(monkeypatch, dump=jobs.Done(2, "", "no socket"))
    with pytest.raises(jobs.JobError, match="before the backup ended with 2: dump"):
        jobs.backup(config, "files:a")
    assert script.asked == ["cat config", "unlock", "dump", "tidy"]


def test_unreadable_file_and_missing_path_are_an_incomplete_backup(
    config: plan.Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use(monkeypatch, backup=jobs.Done(3, SUMMARY, "error: permission denied"))
    assert jobs.backup(config, "files:a") == 3
    use(monkeypatch, backup=jobs.Done(0, SUMMARY, ""))
    (tmp_path / "files").rmdir()
    assert jobs.backup(config, "files:a") == 3


def test_unknown_set_and_repository_are_named(config: plan.Settings) -> None:
    with pytest.raises(jobs.JobError, match=r"'mail' is no set.*files"):
        jobs.backup(config, "mail:a")
    with pytest.raises(jobs.JobError, match=r"'z' is no repository.*a"):
        jobs.backup(config, "files:z")


def test_check_reads_the_part_of_the_day_and_remembers_it(
    config: plan.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = use(monkeypatch)
    assert jobs.check(config, "a") == 0
    assert jobs.check(config, "a") == 0
    assert script.asked.count("check --retry-lock=2h") == 1
    assert max(jobs.state("check", "a")["read"].values()) == jobs.state("check", "a")["read"]["1"]


def test_check_that_fails_counts_as_not_read(config: plan.Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    script = use(monkeypatch, check=jobs.Done(1, "", "pack 1: hash mismatch"))
    assert [jobs.check(config, "a"), jobs.check(config, "a")] == [1, 1]
    assert script.asked.count("check --retry-lock=2h") == 2


def test_check_misses_the_newest_snapshot(
    config: plan.Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs.save("backup", "files:a", snapshot="0123456789")
    use(monkeypatch, cat=lambda argv: jobs.Done(int(argv[2] == "snapshot"), "", "no matching ID"))
    assert jobs.check(config, "a") == 1
    assert "newest snapshot of files, 01234567, is lost" in capsys.readouterr().err


def test_prune_sees_a_removal_that_was_denied(config: plan.Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    forget = jobs.Done(0, '[{"remove": [{"id": "x"}, {"id": "y"}]}]', "unable to remove")
    script = use(monkeypatch, forget=forget, snapshots=jobs.Done(0, '[{"id": "x"}]', ""))
    with pytest.raises(jobs.JobError, match="1 of 2 snapshots could not be removed"):
        jobs.prune(config, "a")
    use(monkeypatch, forget=forget, snapshots=jobs.Done(0, "[]", ""))
    assert jobs.prune(config, "a") == 0
    assert "prune --retry-lock=2h" not in script.asked


def test_repository_is_made_once_and_never_anew(config: plan.Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = jobs.Done(10, "", "")
    script = use(monkeypatch, cat=absent)
    assert (jobs.prove(config), jobs.proven(config)) == (0, 1)
    jobs.settle(config)
    assert script.asked.count("init") == 1  # not by the credential that prunes
    assert jobs.proven(config) == 0
    jobs.settle(config)
    assert script.asked.count("init") == 1
    with pytest.raises(jobs.JobError, match="does not exist"):
        jobs.backup(config, "files:a")


def test_refused_key_is_told_without_its_secret(
    config: plan.Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use(monkeypatch, cat=jobs.Done(1, "", "Stat: Access Denied."))
    assert jobs.prove(config) == 1
    assert "a: the key or its secret is refused" in capsys.readouterr().out


@pytest.mark.usefixtures("config")
def test_end_of_a_unit_becomes_metrics(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    jobs.save("backup", "files:a", size=7, snapshot="x")
    monkeypatch.setenv("SERVICE_RESULT", "timeout")
    jobs.note("backup", "files:a")
    text = (tmp_path / "text/vise_restic_backup_files_a.prom").read_text()
    assert 'vise_backup_last_failure_timestamp_seconds{tool="restic",kind="files",repository="a"}' in text
    assert "last_success" not in text
    assert 'vise_backup_size_bytes{tool="restic",kind="files",repository="a"} 7\n' in text


def test_program_that_does_not_end_is_ended_with_its_children() -> None:
    done = jobs.run([sys.executable, "-c", "import os,time; os.fork(); time.sleep(60)"], limit=0.5)
    assert done.code == plan.NO_ANSWER


def test_job_without_settings_says_so(tmp_path: Path) -> None:
    with pytest.raises(jobs.JobError, match="role restic has not been here"):
        jobs.settings(str(tmp_path))
