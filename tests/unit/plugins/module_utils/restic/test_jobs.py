"""Jobs with a stub of restic that answers from a table."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.host import programs, units
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
    """Stub programs: they answer by their first argument and record the commands."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.calls: list[str] = []
        self.started: list[str] = []

    def __call__(self, argv: Any, *_further: Any, **_limit: Any) -> programs.Result:
        word = argv[1] if argv[0] == "restic" else argv[0]
        self.calls.append(" ".join(argv[1:3]) if argv[0] == "restic" else word)
        given: Any = self.answers.get(word, programs.Result(0, "", ""))
        answer: programs.Result = given(argv) if callable(given) else given
        return answer


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> plan.Settings:
    monkeypatch.setattr(jobs, "STATE", str(tmp_path / "state"))
    monkeypatch.setattr(jobs, "TEXTFILES", str(tmp_path / "text"))
    (tmp_path / "files").mkdir()
    (tmp_path / "text").mkdir()
    one = {
        "name": "files",
        "paths": [str(tmp_path / "files")],
        "before": [{"argv": ["dump"]}],
        "after": [{"argv": ["tidy"]}],
    }
    data = {"host": "h", "sets": [one], "keep": {}, "check_days": 3, "answer_seconds": 5, "ca_file": ""}
    entry = {"name": "a", "url": "s3:https://s3/b", "key": "AK", "key_secret": "S", "password": "W"}
    return plan.Settings.from_json(data, [entry], [{**entry, "key": "FULL", "key_secret": "T"}])


def list_paths(argv: list[str]) -> programs.Result:
    """List the requested paths, as a snapshot that contains them."""
    entries = [{"struct_type": "snapshot"}, *({"path": path} for path in argv[argv.index("--") + 1 :])]
    return programs.Result(0, "\n".join(map(json.dumps, entries)))


def use(monkeypatch: pytest.MonkeyPatch, running: Any = None, **answers: Any) -> Script:
    """Let restic answer; the units that are started run, unless other ones are given."""
    script = Script(**{"ls": list_paths, **answers})
    monkeypatch.setattr(jobs, "run", script)
    monkeypatch.setattr(units, "start", script.started.extend)
    monkeypatch.setattr(
        units, "find_running", lambda names: [one for one in names if one in (running or script.started)]
    )
    return script


def test_backup_runs_its_commands_around_restic(config: plan.Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    script = use(monkeypatch, backup=programs.Result(0, SUMMARY, ""))
    assert jobs.backup(config, "files:a") == 0
    assert script.calls == ["cat config", "unlock", "dump", "backup --json", "tidy", "ls --json"]
    assert jobs.load_state("backup", "files:a")["snapshot"] == "0123456789"


def test_command_after_runs_although_the_command_before_fails_the_backup(
    config: plan.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = use(monkeypatch, dump=programs.Result(2, "", "no socket"))
    with pytest.raises(jobs.JobError, match="before the backup ended with 2: dump"):
        jobs.backup(config, "files:a")
    assert script.calls == ["cat config", "unlock", "dump", "tidy"]


def test_unreadable_file_or_missing_path_makes_the_backup_incomplete(
    config: plan.Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use(monkeypatch, backup=programs.Result(3, SUMMARY, "error: permission denied"))
    assert jobs.backup(config, "files:a") == 3
    use(monkeypatch, backup=programs.Result(0, SUMMARY, ""))
    more = dataclasses.replace(config.sets["files"], paths=(str(tmp_path / "files"), str(tmp_path / "absent")))
    assert jobs.backup(dataclasses.replace(config, sets={"files": more}), "files:a") == 3


def test_link_is_backed_up_with_its_target_and_its_excludes(
    config: plan.Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to("files")
    given: list[list[str]] = []

    def back_up(argv: list[str]) -> programs.Result:
        given.append(argv)
        return programs.Result(0, SUMMARY, "")

    use(monkeypatch, backup=back_up)
    linked = plan.BackupSet("files", (str(tmp_path / "link"),), (f"{tmp_path}/link/cache",))
    assert jobs.backup(dataclasses.replace(config, sets={"files": linked}), "files:a") == 0
    assert given[0][-3:] == ["--", f"{tmp_path}/link", f"{tmp_path}/files"]
    assert f"--exclude={tmp_path}/files/cache" in given[0]


def test_backup_of_nothing_fails_and_still_runs_the_command_after_it(
    config: plan.Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = use(monkeypatch)
    (tmp_path / "files").rmdir()
    with pytest.raises(jobs.JobError, match=r"nothing to back up: .*files does not exist"):
        jobs.backup(config, "files:a")
    assert script.calls[-1] == "tidy"


def test_path_that_the_snapshot_does_not_contain_makes_the_backup_incomplete(
    config: plan.Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = programs.Result(0, '{"struct_type": "snapshot"}\n{"path": "/elsewhere"}\n')
    use(monkeypatch, backup=programs.Result(0, SUMMARY, ""), ls=listed)
    assert jobs.backup(config, "files:a") == 3
    assert f"{tmp_path}/files is not in the snapshot: does a pattern exclude it?" in capsys.readouterr().err


def test_set_whose_files_have_all_gone_is_incomplete(
    config: plan.Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = programs.Result(0, json.dumps({**json.loads(SUMMARY), "total_files_processed": 0}), "")
    use(monkeypatch, backup=empty)
    # An empty directory is complete from the first backup on.
    assert jobs.backup(config, "files:a") == 0
    use(monkeypatch, backup=programs.Result(0, SUMMARY, ""))
    jobs.backup(config, "files:a")
    use(monkeypatch, backup=empty)
    assert jobs.backup(config, "files:a") == 3
    assert "the backup before had 2: is a file system not mounted?" in capsys.readouterr().err


def test_unknown_set_and_repository_are_reported(config: plan.Settings) -> None:
    with pytest.raises(jobs.JobError, match=r"no set 'mail'.*files"):
        jobs.backup(config, "mail:a")
    with pytest.raises(jobs.JobError, match=r"no repository 'z'.*a"):
        jobs.backup(config, "files:z")


def test_check_reads_the_due_part_once(config: plan.Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    script = use(monkeypatch)
    assert jobs.check(config, "a") == 0
    assert jobs.check(config, "a") == 0
    assert script.calls.count("check --retry-lock=2h") == 1
    assert max(jobs.load_state("check", "a")["read"].values()) == jobs.load_state("check", "a")["read"]["1"]


def test_failed_check_is_repeated(config: plan.Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    script = use(monkeypatch, check=programs.Result(1, "", "pack 1: hash mismatch"))
    assert [jobs.check(config, "a"), jobs.check(config, "a")] == [1, 1]
    assert script.calls.count("check --retry-lock=2h") == 2


def test_check_reports_a_lost_snapshot(
    config: plan.Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs.save_state("backup", "files:a", snapshot="0123456789")
    use(monkeypatch, cat=lambda argv: programs.Result(int(argv[2] == "snapshot"), "", "no matching ID"))
    assert jobs.check(config, "a") == 1
    assert "newest snapshot of files, 01234567, is lost" in capsys.readouterr().err


def test_denied_removal_fails_the_prune(config: plan.Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    forget = programs.Result(0, '[{"remove": [{"id": "x"}, {"id": "y"}]}]', "unable to remove")
    script = use(monkeypatch, forget=forget, snapshots=programs.Result(0, '[{"id": "x"}]', ""))
    with pytest.raises(jobs.JobError, match="1 of 2 snapshots were not removed"):
        jobs.prune(config, "a")
    use(monkeypatch, forget=forget, snapshots=programs.Result(0, "[]", ""))
    assert jobs.prune(config, "a") == 0
    assert "prune --retry-lock=2h" not in script.calls


def test_repository_is_created_once_and_never_again(config: plan.Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = programs.Result(10, "", "")
    script = use(monkeypatch, cat=absent)
    assert (jobs.check_new_credentials(config), jobs.ready(config)) == (0, 1)
    jobs.initialize(config)
    assert script.calls.count("init") == 1  # not by the credential for pruning
    assert jobs.ready(config) == 0
    jobs.initialize(config)
    assert script.calls.count("init") == 1
    with pytest.raises(jobs.JobError, match="does not exist"):
        jobs.backup(config, "files:a")


def test_host_that_only_restores_creates_no_repository(config: plan.Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    script = use(monkeypatch, cat=programs.Result(10, "", ""))
    assert jobs.initialize(dataclasses.replace(config, sets={})) == 0
    assert "init" not in script.calls
    assert script.started == []


def test_unverified_credentials_are_listed_without_a_query(
    config: plan.Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = use(monkeypatch)
    assert jobs.ready(config) == 1
    assert capsys.readouterr().out == "not verified yet: a, prune-a\nnot started yet: restic-backup@files:a.service\n"
    assert script.calls == []
    jobs.initialize(config)
    assert jobs.ready(config) == 0
    assert capsys.readouterr().out == f"{jobs.READY}\n"


FIRST = "restic-backup@files:a.service"


def listed(*snapshots: tuple[str, str]) -> programs.Result:
    """Return restic's list of these snapshots, each with its id and its set."""
    times = enumerate(snapshots, start=1)
    entries = [{"id": one, "tags": [name], "time": f"2026-03-0{day}T00:00:00Z"} for day, (one, name) in times]
    return programs.Result(0, json.dumps(entries))


@pytest.mark.parametrize(
    ("snapshots", "started", "known"),
    [
        pytest.param(listed(), [FIRST], None, id="empty repository"),
        pytest.param(listed(("1", "mail")), [FIRST], None, id="snapshots of another set"),
        # Made by the host that this one replaces: a backup of empty files would become the latest one.
        pytest.param(listed(("1", "files"), ("2", "files"), ("3", "mail")), [], "2", id="snapshots of this set"),
        pytest.param(programs.Result(1, "", "no route"), [FIRST], None, id="repository that fails"),
    ],
)
def test_first_backup_starts_where_the_repository_has_no_snapshot_of_the_set(
    snapshots: programs.Result,
    started: list[str],
    known: str | None,
    config: plan.Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    script = use(monkeypatch, snapshots=snapshots)
    assert jobs.initialize(config) == 0
    assert script.started == started
    assert jobs.load_state("backup", "files:a").get("snapshot") == known
    assert jobs.ready(config) == 0


def test_first_backup_is_started_once(config: plan.Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, backup=programs.Result(0, SUMMARY, ""), snapshots=listed())
    jobs.initialize(config)
    jobs.backup(config, "files:a")
    script = use(monkeypatch)
    jobs.initialize(config)
    assert (script.started, jobs.ready(config)) == ([], 0)


def test_first_backup_that_was_killed_with_the_host_is_started_by_the_next_run(
    config: plan.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, snapshots=listed())
    jobs.initialize(config)
    use(monkeypatch, running=["another.service"])
    assert jobs.ready(config) == 1


def test_failed_first_backup_does_not_fail_the_probe(config: plan.Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, snapshots=listed())
    jobs.initialize(config)
    monkeypatch.setenv("SERVICE_RESULT", "exit-code")
    jobs.record_result("backup", "files:a")
    use(monkeypatch, running=["another.service"])
    assert jobs.ready(config) == 0
    assert jobs.list_first_backups(config) == [FIRST]


def test_repository_with_another_address_gets_a_first_backup(
    config: plan.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, snapshots=listed())
    jobs.initialize(config)
    jobs.save_state("backup", "files:a", snapshot="1", result="success", size=7)
    moved = dataclasses.replace(config.repositories["a"], url="s3:https://other/b")
    script = use(monkeypatch, snapshots=listed())
    jobs.initialize(dataclasses.replace(config, repositories={"a": moved}))
    assert script.started == [FIRST]


def test_jobs_that_are_no_longer_configured_are_stopped_and_forgotten(
    config: plan.Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for instance in ("files:a", "mail:a"):
        monkeypatch.setenv("SERVICE_RESULT", "success")
        jobs.record_result("backup", instance)
    timers = "restic-backup@files:a.timer loaded\nrestic-backup@mail:a.timer loaded\n"
    stopped: list[str] = []

    def systemctl(argv: list[str]) -> programs.Result:
        stopped.extend(argv[2:] if argv[1] == "stop" else [])
        return programs.Result(0, timers)

    use(monkeypatch, systemctl=systemctl)
    jobs.initialize(config)
    assert stopped == ["restic-backup@mail:a.timer"]
    assert [path.name for path in (tmp_path / "text").iterdir()] == ["vise_restic_backup_files_a.prom"]
    assert [path.name for path in (tmp_path / "state").glob("*@*")] == ["backup@files:a.json"]


def test_wrong_key_is_reported_without_its_secret(
    config: plan.Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use(monkeypatch, cat=programs.Result(1, "", "Stat: Access Denied."))
    assert jobs.check_new_credentials(config) == 1
    assert "a: the key or its secret is wrong" in capsys.readouterr().out


@pytest.mark.usefixtures("config")
def test_result_of_a_unit_becomes_metrics(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    jobs.save_state("backup", "files:a", size=7, snapshot="x")
    monkeypatch.setenv("SERVICE_RESULT", "timeout")
    jobs.record_result("backup", "files:a")
    text = (tmp_path / "text/vise_restic_backup_files_a.prom").read_text()
    assert 'vise_backup_last_failure_timestamp_seconds{tool="restic",kind="files",repository="a"}' in text
    assert "last_success" not in text
    # Other tools have metrics of these names.
    assert "# HELP" not in text
    assert 'vise_backup_size_bytes{tool="restic",kind="files",repository="a"} 7\n' in text


def test_programs_get_the_environment_of_the_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/var/tmp")
    assert jobs.run(["sh", "-c", "echo $TMPDIR $A"], {"A": "b"}).out == "/var/tmp b\n"


def test_command_that_does_not_end_fails_the_backup(config: plan.Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, dump=lambda _argv: programs.run(["sleep", "60"], timeout=0.1))
    with pytest.raises(jobs.JobError, match="before the backup did not end within 600 s: dump"):
        jobs.backup(config, "files:a")


def test_missing_settings_are_reported(tmp_path: Path) -> None:
    with pytest.raises(jobs.JobError, match="run the role restic on this host"):
        jobs.load_settings(str(tmp_path))


def test_settings_that_are_not_json_are_reported(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text("{")
    with pytest.raises(jobs.JobError, match="has no valid settings"):
        jobs.load_settings(str(tmp_path))
