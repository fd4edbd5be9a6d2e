from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.host import metrics, programs, units, users
from ansible_collections.vise.platform.plugins.module_utils.pgbackrest import jobs, repository, tool

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
    monkeypatch.setattr(users, "acting_as", contextlib.nullcontext)
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
    text = metrics.render(jobs.build_samples(settings, found, {"diff": {"2": 70.4}}), jobs.DESCRIPTIONS)
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert 'vise_backup_last_success_timestamp_seconds{tool="pgbackrest",kind="full",repository="1"} 200' in lines
    assert 'vise_backup_last_success_timestamp_seconds{tool="pgbackrest",kind="yearly",repository="1"} 50' in lines
    assert 'vise_backup_last_failure_timestamp_seconds{tool="pgbackrest",kind="diff",repository="2"} 70.400' in lines
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


def answer(monkeypatch: pytest.MonkeyPatch, standby: str = "f", failing: tuple[str, ...] = ()) -> list[str]:
    """Let PostgreSQL and pgBackRest answer; commands that contain a word of `failing` fail. Return the commands."""
    calls: list[str] = []

    def run(config: str, _stanza: str, *arguments: str) -> programs.Result:
        calls.append(" ".join([config, *arguments]))
        failed = any(word in calls[-1] for word in failing)
        text = info(backup(1, "20260301-013000F", 10), codes=(0,)) if "info" in arguments else ""
        return programs.Result(55, "", "ERROR: [055]: refused") if failed else programs.Result(0, text)

    monkeypatch.setattr(tool, "pgbackrest", run)
    monkeypatch.setattr(tool, "psql", lambda *_: programs.Result(0, f"{standby}\n"))
    return calls


def read_outcome(settings: jobs.Settings, kind: str) -> dict[str, str]:
    found: dict[str, str] = json.loads(Path(settings.outcome_file(kind)).read_text())
    return found


def test_backup_continues_with_the_next_repository(
    settings: jobs.Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = answer(monkeypatch, failing=("--repo=1",))
    assert jobs.backup(settings, "diff") == 1
    assert calls == ["/main.conf --repo=1 --type=diff backup", "/main.conf --repo=2 --type=diff backup"]
    assert (read_outcome(settings, "diff")["2"], "refused" in read_outcome(settings, "diff")["1"]) == ("ok", True)
    assert "then run: systemctl start vise-pgbackrest@diff" in capsys.readouterr().out
    calls.clear()
    answer(monkeypatch)
    assert jobs.backup(settings, "diff") == 0


def test_standby_is_not_backed_up(settings: jobs.Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = answer(monkeypatch, standby="t")
    assert jobs.backup(settings, "full") == 0
    assert (calls, read_outcome(settings, "full")) == ([], {"1": "standby", "2": "standby"})


def test_yearly_backup_gets_its_wal(settings: jobs.Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = answer(monkeypatch)
    assert jobs.backup(settings, "yearly") == 0
    verbs = [call.split()[-1] if "archive" not in call else call.split("archive-")[-1][:4] for call in calls]
    assert verbs[:2] == ["backup", "info"]
    assert set(verbs[2:-1]) >= {"push"}
    assert "--annotation=wal=complete annotate" in calls[-1]


def test_server_that_does_not_answer_is_an_error(settings: jobs.Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool, "psql", lambda *_: programs.Result(2, "", "connection refused"))
    with pytest.raises(jobs.JobError, match="PostgreSQL on port 5432 does not answer: connection refused"):
        jobs.backup(settings, "full")


def parsed(*backups: dict[str, Any], codes: tuple[int, ...] = (0,)) -> list[repository.Repository]:
    """Return the parsed repositories with these backups."""
    return repository.parse_info(info(*backups, codes=codes), "main")


FULL, YEARLY = "vise-pgbackrest@full.service", "vise-pgbackrest@yearly.service"
WHOLE = [backup(1, "20260301-013000F", 100), backup(2, "20260301-013000F", 100)]
KEPT = backup(1, "20260301-033000F", 50, annotation={"wal": "complete"})
FIRST_BACKUPS: dict[str, tuple[Any, Any, list[str]]] = {
    "nothing is missing": (parsed(*WHOLE, codes=(0, 0)), parsed(KEPT), []),
    "no stanza yet": (parsed(codes=(1, 1)), parsed(codes=(1,)), [FULL, YEARLY]),
    "a run was killed after it created the stanza": (parsed(codes=(2, 2)), parsed(codes=(2,)), [FULL, YEARLY]),
    "the second repository is new": (parsed(*WHOLE[:1], codes=(0, 1)), parsed(KEPT), [FULL]),
    "yearlies are new": (parsed(*WHOLE, codes=(0, 0)), parsed(codes=(1,)), [YEARLY]),
    "a yearly without its WAL": (parsed(*WHOLE, codes=(0, 0)), parsed(backup(1, "20260301-033000F", 5)), [YEARLY]),
    "the second repository does not answer": (parsed(*WHOLE[:1], codes=(0, 99)), parsed(KEPT), []),
    "no repository answers": ("no route", "no route", []),
}


@pytest.mark.parametrize(("main", "yearly", "expected"), FIRST_BACKUPS.values(), ids=FIRST_BACKUPS)
def test_first_backups_start_where_a_readable_repository_has_none(
    main: Any, yearly: Any, expected: list[str], settings: jobs.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    answer(monkeypatch)
    monkeypatch.setattr(units, "start", started.extend)
    monkeypatch.setattr(units, "find_running", lambda names: [name for name in names if name in started])
    found = {"/main.conf": main, "/y1.conf": yearly, "/y2.conf": parsed(KEPT)}
    monkeypatch.setattr(jobs, "query_repositories", lambda _: found)
    assert jobs.ready(settings) == int(bool(expected))
    assert jobs.stanza(settings) == 0
    assert started == expected
    monkeypatch.setattr(jobs, "find_configs_without_stanza", lambda _: [])
    assert jobs.ready(settings) == 0


def test_standby_starts_no_first_backup(settings: jobs.Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, standby="t")
    monkeypatch.setattr(units, "find_running", lambda _names: [])
    monkeypatch.setattr(jobs, "query_repositories", lambda _: dict.fromkeys(["/main.conf"], parsed(codes=(1, 1))))
    settings = dataclasses.replace(settings, yearly={})
    assert (jobs.ready(settings), jobs.stanza(settings)) == (0, 0)


def test_failed_first_backup_does_not_fail_the_probe(settings: jobs.Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch)
    monkeypatch.setattr(units, "find_running", lambda _names: [])
    found = {"/main.conf": parsed(codes=(2, 2)), "/y1.conf": parsed(KEPT), "/y2.conf": parsed(KEPT)}
    monkeypatch.setattr(jobs, "query_repositories", lambda _: found)
    assert jobs.ready(settings) == 1
    Path(settings.failures).write_text('{"full": {"1": 5, "2": 5}}')
    assert jobs.ready(settings) == 0


def test_damaged_results_are_ignored(settings: jobs.Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "query_repositories", lambda _: {"/main.conf": "x"})
    monkeypatch.setattr(metrics, "write", lambda *_: None)
    Path(settings.outcome_file("diff")).write_text("half a fi")
    assert jobs.finished(settings, "diff", "timeout") == 0
    assert set(json.loads(Path(settings.failures).read_text())["diff"]) == {"1", "2"}
    assert not Path(settings.outcome_file("diff")).exists()


def test_jobs_that_end_together_are_all_recorded(
    settings: jobs.Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def query(_settings: jobs.Settings) -> dict[str, str]:
        time.sleep(0.02)
        return {"/main.conf": "x"}

    monkeypatch.setattr(jobs, "query_repositories", query)
    written = metrics.write
    monkeypatch.setattr(metrics, "write", lambda name, text: written(name, text, str(tmp_path)))
    kinds = ("full", "diff", "incr")
    with ThreadPoolExecutor(max_workers=len(kinds)) as pool:
        assert list(pool.map(lambda kind: jobs.finished(settings, kind, "timeout"), kinds)) == [0, 0, 0]
    assert set(json.loads(Path(settings.failures).read_text())) == set(kinds)


def test_missing_settings_name_the_role(tmp_path: Path) -> None:
    with pytest.raises(jobs.JobError, match=r"none\.json does not exist: run the role pgbackrest"):
        jobs.Settings.load(str(tmp_path / "none.json"))


def test_full_queue_makes_the_cluster_read_only_until_it_drains(
    settings: jobs.Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written: dict[str, str] = {}
    monkeypatch.setattr(metrics, "write", written.__setitem__)
    monkeypatch.setattr(jobs, "compute_queue_limit", lambda *_: 4)
    queries: list[str] = []

    def psql(query: str, *_address: object) -> programs.Result:
        queries.append(query)
        return programs.Result(0, "t\n")

    monkeypatch.setattr(tool, "psql", psql)
    wal, guard = Path(settings.data) / "pg_wal", Path(settings.guard_file)
    (wal / "1").write_bytes(b"12345")
    (wal / "archive_status/1.ready").touch()
    assert jobs.watch_queue(settings) == 0
    assert "default_transaction_read_only = on" in guard.read_text()
    assert guard.stat().st_mode & 0o777 == 0o644
    assert "vise_archive_guard_active 1\n" in written["vise_archive_queue.prom"]
    assert capsys.readouterr().out.startswith("<3>5 bytes of WAL wait")
    (wal / "archive_status/1.ready").unlink()
    assert jobs.watch_queue(settings) == 0
    assert not guard.exists()
    assert capsys.readouterr().out == "<4>the archive queue has drained: the cluster is writable again\n"
    assert queries == ["select pg_reload_conf()"] * 2
