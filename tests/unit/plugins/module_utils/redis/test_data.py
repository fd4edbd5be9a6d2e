"""The files of the data, and dumps of it; Redis and systemctl are stand-ins, `mv` and `sync` are real."""

from __future__ import annotations

import contextlib
import io
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.host import programs
from ansible_collections.vise.platform.plugins.module_utils.redis import client, data, dumps, isolated, live
from ansible_collections.vise.platform.plugins.module_utils.redis.settings import LONGEST_LOAD, RedisError, Settings

from .stand_ins import LibraryError, Server


def content(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}


MANIFEST = b"file appendonly.aof.1.base.rdb seq 1 type b\n"


def test_append_only_directory_begins_with_a_dump(tmp_path: Path) -> None:
    directory = tmp_path / "appendonlydir"
    for text in (b"interrupted", b"the dump"):
        data.create_append_only_directory(io.BytesIO(text), str(directory))
        assert content(directory) == {data.BASE: text, data.MANIFEST: MANIFEST}
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (directory, *directory.iterdir())]
    assert modes == [0o750, 0o640, 0o640]


def test_stream_never_follows_a_link(tmp_path: Path) -> None:
    (tmp_path / "of-root").write_text("kept")
    (tmp_path / "copy").symlink_to(tmp_path / "of-root")
    data.copy_stream(io.BytesIO(b"new"), str(tmp_path / "copy"), 0o600)
    assert content(tmp_path) == {"of-root": b"kept", "copy": b"new"}


class TestStart:
    """What happens before Redis starts."""

    def test_leftovers_are_removed_and_whole_data_stays(self, settings: Settings) -> None:
        folder = Path(settings.data)
        (folder / data.APPEND).mkdir()
        for name in (f"{data.APPEND}/{data.MANIFEST}", "temp-rewriteaof-1.aof", "temp-2.rdb", "dump.rdb"):
            (folder / name).write_text(name)
        assert data.prepare_start(settings) == ""
        assert sorted(path.name for path in folder.iterdir()) == [data.APPEND, "dump.rdb"]
        assert list(content(folder / data.APPEND)) == [data.MANIFEST]
        assert (Path(settings.run) / "admin").exists()

    def test_dump_becomes_an_append_only_file(self, settings: Settings) -> None:
        (Path(settings.data) / "dump.rdb").write_text("the dump")
        assert data.prepare_start(settings) == f"{settings.data}/dump.rdb"
        assert content(Path(settings.data) / data.APPEND) == {data.BASE: b"the dump", data.MANIFEST: MANIFEST}

    def test_first_start_has_no_data(self, settings: Settings) -> None:
        assert data.prepare_start(settings) == ""
        assert list(Path(settings.data).iterdir()) == []


@pytest.fixture
def connected(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A live Redis, which answers at once."""
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    return server


def snapshot(saves: int, running: int = 0, status: str = "ok") -> dict[str, Any]:
    return {"rdb_saves": saves, "rdb_bgsave_in_progress": running, "rdb_last_bgsave_status": status}


class TestDump:
    """A dump of the live data."""

    def test_dump_is_a_snapshot_that_began_afterwards(
        self, settings: Settings, connected: Server, tmp_path: Path
    ) -> None:
        connected.infos = [snapshot(3, 1), snapshot(4), snapshot(4), snapshot(5, 1), snapshot(5)]
        (Path(settings.data) / "dump.rdb").write_text("the dump")
        (tmp_path / "target.new").write_text("of a killed run")
        dumps.write(settings, str(tmp_path / "target"))
        assert (tmp_path / "target").read_text() == "the dump"
        assert stat.S_IMODE((tmp_path / "target").stat().st_mode) == 0o600
        assert not (tmp_path / "target.new").exists()
        assert [call[0] for call in connected.calls] == ["connect", "info", "info", "bgsave", "info", "info", "info"]

    def test_dump_waits_for_the_snapshot_of_another_backup(
        self, settings: Settings, connected: Server, tmp_path: Path
    ) -> None:
        connected.infos = [snapshot(3), snapshot(4, 1), snapshot(4), snapshot(4), snapshot(5)]
        connected.errors["bgsave"] = [LibraryError("Background save already in progress")]
        (Path(settings.data) / "dump.rdb").write_text("the dump")
        dumps.write(settings, str(tmp_path / "target"))
        assert (tmp_path / "target").read_text() == "the dump"
        steps = ["connect", "info", "bgsave", "info", "info", "bgsave", "info", "info"]
        assert [call[0] for call in connected.calls] == steps

    def test_failed_snapshot_keeps_the_previous_dump(
        self, settings: Settings, connected: Server, tmp_path: Path
    ) -> None:
        connected.infos = [snapshot(3), snapshot(4, status="err")]
        (tmp_path / "target").write_text("previous")
        with pytest.raises(RedisError, match="the snapshot failed"):
            dumps.write(settings, str(tmp_path / "target"))
        assert (tmp_path / "target").read_text() == "previous"

    def test_missing_snapshot_is_reported(self, settings: Settings, connected: Server, tmp_path: Path) -> None:
        connected.infos = [snapshot(3), snapshot(4)]
        with pytest.raises(RedisError, match=r"dump\.rdb does not exist"):
            dumps.write(settings, str(tmp_path / "target"))

    def test_snapshot_must_end_in_time(
        self, settings: Settings, connected: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connected.infos = [snapshot(3, 1)]
        monkeypatch.setattr(dumps, "LONGEST_LOAD", 0)
        with pytest.raises(RedisError, match="not complete after 0 s"):
            dumps.write(settings, "/nowhere/target")


class Machine:
    """redis-check-rdb, the isolated and the live Redis, whose keys are the length of its base file."""

    def __init__(self, settings: Settings, server: Server) -> None:
        self.settings, self.server = settings, server
        self.real = programs.run
        self.verbs: list[str] = []
        self.failing_starts = 0
        self.configs: list[str] = []

    @property
    def live(self) -> str:
        """The live data."""
        return (Path(self.settings.data) / data.APPEND / data.BASE).read_text()

    def run(self, argv: list[str], **options: Any) -> programs.Result:
        """Stand in for programs.run."""
        if argv[0] == "redis-check-rdb":
            assert options["user"] == self.settings.account
            broken = "broken" in Path(argv[1]).read_text()
            return programs.Result(int(broken), "RDB looks broken" if broken else "")
        if argv[0] != "systemctl":
            return self.real(argv, **options)
        self.verbs.append(argv[1])
        if argv[1] == "start":
            self.count(self.live)
            if self.failing_starts:
                self.failing_starts -= 1
                return programs.Result(1, "", "Job failed")
        return programs.Result(0, "")

    @contextlib.contextmanager
    def run_isolated(
        self, _settings: Settings, directory: str, text: str, secret: str, patience: float
    ) -> Iterator[client.Client]:
        """Stand in for isolated.run_isolated."""
        assert patience == LONGEST_LOAD
        self.configs.append(text)
        self.count((Path(directory) / "own/dump.rdb").read_text())
        yield client.Client("/s", secret)

    def count(self, text: str) -> None:
        """Report the keys of loaded data, one of which has expired."""
        self.server.infos = [{"rdb_last_load_keys_loaded": len(text) - 1, "rdb_last_load_keys_expired": 1}]


@pytest.fixture
def machine(settings: Settings, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A host with live data and a dump."""
    found = Machine(settings, server)
    monkeypatch.setattr(programs, "run", found.run)
    monkeypatch.setattr(isolated, "run_isolated", found.run_isolated)
    (tmp_path / "dump").write_text("a dump")
    data.create_append_only_directory(io.BytesIO(b"previous"), str(Path(settings.data) / data.APPEND))
    return found


class TestLoad:
    """The proof of a dump."""

    def test_keys_are_counted_with_expired_ones(self, settings: Settings, machine: Machine, tmp_path: Path) -> None:
        assert dumps.count_keys(settings, str(tmp_path / "dump")) == 6
        assert machine.configs[0].splitlines()[:2] == ["appendonly no", 'save ""']
        assert machine.configs[0].splitlines()[-1] == "user default off"

    @pytest.mark.usefixtures("machine")
    @pytest.mark.parametrize("command", [dumps.count_keys, dumps.restore])
    def test_broken_dump_is_refused(self, settings: Settings, tmp_path: Path, command: Any, machine: Machine) -> None:
        (tmp_path / "dump").write_text("broken")
        with pytest.raises(RedisError, match=r"dump is not a dump that can be restored:\nRDB looks broken"):
            command(settings, str(tmp_path / "dump"))
        assert (machine.live, machine.verbs) == ("previous", [])


class TestRestore:
    """The replacement of the live data."""

    def exchange(self, argv: list[str]) -> None:
        """Stand in for a `mv` that cannot exchange."""
        one, two = argv[-2:]
        shutil.move(one, f"{one}.x")
        shutil.move(two, one)
        shutil.move(f"{one}.x", two)

    @pytest.fixture(autouse=True)
    def old_coreutils(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Exchange two directories, which only newer versions of `mv` can."""
        real = programs.call

        def call(argv: list[str], **options: Any) -> str:
            if argv[0] != "mv":
                return real(argv, **options)
            assert argv[1:4] == ["--exchange", "--no-copy", "-T"]
            self.exchange(argv)
            return ""

        monkeypatch.setattr(programs, "call", call)

    def kept(self, settings: Settings) -> list[str]:
        """Return the data that is not live."""
        return [path.read_text() for path in Path(settings.data).glob(f"before-restore-*/{data.APPEND}/{data.BASE}")]

    def test_dump_is_live_and_the_previous_data_is_kept(
        self, settings: Settings, machine: Machine, tmp_path: Path
    ) -> None:
        keys, aside = dumps.restore(settings, str(tmp_path / "dump"))
        assert (keys, aside.startswith(f"{settings.data}/before-restore-")) == (6, True)
        assert stat.S_IMODE(Path(aside).stat().st_mode) == 0o700
        assert (machine.live, self.kept(settings)) == ("a dump", ["previous"])
        assert machine.verbs == ["stop", "reset-failed", "start"]

    def test_redis_without_data_can_be_restored(self, settings: Settings, machine: Machine, tmp_path: Path) -> None:
        shutil.rmtree(Path(settings.data) / data.APPEND)
        dumps.restore(settings, str(tmp_path / "dump"))
        assert (machine.live, self.kept(settings)) == ("a dump", [])

    def test_failed_start_is_rolled_back(self, settings: Settings, machine: Machine, tmp_path: Path) -> None:
        machine.failing_starts = 1
        with pytest.raises(RedisError, match=r"does not start: Job failed.*The previous data was restored and is live"):
            dumps.restore(settings, str(tmp_path / "dump"))
        assert (machine.live, self.kept(settings)) == ("previous", [])
        assert machine.verbs[-3:] == ["stop", "reset-failed", "start"]

    def test_missing_keys_are_rolled_back(
        self, settings: Settings, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dumps, "count_keys", lambda *_arguments: 7)
        with pytest.raises(RedisError, match=r"Redis loaded 6 keys, but the dump has 7\. The previous data"):
            dumps.restore(settings, str(tmp_path / "dump"))
        assert (machine.live, self.kept(settings)) == ("previous", [])

    def test_redis_that_does_not_stop_keeps_its_data(
        self, settings: Settings, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse() -> None:
            raise RedisError("Redis does not stop")

        monkeypatch.setattr(live, "stop", refuse)
        with pytest.raises(RedisError, match="does not stop"):
            dumps.restore(settings, str(tmp_path / "dump"))
        assert machine.live == "previous"
