from __future__ import annotations

import dataclasses
import io
import itertools
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.vise.platform.plugins.module_utils.pgbackrest import repository, restore, targets, tool

from .samples import backup, info

WAL = "00000001000000000000000A"


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(100_000))
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setattr("time.monotonic", lambda: float(next(ticks)))


def answers(*rows: list[str]) -> Callable[[str], list[str]]:
    """Answer with each row once, then with the last for ever."""
    waiting = list(rows)
    return lambda _query: waiting.pop(0) if len(waiting) > 1 else waiting[0]


def wanted(kind: str = "latest", value: str = "") -> restore.Wanted:
    return restore.Wanted(targets.Target(kind, value))


WAITS = "RecoveryRetrieveRetryInterval"


def test_latest_is_reached_when_the_newest_segment_was_replayed() -> None:
    rows = [[], ["0/9000000", "not paused", "", "5"], ["0/A000060", "not paused", WAITS, "7.5"]]
    assert restore.recover(wanted(), answers(*rows), WAL) == restore.Reached("0/A000060", 7.5)


def test_wal_that_ends_before_the_archive_does_is_damage() -> None:
    with pytest.raises(restore.Unusable, match="WAL ends at 0/9000060"):
        restore.recover(wanted(), answers(["0/9000060", "not paused", WAITS, ""]), WAL)


def test_target_is_reached_when_recovery_pauses() -> None:
    rows = [["0/3000060", "not paused", WAITS, ""], ["0/4000060", "paused", "", ""]]
    assert restore.recover(wanted("name", "x"), answers(*rows), WAL) == restore.Reached("0/4000060", None)


@pytest.fixture
def unanswering(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> restore.Server:
    """A server that is not consistent yet."""
    monkeypatch.setattr(restore, "SOCKET", str(tmp_path))
    monkeypatch.setattr("subprocess.Popen", lambda *_, **__: SimpleNamespace(pid=7, poll=lambda: None))
    monkeypatch.setattr(restore.Wanted, "psql", lambda *_: tool.Answer(2, "", "the database system is starting up"))
    monkeypatch.setattr(tool, "secrets", lambda _: [])
    return restore.Server(wanted(), 1)


def test_set_whose_wal_stands_still_before_it_is_consistent_is_given_up(
    unanswering: restore.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restore, "replaying", lambda _pid: WAL)
    with pytest.raises(restore.Unusable, match=f"stands still at WAL {WAL}"):
        restore.recover(wanted(), unanswering.ask, WAL)


@pytest.mark.parametrize("segment", ["", "{:024X}"], ids=["no WAL read yet", "each one replayed"])
def test_set_that_takes_its_time_to_be_consistent_is_waited_for(
    unanswering: restore.Server, monkeypatch: pytest.MonkeyPatch, segment: str
) -> None:
    numbers = itertools.count()
    monkeypatch.setattr(restore, "replaying", lambda _pid: segment.format(next(numbers) // 100))
    assert [unanswering.ask("") for _ in range(2000)] == [[]] * 2000


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["FATAL:  the database system is starting up", "FATAL:  not a child of this"], "FATAL:  not a child of this"),
        (["FATAL:  the database system is starting up"], "the server gave no reason"),
        (["FATAL:  x", "ERROR: [039]: cannot unpack"], "ERROR: [039]: cannot unpack"),
    ],
)
def test_servers_last_words_tell_the_reason(unanswering: restore.Server, lines: list[str], words: str) -> None:
    Path(unanswering.log_path).write_text("\n".join(f"2026-03-01 [7] {line}" for line in lines))
    assert unanswering.last_words() == words


def test_segment_is_read_from_the_title_of_the_servers_process(monkeypatch: pytest.MonkeyPatch) -> None:
    title = f"postgres: 17/main: startup waiting for {WAL}"
    monkeypatch.setattr(restore, "_command_line", lambda pid: title if pid == 9 else "postgres: checkpointer")
    monkeypatch.setattr("builtins.open", lambda *_, **__: io.StringIO("8 9 "))
    assert restore.replaying(7) == WAL


@pytest.mark.parametrize("live", ["primary", "standby"])
def test_cluster_that_runs_is_left_alone_until_it_is_named(monkeypatch: pytest.MonkeyPatch, live: str) -> None:
    monkeypatch.setattr(restore, "running", lambda _data: live)
    with pytest.raises(restore.Live, match=f"is a running {live}"):
        restore.prepare(wanted())


def test_copy_is_built_beside_and_delta_in_place() -> None:
    assert wanted().beside == "/var/lib/postgresql/17/main.restoring"
    assert dataclasses.replace(wanted(), delta=True).beside == "/var/lib/postgresql/17/main"


def test_copy_neither_archives_nor_listens_nor_touches_the_live_spool() -> None:
    settings = restore.server_settings(wanted(), 1)
    assert (settings["archive_mode"], settings["listen_addresses"]) == ("off", "")
    assert settings["data_directory"] == "/var/lib/postgresql/17/main.restoring"
    assert f"--archive-async {restore.SPOOL} --lock-path={restore.SOCKET}/lock" in settings["restore_command"]


def test_wal_of_a_set_comes_from_its_own_repository_first() -> None:
    plain = "pgbackrest --config={0.config} --stanza={0.stanza}".format(wanted())
    assert restore.restore_command(wanted(), 1, restore.ASYNC) == f'{plain} --archive-async archive-get %f "%p"'
    own, _or, other = restore.restore_command(wanted(), 2, restore.ASYNC, restore.SPOOL).partition(" || ")
    assert own == f'{plain} --archive-async {restore.SPOOL} --repo=2 archive-get %f "%p"'
    # It refuses a spool that it would not use.
    assert other == f'{plain} --no-archive-async archive-get %f "%p"'


def test_restore_empties_a_spool_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[str] = []
    monkeypatch.setattr(restore.Wanted, "beside", str(tmp_path / "copy"))
    monkeypatch.setattr("shutil.chown", lambda *_: None)

    def pgbackrest(_self: restore.Wanted, *arguments: str) -> tool.Answer:
        given.extend(arguments)
        return tool.Answer(0, "", "")

    monkeypatch.setattr(restore.Wanted, "pgbackrest", pgbackrest)
    [held] = repository.parse(info(backup(1, "20260301-013000F", 10), codes=(0,)), "main")
    restore.build(wanted(), held.backups[0], "2")
    assert restore.SPOOL in given
    assert "--target-timeline=2" in given


@pytest.mark.parametrize(
    ("rows", "whole"),
    [
        (["f\ton", "t\ton"], True),
        (["f\toff"], False),
        (["f\ton"], False),
    ],
    ids=["archived after a while", "archives nothing", "archive takes nothing"],
)
def test_live_primary_hands_over_the_segment_that_it_writes(
    monkeypatch: pytest.MonkeyPatch, rows: list[str], whole: bool
) -> None:
    ask, asked = answers(*([row] for row in rows)), list[str]()

    def psql(_self: restore.Wanted, query: str) -> tool.Answer:
        asked.append(query)
        text = f"{WAL}\n" if "pg_switch_wal" in query else ask(query)[0]
        return tool.Answer(0, text, text)

    monkeypatch.setattr(restore.Wanted, "psql", psql)
    assert restore.archived_up_to_now(wanted()) is whole
    # After a backup, what was archived last is named after an older segment.
    assert f"'{WAL}.ready'" in asked[-1]


def test_running_primary_and_standby_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert restore.running(str(tmp_path)) == ""
    (tmp_path / "postmaster.pid").write_text("99999999\n")
    assert restore.running(str(tmp_path)) == ""
    monkeypatch.setattr(restore, "postmaster", lambda _: 7)
    assert restore.running(str(tmp_path)) == "primary"
    (tmp_path / "standby.signal").touch()
    assert restore.running(str(tmp_path)) == "standby"


@pytest.fixture
def switched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[restore.Wanted, list[str]]:
    """A host on which a run was killed when the copy had just taken the old cluster's place."""
    calls: list[str] = []
    monkeypatch.setattr(restore, "_systemctl", lambda verb, _unit: calls.append(verb))
    monkeypatch.setattr(restore, "NOTES", str(tmp_path))
    monkeypatch.setattr(restore.Wanted, "data", str(tmp_path / "main"))
    for name in ("main", "main.before"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    (tmp_path / "main/recovery.signal").touch()
    asked = wanted("name", "chapter")
    copy = (tmp_path / "main").stat().st_ino
    left = {
        "old": str(tmp_path / "main.before"),
        "live": "primary",
        "delta": False,
        "copy": copy,
        "asked": "name chapter",
    }
    restore.note(asked, "switching", **left)
    return asked, calls


def held(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "main").iterdir())


def test_killed_switch_is_put_back(tmp_path: Path, switched: tuple[restore.Wanted, list[str]]) -> None:
    asked, calls = switched
    restore.put_back(asked, restore.noted(asked))
    assert held(tmp_path) == ["main.before"]
    assert (restore.noted(asked), calls) == ({}, ["stop", "start"])
    assert not (tmp_path / "main.restoring").exists()


@pytest.mark.parametrize("moment", ["stop", "start"])
def test_killed_putting_back_is_done_once_more(
    tmp_path: Path, switched: tuple[restore.Wanted, list[str]], monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    asked, calls = switched

    def killed(verb: str, _unit: str) -> None:
        if verb == moment:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(restore, "_systemctl", killed)
        with pytest.raises(KeyboardInterrupt):
            restore.put_back(asked, restore.noted(asked))
    restore.put_back(asked, restore.noted(asked))
    assert held(tmp_path) == ["main.before"]
    assert calls[-1] == "start"


def test_copy_that_somebody_has_promoted_is_not_taken_back(
    tmp_path: Path, switched: tuple[restore.Wanted, list[str]]
) -> None:
    asked, calls = switched
    (tmp_path / "main/recovery.signal").unlink()
    with pytest.raises(targets.Impossible, match=r"somebody has promoted it since.*main\.before.*remove .*main\.json"):
        restore.restore(asked)
    assert held(tmp_path) == ["main"]
    assert calls == []


def test_cluster_that_was_made_since_is_left_alone(tmp_path: Path, switched: tuple[restore.Wanted, list[str]]) -> None:
    asked, _calls = switched
    (tmp_path / "main").rename(tmp_path / "gone")
    (tmp_path / "main").mkdir()
    (tmp_path / "main/standby.signal").touch()
    restore.put_back(asked, restore.noted(asked))
    assert held(tmp_path) == ["standby.signal"]
    assert (tmp_path / "main.before").is_dir()


def test_delta_that_was_killed_loses_nothing(tmp_path: Path, switched: tuple[restore.Wanted, list[str]]) -> None:
    asked, calls = switched
    restore.note(asked, **{**restore.noted(asked), "old": "", "live": "", "delta": True})
    restore.put_back(asked, restore.noted(asked))
    assert held(tmp_path) == ["main", "recovery.signal"]
    assert (restore.noted(asked), calls) == ({}, [])


def test_killed_promotion_is_ended_for_the_same_target_alone(
    switched: tuple[restore.Wanted, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, _calls = switched
    restore.note(asked, **{**restore.noted(asked), "stage": "promoting", "report": {"set": "x"}})
    with pytest.raises(targets.Impossible, match="a restore to name chapter was killed while it promoted"):
        restore.restore(wanted())
    assert restore.pending(asked)[0].startswith("end the restore to name chapter")
    monkeypatch.setattr(restore, "_finish", lambda _wanted, report: report)
    assert restore.restore(asked) == {"resumed": True, "set": "x"}


@pytest.mark.parametrize(
    ("words", "ended"), [(f"-c{chr(0)}unix_socket_directories={restore.SOCKET}", True), ("-D /x", False)]
)
def test_only_a_server_of_ours_is_ended(monkeypatch: pytest.MonkeyPatch, words: str, ended: bool) -> None:
    killed: list[int] = []
    monkeypatch.setattr(restore, "postmaster", lambda _data: 0 if killed else 7)
    monkeypatch.setattr(restore, "_command_line", lambda _pid: words)
    monkeypatch.setattr("os.kill", lambda pid, _signal: killed.append(pid))
    restore._end("/x")
    assert bool(killed) is ended


def test_switch_killed_before_its_first_rename_leaves_the_old_cluster(
    tmp_path: Path, switched: tuple[restore.Wanted, list[str]]
) -> None:
    asked, _calls = switched
    restore.put_back(asked, {"stage": "switching", "old": str(tmp_path / "not-yet"), "live": "", "copy": 0})
    assert held(tmp_path) == ["main", "recovery.signal"]
