from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.module_utils.pgbackrest import jobs, metrics, repository, tool

from .samples import backup, info

SETTINGS = {
    "stanza": "main",
    "socket": "/run/postgresql",
    "port": 5432,
    "config": "/main.conf",
    "yearly": {"1": "/y1.conf", "2": "/y2.conf"},
    "repositories": {"1": "s3-a", "2": "s3-b"},
    "queue_limit": 0,
}


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> jobs.Settings:
    (tmp_path / "data/pg_wal/archive_status").mkdir(parents=True)
    path = tmp_path / "settings.json"
    own = {"data": "data", "guard_file": "guard.conf", "state": "", "failures": "failures.json"}
    path.write_text(json.dumps({**SETTINGS, **{key: str(tmp_path / name) for key, name in own.items()}}))
    monkeypatch.setattr(tool, "as_postgres", contextlib.nullcontext)
    return jobs.Settings.load(str(path))


def test_each_yearly_repository_has_its_own_configuration(settings: jobs.Settings) -> None:
    assert settings.target("yearly", 2) == ("/y2.conf", ["--repo=1", "--type=full"])
    assert settings.target("diff", 2) == ("/main.conf", ["--repo=2", "--type=diff"])


def test_problem_names_the_repository_and_the_setting(settings: jobs.Settings) -> None:
    broken = repository.parse_info(info(codes=(0, 99), message="[X] refused"), "main")
    yearly = repository.parse_info(info(codes=(99,), message="[X] refused"), "main")
    lines = jobs.describe_problems(settings, {"/main.conf": broken, "/y1.conf": "no such file", "/y2.conf": yearly})
    assert lines == [
        "repository 2 (s3-b) cannot be used: [X] refused; check entry 2 of pgbackrest_repositories",
        "/y1.conf: no such file",
    ]


def test_stanza_counts_as_missing_only_in_readable_repositories() -> None:
    found: dict[str, list[repository.Repository] | str] = {
        "a": repository.parse_info(info(codes=(0, 1)), "main"),
        "b": repository.parse_info(info(codes=(99,)), "main"),
        "c": "x",
    }
    assert jobs.find_configs_without_stanza(found) == ["a"]


def test_job_that_is_killed_before_its_start_does_not_get_the_last_result(
    settings: jobs.Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(jobs, "query_repositories", lambda _: {"/main.conf": "x"})
    monkeypatch.setattr(metrics, "write", lambda *_: None)
    Path(settings.state, "outcome-diff.json").write_text('{"1": "ok", "2": "ok"}')
    assert jobs.finished(settings, "diff", "success") == 0
    assert jobs.finished(settings, "diff", "signal") == 0
    assert capsys.readouterr().out.count("the unit ended with signal") == 2
    assert set(json.loads(Path(settings.failures).read_text())["diff"]) == {"1", "2"}


def test_samples_report_success_failure_and_unreachable_repositories(settings: jobs.Settings) -> None:
    kept = backup(1, "1F", 50, annotation={"wal": "complete"})
    halved = backup(1, "2F", 60)
    found: dict[str, list[repository.Repository] | str] = {
        "/main.conf": repository.parse_info(info(backup(1, "1F", 100), backup(1, "2F", 200), codes=(0, 99)), "main"),
        "/y1.conf": repository.parse_info(info(kept, halved, codes=(0,)), "main"),
        "/y2.conf": "gone",
    }
    text = metrics.render(jobs.build_samples(settings, found, {"diff": {"2": 70.4}}))
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert 'vise_backup_last_success_timestamp_seconds{tool="pgbackrest",kind="full",repository="1"} 200' in lines
    assert 'vise_backup_last_success_timestamp_seconds{tool="pgbackrest",kind="yearly",repository="1"} 50' in lines
    assert 'vise_backup_last_failure_timestamp_seconds{tool="pgbackrest",kind="diff",repository="2"} 70' in lines
    assert 'vise_backup_repository_up{tool="pgbackrest",repository="2"} 0' in lines
    assert len(lines) == 7


@pytest.mark.parametrize(
    ("active", "queue", "expected"),
    [(False, 100, False), (False, 101, True), (True, 51, True), (True, 50, False)],
)
def test_guard_starts_above_the_limit_and_ends_below_half_of_it(active: bool, queue: int, expected: bool) -> None:
    assert jobs.needs_guard(active, queue, 100) is expected


def test_default_limit_is_half_of_the_free_space() -> None:
    assert (jobs.compute_queue_limit(0, 30, 70), jobs.compute_queue_limit(10, 30, 70)) == (50, 10)


def test_queue_counts_segments_that_wait(settings: jobs.Settings) -> None:
    wal = Path(settings.data) / "pg_wal"
    for name, state in (("1", "ready"), ("2", "ready"), ("3", "done")):
        (wal / name).write_bytes(b"12345")
        (wal / "archive_status" / f"{name}.{state}").touch()
    (wal / "archive_status/4.ready").touch()
    assert jobs.measure_queue(settings.data) == 10


def test_secrets_are_hidden_in_texts(tmp_path: Path) -> None:
    config = tmp_path / "x.conf"
    config.write_text("repo1-s3-key=AKIA1\nrepo1-s3-key-secret=s3cret\nrepo2-cipher-pass = long pass\nrepo1-path=/x\n")
    hidden = tool.read_secrets(str(config))
    assert hidden == ["AKIA1", "s3cret", "long pass"]
    assert tool.hide_secrets("AKIA1 s3cret /x long pass", hidden) == "(hidden) (hidden) /x (hidden)"


def test_metrics_file_is_replaced_atomically(tmp_path: Path) -> None:
    metrics.write("x.prom", "old\n", str(tmp_path))
    metrics.write("x.prom", "new\n", str(tmp_path))
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("x.prom", "new\n")]


def test_failed_program_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setattr("time.monotonic", iter(range(1, 10_000_000)).__next__)
    result = tool.run(["sh", "-c", "echo 'ERROR: [029]: gone'; exec sleep 600"], verdict="ERROR: [")
    assert (result.failed, result.out) == (True, "ERROR: [029]: gone\n")
