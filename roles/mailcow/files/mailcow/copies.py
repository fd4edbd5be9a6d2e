"""Copies of mailcow's state: a snapshot with a way back, a dump for the backup, and the restore of one."""

from __future__ import annotations

import json
import secrets
import shutil
import time
import typing as t
from pathlib import Path

from mailcow import administrator, stack
from mailcow.host import MARKER, SNAPSHOTS, STATE, Problem, Settings, run, stream, write

# Made anew by the containers.
PASSING = ("clamd-db-vol-1", "mysql-socket-vol-1", "sogo-web-vol-1")
# What came in since the snapshot stays on the way back: a mail twice is better than none.
KEEPS_NEW = ("vmail-vol-1", "postfix-vol-1")
# What a backup holds beside the dumps. What waits to go out is no part of it: brought back, it would go out again.
BACKED_UP = ("vmail-vol-1", "crypt-vol-1", "rspamd-vol-1")
FILES = ("mailcow.conf", "docker-compose.override.yml", "data/web/inc/app_info.inc.php")
SPARE = 512 * 1024 * 1024
# Its private half, beside it, reads what is in the mailboxes.
PUBLIC_KEY = "ecpubkey.pem"
SQL, RDB = "mailcow.sql", "redis.rdb"
DUMP_END = "-- Dump completed"


def project(of: Settings) -> str:
    """Return the project's name, with which volumes begin."""
    return stack.conf(of)["COMPOSE_PROJECT_NAME"]


def volumes(of: Settings) -> dict[str, Path]:
    """Return the volumes that hold state, with their directories."""
    name = project(of)
    found = run(["docker", "volume", "ls", "--quiet", "--filter", f"label=com.docker.compose.project={name}"]).split()
    wanted = {full.removeprefix(f"{name}_"): full for full in found}
    return {
        short: Path(run(["docker", "volume", "inspect", "--format", "{{.Mountpoint}}", full]).strip())
        for short, full in sorted(wanted.items())
        if short not in PASSING
    }


def size(paths: t.Iterable[Path]) -> int:
    """Return the bytes that paths take up."""
    lines = run(["du", "--summarize", "--block-size=1", *map(str, paths)]).splitlines()
    return sum(int(line.split()[0]) for line in lines)


def need_space(needed: int, present: int, free: int, where: Path) -> None:
    """Stop where a copy does not fit."""
    missing = needed + SPARE - present - free
    if missing > 0:
        raise Problem(f"a snapshot needs {missing // 1048576 + 1} MiB more than {where} has free; nothing was changed")


def sync(source: Path, target: Path, keep_new: bool = False) -> None:
    """Make a directory as another one, or put the other one's files into it."""
    target.mkdir(parents=True, exist_ok=True)
    options = ["--archive", "--hard-links", "--acls", "--xattrs", "--numeric-ids", *([] if keep_new else ["--delete"])]
    run(["rsync", *options, f"{source}/", f"{target}/"])


def snapshot(of: Settings, name: str) -> Path:
    """Copy everything while it stands still; most of it is copied before it is stopped. mailcow stays stopped."""
    target = SNAPSHOTS / name
    found = volumes(of)
    SNAPSHOTS.mkdir(mode=0o700, parents=True, exist_ok=True)
    present = size([target]) if target.exists() else 0
    need_space(size(found.values()), present, shutil.disk_usage(SNAPSHOTS).free, SNAPSHOTS)
    (target / "volumes").mkdir(mode=0o700, parents=True, exist_ok=True)
    # A database that is written to is not worth copying twice.
    for short, path in found.items():
        if short != "mysql-vol-1":
            sync_live(path, target / "volumes" / short)
    stack.compose(of, "stop")
    for short, path in found.items():
        sync(path, target / "volumes" / short)
    for file in FILES:
        (target / "files" / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(of.directory / file, target / "files" / file)
    shutil.copy2("/etc/vise/mailcow/settings.json", target / "settings.json")
    # It is whole once this is there.
    write(target / "release", stack.release(of))
    run(["sync", "--file-system", str(target)])
    return target


def sync_live(source: Path, target: Path) -> None:
    """Copy what is in use; a file that vanishes meanwhile is no failure, since everything is compared once more."""
    try:
        sync(source, target)
    except Problem as problem:
        if "exit 24" not in str(problem):
            raise


def begin(of: Settings, to: str) -> dict[str, t.Any]:
    """Begin an upgrade: note the snapshot, make it, and allow the other release."""
    if stack.marker():
        raise Problem("an upgrade has begun already: keep or revert it first")
    now = stack.release(of)
    note = {"from": now, "to": to, "snapshot": f"before-{to}", "phase": "copying", "run": secrets.token_hex(4)}
    shutil.rmtree(SNAPSHOTS / note["snapshot"], ignore_errors=True)
    write(MARKER, json.dumps(note))
    try:
        snapshot(of, note["snapshot"])
    except Problem:
        stack.compose(of, "start")
        MARKER.unlink()
        raise
    write(MARKER, json.dumps({**note, "phase": "begun", "begun": int(time.time())}))
    return note


def begun(run_id: str) -> dict[str, t.Any]:
    """Return what the upgrade that has begun has noted; a run ends its own alone, an operator without an id any."""
    note = stack.marker()
    if not note:
        raise Problem("no upgrade has begun: there is nothing to end")
    if run_id not in ("", note["run"]):
        raise Problem("the upgrade that has begun is that of another run")
    return note


def revert(of: Settings, run_id: str = "") -> dict[str, t.Any]:
    """Go back to the snapshot of the upgrade that has begun; may be killed and started again at any time."""
    note = begun(run_id)
    if note["phase"] == "begun":
        put_back(of, SNAPSHOTS / note["snapshot"])
    stack.compose(of, "up", "--detach", "--remove-orphans")
    stack.wait(of)
    administrator.keep(of)
    shutil.rmtree(SNAPSHOTS / note["snapshot"], ignore_errors=True)
    MARKER.unlink()
    return note


def put_back(of: Settings, source: Path) -> None:
    """Put a snapshot in the place of what there is; mailcow stays stopped."""
    if not (source / "release").is_file():
        raise Problem(f"{source} is no whole snapshot")
    run(["git", "-C", str(of.directory), "checkout", "--quiet", "--force", (source / "release").read_text()])
    for file in FILES:
        shutil.copy2(source / "files" / file, of.directory / file)
    shutil.copy2(source / "settings.json", "/etc/vise/mailcow/settings.json")
    # By name, since a release that failed may have left the compose file of services that this one does not know.
    running = run(["docker", "ps", "--quiet", "--filter", f"label=com.docker.compose.project={project(of)}"]).split()
    if running:
        run(["docker", "stop", "--time", "60", *running])
    found = volumes(of)
    for path in sorted((source / "volumes").iterdir()):
        sync(path, found[path.name], keep_new=path.name in KEEPS_NEW)


def keep(_of: Settings, run_id: str = "") -> dict[str, t.Any]:
    """Stay with the release of the upgrade that has begun; its snapshot goes."""
    note = begun(run_id)
    MARKER.unlink()
    shutil.rmtree(SNAPSHOTS / note["snapshot"], ignore_errors=True)
    return note


def dump(of: Settings, target: Path) -> None:
    """Write the databases as of one moment; everything else is files, of which each is whole at any time."""
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    conf = stack.conf(of)
    options = ["--single-transaction", "--quick", "--routines", "--events", "--add-drop-database", "--databases"]
    argv = ["docker", "exec", "--env", "MYSQL_PWD", stack.container(of, "mysql-mailcow"), "mariadb-dump", "--user=root"]
    stream([*argv, *options, conf["DBNAME"]], target / SQL, MYSQL_PWD=conf["DBROOT"])
    whole(target / SQL)
    redis = stack.container(of, "redis-mailcow")
    argv = ["docker", "exec", "--env", "REDISCLI_AUTH", redis, "redis-cli", "--rdb", "/tmp/vise.rdb"]
    run(argv, REDISCLI_AUTH=conf["REDISPASS"])
    stream(["docker", "exec", redis, "cat", "/tmp/vise.rdb"], target / RDB)
    run(["docker", "exec", redis, "rm", "/tmp/vise.rdb"])


def whole(sql: Path) -> None:
    """Stop at a dump that ends too early."""
    with sql.open("rb") as handle:
        handle.seek(max(0, sql.stat().st_size - 200))
        if DUMP_END not in handle.read().decode("utf-8", "replace"):
            raise Problem(f"{sql} is no whole dump")


def restore(of: Settings, source: Path) -> dict[str, t.Any]:
    """Bring back a backup that lies below a directory; what was there is kept as a snapshot. Newer mails stay.

    Return the snapshot's name, and how many newer mails the backup's key cannot read. What fails leaves mail as before.
    """
    dumps = next(iter(source.glob(f"**/{SQL}")), None)
    if dumps is None or not (dumps.parent / RDB).is_file():
        raise Problem(f"{source} holds no backup of mailcow: {SQL} and {RDB} are missing")
    whole(dumps)
    found = volumes(of)
    sources = {name: below(source, found[name]) for name in BACKED_UP}
    kept = f"before-restore-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}"
    try:
        snapshot(of, kept)
        unreadable = foreign_mails(found, sources)
        put_in_place(of, found, sources, dumps)
    except (Problem, OSError) as error:
        raise Problem(f"{error}; {undo(of, SNAPSHOTS / kept)}") from error
    return {"snapshot": kept, "unreadable": unreadable}


def put_in_place(of: Settings, found: dict[str, Path], sources: dict[str, Path], dumps: Path) -> None:
    """Make a backup what runs; mailcow is stopped."""
    for name, path in sources.items():
        sync(path, found[name], keep_new=name in KEEPS_NEW)
    # Indexes are made anew from the mails.
    for path in found["vmail-index-vol-1"].iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    load_redis(found["redis-vol-1"], dumps.parent / RDB)
    load_sql(of, dumps)
    stack.compose(of, "up", "--detach", "--remove-orphans")
    stack.wait(of)


def undo(of: Settings, source: Path) -> str:
    """Go back to the snapshot of a restore that failed; return how it stands."""
    try:
        if (source / "release").is_file():
            put_back(of, source)
        stack.compose(of, "up", "--detach", "--remove-orphans")
        stack.wait(of)
    except (Problem, OSError) as error:
        return f"going back failed too ({error}): what was there before is in {source}"
    return f"mail is as before, of which a copy is in {source}"


def foreign_mails(found: dict[str, Path], sources: dict[str, Path]) -> int:
    """Return how many mails the backup lacks that were encrypted by another key than the backup's."""
    keys = [directory["crypt-vol-1"] / PUBLIC_KEY for directory in (found, sources)]
    if not keys[0].is_file() or (keys[1].is_file() and keys[0].read_bytes() == keys[1].read_bytes()):
        return 0
    here, backup = ({path.name.partition(":")[0] for path in mails(one["vmail-vol-1"])} for one in (found, sources))
    return len(here - backup)


def mails(volume: Path) -> t.Iterator[Path]:
    """Yield the mails of all mailboxes, whose names are the same on every host but for the flags behind a colon."""
    for directory in ("cur", "new"):
        yield from (path for path in volume.glob(f"**/{directory}/*") if path.is_file())


def below(source: Path, original: Path) -> Path:
    """Return where a path lies below the directory that a backup was restored into."""
    path = source / original.relative_to("/")
    if not path.is_dir():
        raise Problem(f"the backup lacks {original}")
    return path


def load_redis(volume: Path, rdb: Path) -> None:
    """Put a dump where Redis reads it when it starts."""
    owner = (volume / "dump.rdb").stat() if (volume / "dump.rdb").exists() else volume.stat()
    shutil.copyfile(rdb, volume / "dump.rdb")
    shutil.chown(volume / "dump.rdb", owner.st_uid, owner.st_gid)


def load_sql(of: Settings, sql: Path) -> None:
    """Load a dump into MariaDB, which alone runs meanwhile."""
    stack.compose(of, "start", "mysql-mailcow")
    end = time.monotonic() + of.start_seconds
    while True:
        try:
            stack.sql(of, b"SELECT 1")
            break
        except Problem:
            if time.monotonic() > end:
                raise
            time.sleep(1)
    stack.sql(of, sql.read_bytes())
    # What the backup holds may be an older one, or the one that everybody knows.
    administrator.keep(of)


def status(of: Settings) -> dict[str, t.Any]:
    """Return what is there."""
    note = stack.marker()
    if note:
        note["stale"] = stack.stale(note)
    kept = sorted(path.name for path in SNAPSHOTS.iterdir()) if SNAPSHOTS.is_dir() else []
    return {"release": stack.release(of), "upgrade": note, "snapshots": kept, "state": str(STATE)}
