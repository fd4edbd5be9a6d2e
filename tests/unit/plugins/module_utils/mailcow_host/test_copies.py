"""Snapshots, dumps and restores; the containers do nothing, and files are copied."""

from __future__ import annotations

import shutil
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.module_utils.host import journal, programs
from ansible_collections.vise.platform.plugins.module_utils.mailcow_host import (
    administrator,
    changes,
    checkout,
    copies,
    exports,
    images,
    repository,
    settings,
    stack,
)


@pytest.mark.parametrize(
    ("upgrade", "run", "refused"),
    [
        ({}, "", "no upgrade is in progress"),
        ({"run": "a"}, "", ""),
        ({"run": "a"}, "a", ""),
        ({"run": "b"}, "a", "belongs to another run"),
    ],
)
def test_run_ends_only_its_own_upgrade(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, upgrade: dict[str, str], run: str, refused: str
) -> None:
    record = journal.Journal(str(tmp_path / "upgrade.json"))
    if upgrade:
        record.write(upgrade)
    monkeypatch.setattr(copies, "UPGRADE", record)
    if refused:
        with pytest.raises(settings.Problem, match=refused):
            copies.read_upgrade(run)
    else:
        assert copies.read_upgrade(run) == upgrade


@pytest.mark.parametrize(("needed", "present", "fits"), [(100, 0, False), (100, 50, True), (10, 0, True)])
def test_snapshot_must_fit(needed: int, present: int, fits: bool) -> None:
    mib = 1048576
    free = copies.SPARE + 60 * mib
    if fits:
        copies.require_space(needed * mib, present * mib, free, Path("/"))
    else:
        with pytest.raises(settings.Problem, match="/ has too little space for a snapshot: free 41 MiB more; nothing"):
            copies.require_space(needed * mib, present * mib, free, Path("/"))


@pytest.mark.parametrize(
    ("end", "is_whole"), [("-- Dump completed on 2026-01-01\n", True), ("INSERT INTO x VALU", False)]
)
def test_truncated_dump_is_refused(tmp_path: Path, end: str, is_whole: bool) -> None:
    path = tmp_path / "mailcow.sql"
    path.write_text("-- a dump\n" * 100 + end)
    if is_whole:
        copies.verify_dump(path)
    else:
        with pytest.raises(settings.Problem, match="not a complete dump"):
            copies.verify_dump(path)


class Restore:
    """A host with mail and a restored backup; the containers do nothing, and files are copied."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.composed = root, list[str]()
        self.of = settings.Settings(root, "", "2026-07a", "", "", 8080, 1)
        self.volumes = {name: root / "volumes" / name for name in (*copies.BACKED_UP, "vmail-index-vol-1")}
        self.volumes["redis-vol-1"] = root / "volumes" / "redis-vol-1"
        for path in self.volumes.values():
            path.mkdir(parents=True)
        self.backup = root / "backup"
        for name in copies.BACKED_UP:
            self.backed_up(name).mkdir(parents=True)
        (self.backup / "dump").mkdir()
        (self.backup / "dump/mailcow.sql").write_text("-- Dump completed")
        (self.backup / "dump/redis.rdb").write_text("")
        monkeypatch.setattr(copies, "SNAPSHOTS", root / "snapshots")
        monkeypatch.setattr(copies, "volumes", lambda _of: self.volumes)
        monkeypatch.setattr(copies, "create_snapshot", self.snapshot)
        monkeypatch.setattr(copies, "sync", lambda *_pair, **_options: None)
        monkeypatch.setattr(copies, "load_sql", lambda *_pair: None)
        monkeypatch.setattr(copies, "restore_snapshot", lambda _of, source: self.composed.append(f"restore {source}"))
        monkeypatch.setattr(stack, "compose", lambda _of, *arguments: self.composed.append(arguments[0]))
        monkeypatch.setattr(stack, "start", lambda _of: self.composed.append("up"))
        monkeypatch.setattr(exports, "plan_import", lambda _of, _source: {})
        monkeypatch.setattr(stack, "wait_until_healthy", lambda _of: None)

    def snapshot(self, _of: object, name: str) -> None:
        target = self.root / "snapshots" / name
        target.mkdir(parents=True)
        (target / "release").write_text("2026-07a")

    def put(self, where: Path, name: str, text: str) -> None:
        (where / name).parent.mkdir(parents=True, exist_ok=True)
        (where / name).write_text(text)

    def backed_up(self, volume: str) -> Path:
        return Path(f"{self.backup}{self.volumes[volume]}")

    def run(self) -> dict[str, t.Any]:
        done: dict[str, t.Any] = copies.restore(self.of, self.backup)
        return done


@pytest.fixture(name="restore")
def fixture_restore(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Restore:
    return Restore(tmp_path, monkeypatch)


def fail(*_arguments: object) -> None:
    raise OSError("disk full")


def test_failed_restore_is_rolled_back_and_names_the_snapshot(
    restore: Restore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "load_sql", fail)
    with pytest.raises(settings.Problem, match=r"disk full; mail was rolled back.*snapshots/before-restore-"):
        restore.run()
    (kept,) = (restore.root / "snapshots").iterdir()
    assert restore.composed == [f"restore {kept}", "up"]


def test_restore_with_a_failed_snapshot_starts_mail_again(restore: Restore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "create_snapshot", fail)
    with pytest.raises(settings.Problem, match="disk full; mail was rolled back"):
        restore.run()
    assert restore.composed == ["up"]


def test_failed_rollback_names_the_snapshot(restore: Restore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "load_sql", fail)
    monkeypatch.setattr(copies, "restore_snapshot", fail)
    with pytest.raises(settings.Problem, match=r"the rollback failed too.*are in .*snapshots/before-restore-"):
        restore.run()


@pytest.mark.parametrize(("backups_key", "unreadable"), [("old", 1), ("new", 0)])
def test_newer_messages_with_another_key_are_counted(restore: Restore, backups_key: str, unreadable: int) -> None:
    here, backup = restore.volumes["vmail-vol-1"], restore.backed_up("vmail-vol-1")
    restore.put(here, "example.org/a/Maildir/new/2.M2.host", "newer")
    restore.put(here, "example.org/a/Maildir/cur/1.M1.host:2,S", "in both, and read since")
    restore.put(backup, "example.org/a/Maildir/cur/1.M1.host:2,", "in both")
    restore.put(restore.volumes["crypt-vol-1"], "ecpubkey.pem", "new")
    restore.put(restore.backed_up("crypt-vol-1"), "ecpubkey.pem", backups_key)
    assert restore.run()["unreadable"] == unreadable


class Snapshot:
    """A host with the files of a mailcow that runs; copies are made by cp, and docker only notes its calls."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.composed: list[tuple[str, ...]] = []
        self.calls: list[list[str]] = []
        self.codes: list[int] = []
        self.removed: list[str] = []
        self.root = root
        self.config = settings.Settings(root / "checkout", "", "2026-07a", "", "", 8080, 1)
        for file in ("mailcow.conf", "data/conf/postfix/extra.cf", "settings.json"):
            path = self.config.directory / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"old {file}")
        self.volumes = {name: root / "volumes" / name for name in ("mysql-vol-1", "vmail-vol-1")}
        for name, volume in self.volumes.items():
            volume.mkdir(parents=True)
            (volume / "data").write_text(f"old {name}")
        self.upgrade = journal.Journal(str(root / "state/upgrade.json"))
        monkeypatch.setattr(copies, "UPGRADE", self.upgrade)
        monkeypatch.setattr(copies, "SNAPSHOTS", root / "state/snapshots")
        monkeypatch.setattr(copies, "SETTINGS", self.config.directory / "settings.json")
        monkeypatch.setattr(copies, "SPARE", 0)
        monkeypatch.setattr(copies, "volumes", lambda _config: self.volumes)
        monkeypatch.setattr(copies, "project_name", lambda _config: "mailcowdockerized")
        monkeypatch.setattr(copies, "measure", lambda _paths: 0)
        monkeypatch.setattr(copies, "execute", self.execute)
        monkeypatch.setattr(copies, "run", self.run)
        monkeypatch.setattr(administrator, "set_password", lambda _config: [])
        monkeypatch.setattr(repository, "release", lambda _config: "2026-03b")
        monkeypatch.setattr(repository, "fetch", lambda _config, tag: f"commit of {tag}")
        monkeypatch.setattr(changes, "write_tree", lambda _config, _revision: "tree")
        monkeypatch.setattr(images, "of_project", lambda _config: ["old-image"])
        monkeypatch.setattr(images, "remove_old", lambda old: self.removed.extend(old))
        monkeypatch.setattr(checkout, "require_own", lambda _config, _project: None)
        monkeypatch.setattr(stack, "start", lambda _config: self.composed.append(("up",)))
        monkeypatch.setattr(stack, "compose", lambda _config, *arguments: self.composed.append(arguments))
        monkeypatch.setattr(stack, "wait_until_healthy", lambda _config: None)

    def execute(self, argv: list[str]) -> programs.Result:
        """Copy instead of rsync; the first copies get the codes of a test."""
        self.calls.append(argv)
        code = self.codes.pop(0) if self.codes else 0
        shutil.copytree(argv[-2], argv[-1], dirs_exist_ok=True)
        return programs.Result(code, "", f"rsync: code {code}" if code else "")

    def run(self, argv: list[str]) -> str:
        """Note another command."""
        self.calls.append(argv)
        return ""


@pytest.fixture(name="snapshot")
def fixture_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Snapshot:
    return Snapshot(tmp_path, monkeypatch)


def test_upgrade_begins_with_a_complete_snapshot_of_the_stopped_mailcow(snapshot: Snapshot) -> None:
    note = copies.begin(snapshot.config, "2026-07a")
    target = snapshot.root / "state/snapshots/before-2026-07a"
    assert (target / "release").read_text() == "2026-03b"
    assert (target / "settings.json").read_text() == "old settings.json"
    assert (target / "volumes/vmail-vol-1/data").read_text() == "old vmail-vol-1"
    assert (note["from"], note["to"]) == ("2026-03b", "2026-07a")
    assert snapshot.upgrade.read()["phase"] == "begun"
    assert snapshot.composed == [("stop",)]
    # The databases are copied only when they are stopped.
    assert [argv[-2].rsplit("/", 2)[-2] for argv in snapshot.calls if argv[0] == "rsync"] == [
        "vmail-vol-1",
        "mysql-vol-1",
        "vmail-vol-1",
        "checkout",
    ]


def test_upgrade_with_a_conflict_stops_nothing(snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch) -> None:
    def conflict(_config: object, _revision: str) -> str:
        raise settings.Problem("sogo.conf cannot be merged")

    monkeypatch.setattr(changes, "write_tree", conflict)
    with pytest.raises(settings.Problem, match=r"sogo\.conf cannot be merged"):
        copies.begin(snapshot.config, "2026-07a")
    assert (snapshot.composed, snapshot.upgrade.read()) == ([], {})


def test_second_upgrade_is_refused(snapshot: Snapshot) -> None:
    copies.begin(snapshot.config, "2026-07a")
    with pytest.raises(settings.Problem, match="an upgrade is in progress"):
        copies.begin(snapshot.config, "2026-09")


def test_upgrade_whose_snapshot_fails_starts_mail_again_and_leaves_no_record(snapshot: Snapshot) -> None:
    snapshot.codes = [0, 11]
    with pytest.raises(settings.Problem, match=r"`rsync .*` failed \(exit 11\): rsync: code 11"):
        copies.begin(snapshot.config, "2026-07a")
    assert snapshot.composed == [("stop",), ("start",)]
    assert snapshot.upgrade.read() == {}


@pytest.mark.parametrize(("codes", "fails"), [([copies.VANISHED], False), ([0, copies.VANISHED], True)])
def test_files_may_disappear_only_while_mailcow_runs(snapshot: Snapshot, codes: list[int], fails: bool) -> None:
    snapshot.codes = codes
    if fails:
        with pytest.raises(settings.Problem, match="exit 24"):
            copies.begin(snapshot.config, "2026-07a")
    else:
        assert copies.begin(snapshot.config, "2026-07a")["phase"] == "copying"


def test_revert_restores_the_snapshot_and_removes_it(snapshot: Snapshot) -> None:
    copies.begin(snapshot.config, "2026-07a")
    assert snapshot.upgrade.read()["images"] == ["old-image"]
    (snapshot.volumes["mysql-vol-1"] / "data").write_text("new")
    (snapshot.config.directory / "settings.json").write_text("new")
    (snapshot.config.directory / "data/conf/postfix/extra.cf").write_text("new")
    snapshot.calls.clear()
    assert copies.revert(snapshot.config)["from"] == "2026-03b"
    assert (snapshot.volumes["mysql-vol-1"] / "data").read_text() == "old mysql-vol-1"
    assert (snapshot.config.directory / "settings.json").read_text() == "old settings.json"
    assert (snapshot.config.directory / "data/conf/postfix/extra.cf").read_text() == "old data/conf/postfix/extra.cf"
    # Newer messages are kept, newer rows are not.
    deletes = {argv[-2].rsplit("/", 2)[-2]: "--delete" in argv for argv in snapshot.calls if argv[0] == "rsync"}
    assert deletes == {"checkout": True, "mysql-vol-1": True, "vmail-vol-1": False}
    assert snapshot.upgrade.read() == {}
    assert not list((snapshot.root / "state/snapshots").iterdir())


def test_revert_of_an_upgrade_without_a_complete_snapshot_only_starts_mail(snapshot: Snapshot) -> None:
    snapshot.upgrade.write({"from": "2026-03b", "to": "2026-07a", "snapshot": "x", "phase": "copying", "run": "a"})
    copies.revert(snapshot.config, "a")
    assert snapshot.calls == []
    assert snapshot.composed == [("up",)]


def test_incomplete_snapshot_is_not_restored(snapshot: Snapshot) -> None:
    copies.begin(snapshot.config, "2026-07a")
    (snapshot.root / "state/snapshots/before-2026-07a/release").unlink()
    with pytest.raises(settings.Problem, match="is not a complete snapshot"):
        copies.revert(snapshot.config)
    assert snapshot.upgrade.read()["phase"] == "begun"


def test_keep_removes_the_snapshot_and_the_record(snapshot: Snapshot) -> None:
    copies.begin(snapshot.config, "2026-07a")
    assert snapshot.removed == []
    copies.keep(snapshot.config)
    assert snapshot.removed == ["old-image"]
    assert copies.status(snapshot.config)["snapshots"] == []
    assert snapshot.upgrade.read() == {}


def test_status_reports_the_upgrade_in_progress(snapshot: Snapshot) -> None:
    copies.begin(snapshot.config, "2026-07a")
    found = copies.status(snapshot.config)
    assert (found["release"], found["snapshots"]) == ("2026-03b", ["before-2026-07a"])
    assert found["upgrade"]["stale"] is False


def test_dump_writes_both_databases(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    saved: dict[str, dict[str, str]] = {}
    config = settings.Settings(tmp_path, "", "", "", "", 8080, 1)

    def save_output(argv: list[str], target: Path, **environment: str) -> None:
        saved[target.name] = environment
        target.write_text("-- Dump completed" if "mariadb-dump" in argv else "REDIS")

    ran: list[list[str]] = []
    monkeypatch.setattr(stack, "read_conf", lambda _config: {"DBNAME": "mailcow", "DBROOT": "x", "REDISPASS": "y"})
    monkeypatch.setattr(stack, "container_id", lambda _config, service: service)
    monkeypatch.setattr(copies, "save_output", save_output)
    monkeypatch.setattr(copies, "run", lambda argv, **_environment: ran.append(argv))
    exported: list[Path] = []
    monkeypatch.setattr(exports, "export", lambda _config, target: exported.append(target))
    copies.dump(config, tmp_path / "dump")
    assert exported == [tmp_path / "dump/checkout"]
    assert saved == {"mailcow.sql": {"MYSQL_PWD": "x"}, "redis.rdb": {}}
    assert (tmp_path / "dump").stat().st_mode & 0o777 == 0o700
    # The copy in the container is removed.
    assert ran[-1] == ["docker", "exec", "redis-mailcow", "rm", "/tmp/vise.rdb"]
