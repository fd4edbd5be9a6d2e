# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Copies of mailcow's state: snapshots for a rollback, a dump for the backup, and the restore of a backup."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import time
import typing as t
from pathlib import Path

from ..host import files, programs
from . import administrator, changes, checkout, exports, images, repository, stack
from .commands import execute, run, save_output
from .settings import SETTINGS, SNAPSHOTS, STATE, UPGRADE, Problem, Settings

# The containers rebuild these volumes.
REBUILT = ("clamd-db-vol-1", "mysql-socket-vol-1", "sogo-web-vol-1")
# A rollback keeps newer messages in these volumes: a duplicate message is better than a lost one.
MERGED = ("vmail-vol-1", "postfix-vol-1")
# Volumes in a backup, in addition to the dumps. The queue is not one of them: a restore would send its messages again.
BACKED_UP = ("vmail-vol-1", "crypt-vol-1", "rspamd-vol-1")
# A newer certificate must not be replaced by that of a snapshot.
CERTIFICATE = "data/assets/ssl"
SPARE = 512 * 1024 * 1024
# It encrypts messages in mailboxes; the private key is located in the same directory.
PUBLIC_KEY = "ecpubkey.pem"
SQL, RDB = "mailcow.sql", "redis.rdb"
# Files of the checkout that administrators and the web interface have changed or added.
CHECKOUT = "checkout"
DUMP_END = "-- Dump completed"
# The exit code of rsync when files of the source disappeared meanwhile.
VANISHED = 24


def project_name(config: Settings) -> str:
    """Return the project's name, the prefix of its volumes."""
    return stack.read_conf(config)["COMPOSE_PROJECT_NAME"]


def volumes(config: Settings) -> dict[str, Path]:
    """Return the volumes with state, and their directories."""
    name = project_name(config)
    found = run(["docker", "volume", "ls", "--quiet", "--filter", f"label=com.docker.compose.project={name}"]).split()
    wanted = {full.removeprefix(f"{name}_"): full for full in found}
    return {
        short: Path(run(["docker", "volume", "inspect", "--format", "{{.Mountpoint}}", full]).strip())
        for short, full in sorted(wanted.items())
        if short not in REBUILT
    }


def measure(paths: t.Iterable[Path]) -> int:
    """Return the size of paths in bytes."""
    lines = run(["du", "--summarize", "--block-size=1", *map(str, paths)]).splitlines()
    return sum(int(line.split()[0]) for line in lines)


def require_space(needed: int, present: int, free: int, where: Path) -> None:
    """Fail if a copy does not fit on the disk."""
    missing = needed + SPARE - present - free
    if missing > 0:
        raise Problem(
            f"{where} has too little space for a snapshot: free {missing // 1048576 + 1} MiB more; nothing was changed"
        )


def sync(source: Path, target: Path, keep_new: bool = False, in_use: bool = False, without: str = "") -> None:
    """Mirror a directory.

    Args:
        source: the directory.
        target: its mirror.
        keep_new: whether to keep files that only the target has.
        in_use: whether to ignore files that disappear meanwhile, because a second copy follows.
        without: a directory in both that stays as it is.
    """
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    options = ["--archive", "--hard-links", "--acls", "--xattrs", "--numeric-ids", *([] if keep_new else ["--delete"])]
    options += [f"--exclude=/{without}"] if without else []
    argv = ["rsync", *options, f"{source}/", f"{target}/"]
    result = execute(argv)
    if result.failed and not (in_use and result.code == VANISHED):
        raise Problem(programs.describe_failure(argv, result))


def create_snapshot(config: Settings, name: str) -> Path:
    """Stop mailcow and copy everything; most files are copied before the stop. mailcow stays stopped."""
    target = SNAPSHOTS / name
    found = volumes(config)
    SNAPSHOTS.mkdir(mode=0o700, parents=True, exist_ok=True)
    present = measure([target]) if target.exists() else 0
    require_space(measure([*found.values(), config.directory]), present, shutil.disk_usage(SNAPSHOTS).free, SNAPSHOTS)
    (target / "volumes").mkdir(mode=0o700, parents=True, exist_ok=True)
    # Not the database: its files change during the copy
    for short, path in found.items():
        if short != "mysql-vol-1":
            sync(path, target / "volumes" / short, in_use=True)
    stack.compose(config, "stop")
    for short, path in found.items():
        sync(path, target / "volumes" / short)
    # With all files that administrators and the web interface have changed or added
    sync(config.directory, target / "checkout")
    if SETTINGS.is_file():
        shutil.copy2(SETTINGS, target / "settings.json")
    # This file marks a complete snapshot
    files.replace_file(str(target / "release"), repository.release(config))
    run(["sync", "--file-system", str(target)])
    return target


def begin(config: Settings, to: str) -> dict[str, t.Any]:
    """Start an upgrade: record it, create the snapshot, and permit the new release."""
    if UPGRADE.read():
        raise Problem("an upgrade is in progress: run `vise-mailcow keep` or `vise-mailcow revert` first")
    now = repository.release(config)
    note: dict[str, t.Any] = {"from": now, "to": to, "snapshot": f"before-{to}"}
    note |= {"phase": "copying", "run": secrets.token_hex(4), "images": images.of_project(config)}
    checkout.require_own(config, project_name(config))
    # Changed files that cannot be merged with the release stop the upgrade here, while mailcow runs
    changes.write_tree(config, repository.fetch(config, to))
    shutil.rmtree(SNAPSHOTS / note["snapshot"], ignore_errors=True)
    UPGRADE.write(note)
    try:
        create_snapshot(config, note["snapshot"])
    except Problem:
        stack.compose(config, "start")
        UPGRADE.remove()
        raise
    UPGRADE.write({**note, "phase": "begun", "begun": int(time.time())})
    return note


def read_upgrade(run_id: str) -> dict[str, t.Any]:
    """Return the record of the upgrade in progress. With an id, it must be the upgrade of that run."""
    note = UPGRADE.read()
    if not note:
        raise Problem("no upgrade is in progress")
    if run_id not in ("", note["run"]):
        raise Problem("the upgrade in progress belongs to another run: see `vise-mailcow status`")
    return note


def revert(config: Settings, run_id: str = "") -> dict[str, t.Any]:
    """Roll back to the snapshot of the upgrade in progress; after a kill at any time, run it again."""
    note = read_upgrade(run_id)
    if note["phase"] == "begun":
        restore_snapshot(config, SNAPSHOTS / note["snapshot"])
    stack.start(config)
    stack.wait_until_healthy(config)
    administrator.set_password(config)
    shutil.rmtree(SNAPSHOTS / note["snapshot"], ignore_errors=True)
    UPGRADE.remove()
    return note


def restore_snapshot(config: Settings, source: Path) -> None:
    """Replace the current state by a snapshot; mailcow stays stopped."""
    if not (source / "release").is_file():
        raise Problem(f"{source} is not a complete snapshot")
    label = f"label=com.docker.compose.project={project_name(config)}"
    # By label, because the failed release can have services that are not in this compose file
    running = run(["docker", "ps", "--quiet", "--filter", label]).split()
    if running:
        run(["docker", "stop", "--time", "60", *running])
    sync(source / "checkout", config.directory, without=CERTIFICATE)
    shutil.copy2(source / "settings.json", SETTINGS)
    found = volumes(config)
    for path in sorted((source / "volumes").iterdir()):
        sync(path, found[path.name], keep_new=path.name in MERGED)


def keep(_config: Settings, run_id: str = "") -> dict[str, t.Any]:
    """Keep the release of the upgrade in progress; delete its snapshot and the images of the old release."""
    note = read_upgrade(run_id)
    UPGRADE.remove()
    shutil.rmtree(SNAPSHOTS / note["snapshot"], ignore_errors=True)
    # The upgrade is complete; an image that cannot be removed only needs space
    with contextlib.suppress(Problem):
        images.remove_old(note.get("images", []))
    return note


def dump(config: Settings, target: Path) -> None:
    """Write consistent dumps of the databases, and the files of the checkout that others have changed or added.

    Other data need no dump, because each file is consistent by itself.
    """
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    conf = stack.read_conf(config)
    options = ["--single-transaction", "--quick", "--routines", "--events", "--add-drop-database", "--databases"]
    database = stack.container_id(config, "mysql-mailcow")
    argv = ["docker", "exec", "--env", "MYSQL_PWD", database, "mariadb-dump", "--user=root"]
    save_output([*argv, *options, conf["DBNAME"]], target / SQL, MYSQL_PWD=conf["DBROOT"])
    verify_dump(target / SQL)
    redis = stack.container_id(config, "redis-mailcow")
    argv = ["docker", "exec", "--env", "REDISCLI_AUTH", redis, "redis-cli", "--rdb", "/tmp/vise.rdb"]
    run(argv, REDISCLI_AUTH=conf["REDISPASS"])
    save_output(["docker", "exec", redis, "cat", "/tmp/vise.rdb"], target / RDB)
    run(["docker", "exec", redis, "rm", "/tmp/vise.rdb"])
    exports.export(config, target / CHECKOUT)


def verify_dump(sql: Path) -> None:
    """Fail if a dump is truncated."""
    with sql.open("rb") as handle:
        handle.seek(max(0, sql.stat().st_size - 200))
        if DUMP_END not in handle.read().decode("utf-8", "replace"):
            raise Problem(f"{sql} is not a complete dump: its last line is missing")


def restore(config: Settings, source: Path) -> dict[str, t.Any]:
    """Restore a backup that is located in a directory; keep newer messages, and the previous state as a snapshot.

    Return the name of the snapshot and the number of newer messages that the key of the backup cannot decrypt. If the
    restore fails, roll back.
    """
    dumps = next(iter(source.glob(f"**/{SQL}")), None)
    if dumps is None or not (dumps.parent / RDB).is_file():
        raise Problem(f"{source} does not contain a backup of mailcow: {SQL} or {RDB} is missing")
    verify_dump(dumps)
    contents = exports.plan_import(config, dumps.parent / CHECKOUT)
    found = volumes(config)
    sources = {name: locate(source, found[name]) for name in BACKED_UP}
    kept = f"before-restore-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}"
    try:
        create_snapshot(config, kept)
        unreadable = count_unreadable(found, sources)
        exports.apply_import(config, dumps.parent / CHECKOUT, contents)
        replace_data(config, found, sources, dumps)
    except (Problem, OSError) as error:
        raise Problem(f"{error}; {roll_back(config, SNAPSHOTS / kept)}") from error
    return {"snapshot": kept, "unreadable": unreadable}


def replace_data(config: Settings, found: dict[str, Path], sources: dict[str, Path], dumps: Path) -> None:
    """Replace the state of the stopped mailcow by a backup, and start it."""
    for name, path in sources.items():
        sync(path, found[name], keep_new=name in MERGED)
    # Dovecot rebuilds the indexes
    for path in found["vmail-index-vol-1"].iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    load_redis(found["redis-vol-1"], dumps.parent / RDB)
    load_sql(config, dumps)
    stack.start(config)
    stack.wait_until_healthy(config)


def roll_back(config: Settings, source: Path) -> str:
    """Roll back to the snapshot of a failed restore; return the result as a sentence."""
    try:
        if (source / "release").is_file():
            restore_snapshot(config, source)
        stack.start(config)
        stack.wait_until_healthy(config)
    except (Problem, OSError) as error:
        return f"the rollback failed too ({error}): the previous data are in {source}"
    return f"mail was rolled back to the snapshot {source}"


def count_unreadable(live: dict[str, Path], backup: dict[str, Path]) -> int:
    """Return the number of messages that are not in the backup and were encrypted with another key."""
    keys = [directory["crypt-vol-1"] / PUBLIC_KEY for directory in (live, backup)]
    if not keys[0].is_file() or (keys[1].is_file() and keys[0].read_bytes() == keys[1].read_bytes()):
        return 0
    names = [{path.name.partition(":")[0] for path in find_mails(one["vmail-vol-1"])} for one in (live, backup)]
    return len(names[0] - names[1])


def find_mails(volume: Path) -> t.Iterator[Path]:
    """Yield the messages of all mailboxes. The flags after the colon of a file name can differ between hosts."""
    for directory in ("cur", "new"):
        yield from (path for path in volume.glob(f"**/{directory}/*") if path.is_file())


def locate(source: Path, original: Path) -> Path:
    """Return where a path of the host is located in the directory of the restored backup."""
    path = source / original.relative_to("/")
    if not path.is_dir():
        raise Problem(f"the backup does not contain {original}")
    return path


def load_redis(volume: Path, rdb: Path) -> None:
    """Copy a dump to the file that Redis reads at its start."""
    owner = (volume / "dump.rdb").stat() if (volume / "dump.rdb").exists() else volume.stat()
    shutil.copyfile(rdb, volume / "dump.rdb")
    shutil.chown(volume / "dump.rdb", owner.st_uid, owner.st_gid)


def load_sql(config: Settings, sql: Path) -> None:
    """Load a dump into MariaDB, the only running service."""
    stack.compose(config, "start", "mysql-mailcow")
    end = time.monotonic() + config.start_seconds
    while True:
        try:
            stack.run_sql(config, "SELECT 1")
            break
        except Problem:
            if time.monotonic() > end:
                raise
            time.sleep(1)
    stack.load_sql(config, sql)
    # The backup can contain an older password or mailcow's public default password
    administrator.set_password(config)


def status(config: Settings) -> dict[str, t.Any]:
    """Return release, upgrade in progress, and snapshots."""
    note = UPGRADE.read()
    if note:
        note["stale"] = stack.is_stale(note)
    kept = sorted(path.name for path in SNAPSHOTS.iterdir()) if SNAPSHOTS.is_dir() else []
    return {"release": repository.release(config), "upgrade": note, "snapshots": kept, "state": str(STATE)}
