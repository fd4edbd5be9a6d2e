from __future__ import annotations

import dataclasses
import io
import itertools
import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.vise.platform.plugins.module_utils.host import programs
from ansible_collections.vise.platform.plugins.module_utils.pgbackrest import (
    placement,
    repository,
    restore,
    targets,
    tool,
)
from ansible_collections.vise.platform.plugins.module_utils.postgresql import instance

from .samples import backup, info

WAL = "00000001000000000000000A"


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(100_000))
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setattr("time.monotonic", lambda: float(next(ticks)))


def make_answers(*rows: list[str]) -> Callable[[str], list[str]]:
    """Return a query that answers with each row once, then always with the last one."""
    waiting = list(rows)
    return lambda _query: waiting.pop(0) if len(waiting) > 1 else waiting[0]


def make_request(kind: str = "latest", value: str = "") -> restore.Request:
    return restore.Request(targets.Target(kind, value))


WAITS = "RecoveryRetrieveRetryInterval"


def test_latest_is_reached_after_the_newest_segment() -> None:
    rows = [[], ["0/9000000", "not paused", "", "5"], ["0/A000060", "not paused", WAITS, "7.5"]]
    assert restore.wait_for_target(make_request(), make_answers(*rows), WAL) == restore.RecoveryEnd("0/A000060", 7.5)


def test_segment_that_is_being_fetched_is_awaited() -> None:
    rows = [["0/A000060", "not paused", "RestoreCommand", "7"], ["0/B000060", "not paused", WAITS, "9"]]
    assert restore.wait_for_target(make_request(), make_answers(*rows), WAL) == restore.RecoveryEnd("0/B000060", 9)


def test_wal_that_ends_before_the_archive_is_damaged() -> None:
    with pytest.raises(restore.UnusableSetError, match="WAL ends at 0/9000060"):
        restore.wait_for_target(make_request(), make_answers(["0/9000060", "not paused", WAITS, ""]), WAL)


LIMITS = {
    "max_connections": 100,
    "max_worker_processes": 8,
    "max_wal_senders": 10,
    "max_prepared_transactions": 0,
    "max_locks_per_transaction": 64,
}


def answer_paused(position: str) -> Callable[[str], list[str]]:
    """Return a query to a server whose recovery has paused, with the settings in LIMITS."""
    settings = " ".join(f"{name}={value}" for name, value in LIMITS.items())
    rows = {restore.POSITION: [position, "paused", "RecoveryPause", ""], restore.SETTINGS: [settings]}
    return lambda query: rows[query]


def give_controldata(monkeypatch: pytest.MonkeyPatch, **values: int) -> None:
    """Let the control file contain LIMITS, with other values for some."""
    lines = [f"{label}:  {({**LIMITS, **values})[name]}" for name, label in instance.RECOVERY_MINIMA.items()]
    monkeypatch.setattr(tool, "run_program", lambda *_: programs.Result(0, "\n".join(lines)))


def test_target_is_reached_when_recovery_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    give_controldata(monkeypatch)
    reached = restore.wait_for_target(make_request("name", "x"), answer_paused("0/4000060"), WAL)
    assert reached == restore.RecoveryEnd("0/4000060", None)


@pytest.mark.parametrize("kind", ["latest", "time", "immediate"])
@pytest.mark.parametrize(("name", "value"), [("max_connections", 300), ("max_prepared_transactions", 5)])
def test_pause_at_a_setting_that_is_too_low_is_not_the_target(
    monkeypatch: pytest.MonkeyPatch, kind: str, name: str, value: int
) -> None:
    give_controldata(monkeypatch, **{name: value})
    message = f"paused at 0/4000060, before the target: {name} is {LIMITS[name]}, and the WAL needs {value}"
    with pytest.raises(restore.UnusableSetError, match=message):
        restore.wait_for_target(make_request(kind), answer_paused("0/4000060"), WAL)


@pytest.mark.parametrize("row", [["0/9000060", "not paused", "WalSync", ""], ["0/9000060", "not paused", "", "7.5"]])
@pytest.mark.parametrize("kind", ["latest", "time"])
def test_recovery_without_progress_is_given_up(kind: str, row: list[str]) -> None:
    with pytest.raises(restore.UnusableSetError, match=r"no progress at 0/9000060 .not paused; it waits for"):
        restore.wait_for_target(make_request(kind), make_answers(row), WAL)


class Recovery:
    """A recovery whose WAL raises a setting, once for each value; a server with a lower value does not get further."""

    def __init__(self, data: Path, monkeypatch: pytest.MonkeyPatch, *raised: int) -> None:
        self.request = make_request("time", "x")
        self.started, self.waiting = list[dict[str, int]](), list(raised)
        self.minima = {**LIMITS}
        self.auto = data / "postgresql.auto.conf"
        self.auto.write_text("restore_command = 'x'\nmax_connections = '90'\n")
        monkeypatch.setattr(restore, "NOTES", str(data))
        monkeypatch.setattr(restore.Request, "staging", str(data))
        monkeypatch.setattr(restore, "read_configured", lambda _request: LIMITS)
        monkeypatch.setattr(restore, "read_recovery_minima", lambda *_: dict(self.minima))
        monkeypatch.setattr(restore, "_run_staging_server", self.run)

    def run(self, _request: object, _backup: object, _newest: str, raised: dict[str, int]) -> None:
        self.started.append(dict(raised))
        while self.waiting:
            value = self.waiting[0]
            self.minima["max_connections"] = value
            if value > raised.get("max_connections", LIMITS["max_connections"]):
                raise restore.UnusableSetError("paused")
            self.waiting.pop(0)


def run_recovery(recovery: Recovery) -> dict[str, str]:
    [repo] = repository.parse_info(info(backup(1, "20260301-013000F", 10), codes=(0,)), "main")
    restore.recover(recovery.request, repo.backups[0], "")
    return dict(recovery.request.note.read()["raised"])


def test_recovery_is_repeated_with_the_settings_that_its_wal_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recovery = Recovery(tmp_path, monkeypatch, 300, 200, 400, 100)
    # ALTER SYSTEM had set another value before.
    assert run_recovery(recovery) == {"max_connections": "90"}
    assert recovery.started == [{}, {"max_connections": 300}, {"max_connections": 400}]
    # The unit's server replays the same WAL again.
    assert recovery.auto.read_text().endswith("max_connections = '400'\n")


def test_recovery_with_sufficient_settings_changes_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recovery = Recovery(tmp_path, monkeypatch, 100)
    before = recovery.auto.read_text()
    assert run_recovery(recovery) == {}
    assert recovery.started == [{}]
    assert recovery.auto.read_text() == before


def test_set_that_fails_for_another_reason_is_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recovery = Recovery(tmp_path, monkeypatch)

    def fail(*_: object) -> None:
        raise restore.UnusableSetError("a segment is damaged")

    monkeypatch.setattr(restore, "_run_staging_server", fail)
    with pytest.raises(restore.UnusableSetError, match="a segment is damaged"):
        run_recovery(recovery)


@pytest.fixture
def inconsistent_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> restore.StagingServer:
    """A staging server whose cluster is not consistent yet."""
    monkeypatch.setattr(restore, "SOCKET", str(tmp_path))
    monkeypatch.setattr(restore.Request, "staging", str(tmp_path))
    monkeypatch.setattr(instance, "start", lambda *_, **__: SimpleNamespace(pid=7, poll=lambda: None))
    monkeypatch.setattr(
        restore.Request, "psql", lambda *_: programs.Result(2, "", "the database system is starting up")
    )
    monkeypatch.setattr(tool, "read_secrets", lambda _: [])
    return restore.StagingServer(make_request(), 1, {})


def test_set_whose_recovery_stalls_before_consistency_is_unusable(
    inconsistent_server: restore.StagingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restore, "get_replayed_segment", lambda _pid: WAL)
    with pytest.raises(restore.UnusableSetError, match=f"makes no progress at WAL {WAL}"):
        restore.wait_for_target(make_request(), inconsistent_server.query, WAL)


@pytest.mark.parametrize("segment", ["", "{:024X}"], ids=["no WAL read yet", "each one replayed"])
def test_slow_recovery_before_consistency_is_awaited(
    inconsistent_server: restore.StagingServer, monkeypatch: pytest.MonkeyPatch, segment: str
) -> None:
    numbers = itertools.count()
    monkeypatch.setattr(restore, "get_replayed_segment", lambda _pid: segment.format(next(numbers) // 100))
    assert [inconsistent_server.query("") for _ in range(2000)] == [[]] * 2000


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["FATAL:  the database system is starting up", "FATAL:  not a child of this"], "FATAL:  not a child of this"),
        (["FATAL:  the database system is starting up"], "the server's log contains no error"),
        (["FATAL:  x", "ERROR: [039]: cannot unpack"], "ERROR: [039]: cannot unpack"),
        (["FATAL:  extend: No space left on device", "ERROR:  x"], "FATAL:  extend: No space left on device"),
    ],
)
def test_failure_of_the_server_is_explained_from_its_log(
    inconsistent_server: restore.StagingServer, lines: list[str], message: str
) -> None:
    Path(inconsistent_server.log_path).write_text("\n".join(f"2026-03-01 [7] {line}" for line in lines))
    assert inconsistent_server.explain_failure() == message


def test_segment_is_read_from_the_process_title(monkeypatch: pytest.MonkeyPatch) -> None:
    title = f"postgres: 17/main: startup waiting for {WAL}"
    monkeypatch.setattr(restore, "_command_line", lambda pid: title if pid == 9 else "postgres: checkpointer")
    monkeypatch.setattr("builtins.open", lambda *_, **__: io.StringIO("8 9 "))
    assert restore.get_replayed_segment(7) == WAL


@pytest.mark.parametrize("live", ["primary", "standby"])
def test_running_cluster_is_refused_without_consent(monkeypatch: pytest.MonkeyPatch, live: str) -> None:
    monkeypatch.setattr(restore, "get_running_role", lambda _data: live)
    with pytest.raises(restore.LiveClusterError, match=f"is a running {live}"):
        restore.plan_restore(make_request())


def test_copy_uses_a_staging_directory_and_delta_the_data_directory() -> None:
    assert make_request().staging == "/var/lib/postgresql/17/main.restoring"
    assert dataclasses.replace(make_request(), delta=True).staging == "/var/lib/postgresql/17/main"


def test_staging_server_does_not_archive_listen_or_use_the_live_spool() -> None:
    settings = restore.build_server_settings(make_request(), 1)
    assert (settings["archive_mode"], settings["listen_addresses"]) == ("off", "")
    assert settings["data_directory"] == "/var/lib/postgresql/17/main.restoring"
    assert f"--archive-async {restore.SPOOL} --lock-path={restore.SOCKET}/lock" in settings["restore_command"]


def test_wal_of_a_set_is_fetched_from_its_own_repository_first() -> None:
    plain = "pgbackrest --config={0.config} --stanza={0.stanza}".format(make_request())
    assert (
        restore.build_restore_command(make_request(), 1, restore.ASYNC)
        == f'{plain} --archive-async archive-get %f "%p"'
    )
    own, _or, other = restore.build_restore_command(make_request(), 2, restore.ASYNC, restore.SPOOL).partition(" || ")
    assert own == f'{plain} --archive-async {restore.SPOOL} --repo=2 archive-get %f "%p"'
    # pgBackRest refuses a spool path without asynchronous archiving.
    assert other == f'{plain} --no-archive-async archive-get %f "%p"'


def test_restore_uses_its_own_spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[str] = []
    monkeypatch.setattr(restore.Request, "staging", str(tmp_path / "copy"))
    monkeypatch.setattr("shutil.chown", lambda *_: None)

    def pgbackrest(_self: restore.Request, *arguments: str) -> programs.Result:
        given.extend(arguments)
        return programs.Result(0, "")

    monkeypatch.setattr(restore.Request, "pgbackrest", pgbackrest)
    [repo] = repository.parse_info(info(backup(1, "20260301-013000F", 10), codes=(0,)), "main")
    monkeypatch.setattr(restore, "NOTES", str(tmp_path))
    restore.restore_files(make_request(), repo.backups[0], "2", {"16384": str(tmp_path / "ts")})
    assert restore.SPOOL in given
    assert f"--tablespace-map=16384={tmp_path}/ts/vise-restoring" in given
    # A killed run is undone with this note.
    assert make_request().note.read()["folders"] == [f"{tmp_path}/ts/vise-restoring"]
    assert "--target-timeline=2" in given


@pytest.mark.parametrize(
    ("rows", "whole"),
    [
        (["f\ton", "t\ton"], True),
        (["f\toff"], False),
        (["f\ton"], False),
    ],
    ids=["archived after a while", "archiving is off", "archiving is stuck"],
)
def test_running_primary_archives_its_current_segment(
    monkeypatch: pytest.MonkeyPatch, rows: list[str], whole: bool
) -> None:
    answer, queries = make_answers(*([row] for row in rows)), list[str]()

    def psql(_self: restore.Request, query: str) -> programs.Result:
        queries.append(query)
        text = f"{WAL}\n" if "pg_switch_wal" in query else answer(query)[0]
        return programs.Result(0, text)

    monkeypatch.setattr(restore.Request, "psql", psql)
    assert restore.archive_current_segment(make_request()) is whole
    # After a backup, the last archived file is named after an older segment.
    assert f"'{WAL}.ready'" in queries[-1]


def test_running_primary_and_standby_are_distinguished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert restore.get_running_role(str(tmp_path)) == ""
    (tmp_path / "postmaster.pid").write_text("99999999\n")
    assert restore.get_running_role(str(tmp_path)) == ""
    monkeypatch.setattr(instance, "get_pid", lambda _: 7)
    assert restore.get_running_role(str(tmp_path)) == "primary"
    (tmp_path / "standby.signal").touch()
    assert restore.get_running_role(str(tmp_path)) == "standby"


@pytest.fixture
def switched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[restore.Request, list[str]]:
    """A host on which a run was killed directly after the switch of the directories."""
    calls: list[str] = []
    monkeypatch.setattr(restore, "_systemctl", lambda verb, _unit: calls.append(verb))
    monkeypatch.setattr(restore, "NOTES", str(tmp_path))
    monkeypatch.setattr(restore.Request, "data", str(tmp_path / "main"))
    for name in ("main", "main.before"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    (tmp_path / "main/recovery.signal").touch()
    request = make_request("name", "chapter")
    copy = (tmp_path / "main").stat().st_ino
    note = {
        "old": str(tmp_path / "main.before"),
        "live": "primary",
        "delta": False,
        "copy": copy,
        "target": "name chapter",
    }
    request.note.write({"stage": "switching", **note})
    return request, calls


def list_files(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "main").iterdir())


def test_killed_switch_is_rolled_back(tmp_path: Path, switched: tuple[restore.Request, list[str]]) -> None:
    request, calls = switched
    restore.roll_back(request, request.note.read())
    assert list_files(tmp_path) == ["main.before"]
    assert (request.note.read(), calls) == ({}, ["stop", "start"])
    assert not (tmp_path / "main.restoring").exists()


@pytest.mark.parametrize("moment", ["stop", "start"])
def test_killed_rollback_is_repeated(
    tmp_path: Path, switched: tuple[restore.Request, list[str]], monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    request, calls = switched

    def killed(verb: str, _unit: str) -> None:
        if verb == moment:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(restore, "_systemctl", killed)
        with pytest.raises(KeyboardInterrupt):
            restore.roll_back(request, request.note.read())
    restore.roll_back(request, request.note.read())
    assert list_files(tmp_path) == ["main.before"]
    assert calls[-1] == "start"


def test_copy_that_was_promoted_since_is_not_rolled_back(
    tmp_path: Path, switched: tuple[restore.Request, list[str]]
) -> None:
    request, calls = switched
    (tmp_path / "main/recovery.signal").unlink()
    with pytest.raises(targets.RestoreError, match=r"was promoted since then.*main\.before.*remove .*main\.json"):
        restore.restore(request)
    assert list_files(tmp_path) == ["main"]
    assert calls == []


def test_cluster_that_was_created_since_is_not_changed(
    tmp_path: Path, switched: tuple[restore.Request, list[str]]
) -> None:
    request, _calls = switched
    (tmp_path / "main").rename(tmp_path / "gone")
    (tmp_path / "main").mkdir()
    (tmp_path / "main/standby.signal").touch()
    restore.roll_back(request, request.note.read())
    assert list_files(tmp_path) == ["standby.signal"]
    assert (tmp_path / "main.before").is_dir()


def test_killed_delta_loses_nothing(tmp_path: Path, switched: tuple[restore.Request, list[str]]) -> None:
    request, calls = switched
    request.note.write({**request.note.read(), "old": "", "live": "", "delta": True})
    restore.roll_back(request, request.note.read())
    assert list_files(tmp_path) == ["main", "recovery.signal"]
    assert (request.note.read(), calls) == ({}, [])


def test_killed_promotion_is_completed_only_for_the_same_target(
    switched: tuple[restore.Request, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    request, _calls = switched
    request.note.write({**request.note.read(), "stage": "promoting", "report": {"set": "x"}})
    with pytest.raises(targets.RestoreError, match="a restore to name chapter was killed during the promotion"):
        restore.restore(make_request())
    assert restore.list_first_steps(request)[0].startswith("complete the restore to name chapter")
    monkeypatch.setattr(restore, "_finish", lambda _wanted, report: report)
    assert restore.restore(request) == {"resumed": True, "set": "x"}


@pytest.mark.parametrize(
    ("message", "ended"), [(f"-c{chr(0)}unix_socket_directories={restore.SOCKET}", True), ("-D /x", False)]
)
def test_only_a_staging_server_is_stopped(monkeypatch: pytest.MonkeyPatch, message: str, ended: bool) -> None:
    killed: list[int] = []
    monkeypatch.setattr(instance, "get_pid", lambda _data: 0 if killed else 7)
    monkeypatch.setattr(restore, "_command_line", lambda _pid: message)
    monkeypatch.setattr("os.kill", lambda pid, _signal: killed.append(pid))
    restore._stop_leftover_server("/x")
    assert bool(killed) is ended


def test_switch_that_was_killed_before_its_first_rename_keeps_the_old_cluster(
    tmp_path: Path, switched: tuple[restore.Request, list[str]]
) -> None:
    request, _calls = switched
    restore.roll_back(request, {"stage": "switching", "old": str(tmp_path / "not-yet"), "live": "", "copy": 0})
    assert list_files(tmp_path) == ["main", "recovery.signal"]


@pytest.mark.parametrize(
    ("raised", "prepared", "statements"),
    [
        ({}, "0", []),
        ({"max_connections": ""}, "0", ["alter system reset max_connections", "restart"]),
        ({"max_connections": "90"}, "0", ["alter system set max_connections = 90", "restart"]),
        ({"max_prepared_transactions": ""}, "0", ["alter system reset max_prepared_transactions", "restart"]),
        # The server would not start.
        ({"max_prepared_transactions": ""}, "3", ["restart"]),
    ],
)
def test_raised_settings_are_restored_after_the_promotion(
    monkeypatch: pytest.MonkeyPatch, raised: dict[str, str], prepared: str, statements: list[str]
) -> None:
    done: list[str] = []

    def psql(_self: restore.Request, query: str) -> programs.Result:
        done.extend([query] if query.startswith("alter") else [])
        return programs.Result(0, f"{prepared}\n")

    monkeypatch.setattr(restore.Request, "psql", psql)
    monkeypatch.setattr(restore, "_systemctl", lambda verb, _unit: done.append(verb))
    restore._restore_settings(make_request(), raised)
    assert done == statements


def test_failed_start_of_the_unit_is_explained_from_the_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    journal = "LOG:  starting\nFATAL:  recovery aborted because of insufficient parameter settings\nDETAIL:  why\n"

    def run(argv: list[str], **_options: object) -> programs.Result:
        return programs.Result(0, journal) if argv[0] == "journalctl" else programs.Result(1, "", "Job failed.")

    monkeypatch.setattr(programs, "run", run)
    with pytest.raises(restore.UnusableSetError, match=r"start x: Job failed\. .FATAL: .*parameter settings . DETAIL"):
        restore._systemctl("start", "x")


@pytest.mark.parametrize(("delta", "left"), [(False, "the existing cluster was not changed"), (True, "overwritten")])
def test_restore_ends_with_its_controller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, delta: bool, left: str
) -> None:
    monkeypatch.setattr(restore, "NOTES", str(tmp_path))
    monkeypatch.setattr(restore.Request, "data", str(tmp_path / "main"))
    (tmp_path / "main").mkdir()
    (tmp_path / "main.restoring").mkdir()
    request = dataclasses.replace(make_request(), delta=delta)

    def wait(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGHUP)

    monkeypatch.setattr(restore, "_restore_first_valid_set", wait)
    with pytest.raises(targets.RestoreError, match=f"the controller has ended the connection .SIGHUP.; .*{left}"):
        restore._build(request, restore.Plan((), (), {}, "", ()))
    assert (tmp_path / "main.restoring").exists() is delta


def test_killed_switch_is_rolled_back_with_its_tablespaces(
    tmp_path: Path, switched: tuple[restore.Request, list[str]]
) -> None:
    request, _calls = switched
    location, content = tmp_path / "ts", "PG_17_202406281"
    for place, name in ((location, "new"), (location / "before-1", "old")):
        (place / content).mkdir(parents=True)
        (place / content / name).touch()
    for data, place in (("main", location), ("main.before", location / "before-1")):
        (tmp_path / data / "pg_tblspc").mkdir()
        (tmp_path / data / "pg_tblspc/1").symlink_to(place)
    folders = [str(location / "vise-restoring")]
    request.note.write({**request.note.read(), "aside": "before-1", "folders": folders})
    restore.roll_back(request, request.note.read())
    assert [path.name for path in location.iterdir()] == [content]
    assert [path.name for path in (tmp_path / "main/pg_tblspc/1" / content).iterdir()] == ["old"]


def test_set_that_is_older_than_a_tablespace_is_refused_before_anything_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restore.Request, "data", str(tmp_path / "main"))
    (tmp_path / "main/pg_tblspc").mkdir(parents=True)
    (tmp_path / "main/pg_tblspc/7").symlink_to(tmp_path)
    old, new = (backup(1, label, 10) for label in ("20260301-013000F", "20260302-013000F"))
    [repo] = repository.parse_info(info(old, new, codes=(0,)), "main")
    locations: dict[repository.Backup, placement.Locations | str] = {
        repo.backups[0]: {},
        repo.backups[1]: {"7": str(tmp_path)},
    }
    # One of the sets has it.
    restore._check_copy(make_request(), 1, locations)
    with pytest.raises(targets.RestoreError, match="newer than the set"):
        restore._check_copy(make_request(), 1, {repo.backups[0]: {}})
    assert restore.find_conflict(dataclasses.replace(make_request(), delta=True), {}) == ""


def test_set_whose_list_of_files_is_damaged_is_not_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restore.Request, "data", str(tmp_path / "main"))
    broken = programs.Result(29, "", "ERROR: [029]: invalid checksum")
    monkeypatch.setattr(restore.Request, "pgbackrest", lambda *_: broken)
    old, new = (backup(1, label, 10) for label in ("20260301-013000F", "20260302-013000F"))
    [repo] = repository.parse_info(info(old, new, codes=(0,)), "main")
    unreadable = restore._read_locations(make_request(), repo.backups[0])
    assert unreadable == "set 20260301-013000F cannot be read: ERROR: [029]: invalid checksum"
    # The other one is.
    restore._check_copy(make_request(), 1, {repo.backups[0]: unreadable, repo.backups[1]: {}})
    with pytest.raises(targets.RestoreError, match="cannot be read"):
        restore._check_copy(make_request(), 1, {repo.backups[0]: unreadable})
    plan = restore.Plan(repo.backups, (repo,), {}, "", (), {repo.backups[0]: unreadable})
    monkeypatch.setattr(restore, "create_work_directory", lambda: None)
    with pytest.raises(restore.UnusableSetError, match="cannot be read"):
        restore.restore_and_recover(make_request("immediate"), plan, repo.backups[0], "")


@pytest.fixture
def two_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[restore.Plan, list[str]]:
    """A plan with two sets of one chain next to a running cluster, and the calls of systemctl."""
    calls: list[str] = []
    monkeypatch.setattr(restore, "NOTES", str(tmp_path / "notes"))
    monkeypatch.setattr(restore.Request, "data", str(tmp_path / "main"))
    monkeypatch.setattr(restore, "_systemctl", lambda verb, _unit: calls.append(verb))
    monkeypatch.setattr(restore, "find_newest_wal", lambda *_: WAL)
    (tmp_path / "main").mkdir()
    [repo] = repository.parse_info(
        info(backup(1, "20260301-013000F", 10), backup(1, "20260301-013000F_20260302-013000I", 20), codes=(0,)), "main"
    )
    full, incremental = repo.backups
    return restore.Plan((incremental, full), (repo,), {}, "primary", (), {}, (full, incremental)), calls


def fail_with(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception, *kinds: str) -> list[str]:
    """Let the restore of some kinds of sets fail with an error after it wrote files; return the tried kinds."""
    tried: list[str] = []

    def build(_request: object, _plan: object, one: repository.Backup, _newest: str) -> dict[str, float]:
        tried.append(one.kind)
        (tmp_path / "main.restoring").mkdir(exist_ok=True)
        if one.kind in kinds:
            raise error
        return {}

    monkeypatch.setattr(restore, "restore_and_recover", build)
    return tried


def test_set_before_a_damaged_one_is_used_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, two_sets: tuple[restore.Plan, list[str]]
) -> None:
    tried = fail_with(monkeypatch, tmp_path, restore.UnusableSetError("checksum"), "incr")
    used, _newest, _seconds, attempts = restore._build(make_request(), two_sets[0])
    assert (used.kind, tried) == ("full", ["incr", "full"])
    assert restore.describe_skipped(attempts, used) == [
        "Set 20260301-013000F_20260302-013000I of repository 1 was not used: checksum",
        "Set 20260301-013000F of repository 1, which ended at 1970-01-01 00:00:10+00:00, was restored instead.",
    ]


def test_sets_that_remain_are_named_when_the_requested_one_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, two_sets: tuple[restore.Plan, list[str]]
) -> None:
    fail_with(monkeypatch, tmp_path, restore.UnusableSetError("checksum"), "incr")
    plan = dataclasses.replace(two_sets[0], candidates=two_sets[0].candidates[:1])
    with pytest.raises(targets.RestoreError, match=r"not changed.*(?s:.*)restore_backup_label=20260301-013000F -e"):
        restore._build(make_request(), plan)
    assert not (tmp_path / "main.restoring").exists()


@pytest.mark.parametrize(
    "error",
    [
        restore.UnusableSetError("ERROR: [041]: unable to write '/x': [28] No space left on device"),
        restore.UnusableSetError("FATAL:  could not extend file: Disk quota exceeded"),
        restore.UnusableSetError("ERROR: [064]: raised from local-1 protocol: unable to write '/x/base/4/2662'"),
        restore.FullDiskError("recovery stopped"),
        OSError(28, "No space left on device", "/x"),
    ],
    ids=["restore", "quota", "a part is written", "reserve", "note"],
)
@pytest.mark.parametrize("pid", [7, 0], ids=["the cluster runs", "the full disk has stopped the cluster"])
def test_full_disk_is_no_damage_of_a_set_and_leaves_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    two_sets: tuple[restore.Plan, list[str]],
    error: Exception,
    pid: int,
) -> None:
    plan, calls = two_sets
    monkeypatch.setattr(instance, "get_pid", lambda data: pid if data == str(tmp_path / "main") else 0)
    tried = fail_with(monkeypatch, tmp_path, error, "incr", "full")
    with pytest.raises(restore.FullDiskError, match=r"no space left.*was not changed.*Free space.*same restore again"):
        restore._build(make_request(), plan)
    assert tried == ["incr"]
    assert not (tmp_path / "main.restoring").exists()
    assert calls == ([] if pid else ["start"])


def test_cluster_that_does_not_start_after_a_full_disk_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, two_sets: tuple[restore.Plan, list[str]]
) -> None:
    def fail(*_: str) -> None:
        raise restore.UnusableSetError("systemctl start: no space for WAL")

    monkeypatch.setattr(instance, "get_pid", lambda _data: 0)
    monkeypatch.setattr(restore, "_systemctl", fail)
    fail_with(monkeypatch, tmp_path, restore.UnusableSetError("No space left on device"), "incr")
    with pytest.raises(
        targets.RestoreError, match=r"no space for WAL.*free space in .*systemctl start postgresql@17-main"
    ):
        restore._build(make_request(), two_sets[0])
    assert not (tmp_path / "main.restoring").exists()


def test_full_disk_during_an_overwriting_restore_names_the_state_of_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, two_sets: tuple[restore.Plan, list[str]]
) -> None:
    fail_with(monkeypatch, tmp_path, restore.UnusableSetError("No space left on device"), "incr")
    with pytest.raises(restore.FullDiskError, match="partly overwritten"):
        restore._build(dataclasses.replace(make_request(), delta=True), two_sets[0])
    # PostgreSQL's files may be missing, but pgBackRest's list of them is there.
    (tmp_path / "main/backup.manifest").touch()
    restore._check_delta(make_request())


def test_recovery_stops_before_the_disk_is_full(
    inconsistent_server: restore.StagingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = SimpleNamespace(f_bavail=restore.RESERVE // 4096 - 1, f_frsize=4096)
    monkeypatch.setattr("os.statvfs", lambda _path: free)
    with pytest.raises(restore.FullDiskError, match="less than 128 MB free"):
        inconsistent_server.query("")
