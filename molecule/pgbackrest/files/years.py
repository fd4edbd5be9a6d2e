"""Back up a small cluster over simulated years, with the configuration that the role wrote; print what was kept.

The server and pgBackRest get their time from libfaketime, and the repositories are directories of this host, because S3
rejects requests with an old date. Retention and all other settings are those of the role.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

PLACE = Path("/srv/years")
BIN = "/usr/lib/postgresql/17/bin"
DAY = 86400
TIME = {
    "LD_PRELOAD": "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "FAKETIME_TIMESTAMP_FILE": str(PLACE / "offset"),
    "FAKETIME_NO_CACHE": "1",
    "FAKETIME_DONT_FAKE_MONOTONIC": "1",
}
# Of the role's configuration, only the places differ.
CHANGES = {
    r"repo1-type=.*": "repo1-type=posix",
    r"repo1-(s3|storage)-.*|repo[2-9].*|archive-async=.*|spool-path=.*": "",
    r"pg1-path=.*": f"pg1-path={PLACE}/cluster",
    r"pg1-socket-path=.*": f"pg1-socket-path={PLACE}",
    r"pg1-port=.*": "pg1-port=5499",
    r"\[global\]": f"[global]\nlock-path={PLACE}/lock\nlog-path={PLACE}/log",
}
NOW = time.time()
BEGIN = NOW - 900 * DAY
# Thirty days ago, half an hour after a backup.
POINT = NOW - 30 * DAY + 1800


def run(*argv: str, **environment: str) -> str:
    """Run a program as postgres at the simulated time; return its output."""
    settings = [f"{name}={value}" for name, value in {**TIME, **environment}.items()]
    command = ["runuser", "-u", "postgres", "--", "env", *settings, *argv]
    done = subprocess.run(command, cwd=PLACE, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(argv)}: {done.stdout}{done.stderr}")
    return done.stdout


def pgbackrest(config: str, *arguments: str) -> str:
    """Run pgBackRest with one of the configurations."""
    return run("pgbackrest", f"--config={PLACE}/{config}.conf", "--stanza=main", *arguments)


def query(statement: str, port: int = 5499) -> str:
    """Return the answer of a server."""
    return run("psql", "-XAtq", "-h", str(PLACE), "-p", str(port), "-d", "postgres", "-c", statement).strip()


def begin() -> None:
    """Create the cluster and the configurations, at the first simulated moment."""
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.mkdir()
    shutil.chown(PLACE, "postgres", "postgres")
    set_time(BEGIN)
    for config in ("pgbackrest", "yearly-1"):
        text = Path(f"/etc/pgbackrest/{config}.conf").read_text()
        for pattern, new in {**CHANGES, r"repo1-path=.*": f"repo1-path={PLACE}/{config}"}.items():
            text = re.sub(rf"^(?:{pattern})$", new, text, flags=re.MULTILINE)
        (PLACE / f"{config}.conf").write_text(text)
    run(f"{BIN}/initdb", "-D", f"{PLACE}/cluster", "--no-sync", LC_ALL="C.UTF-8")
    push = f"pgbackrest --config={PLACE}/pgbackrest.conf --stanza=main archive-push %p"
    start("cluster", 5499, "-c archive_mode=on", f"-c 'archive_command={push}'")
    query("create table days (moment timestamptz default clock_timestamp())")
    for config in ("pgbackrest", "yearly-1"):
        pgbackrest(config, "stanza-create")


def start(folder: str, port: int, *options: str) -> None:
    """Start a server."""
    words = f"-p {port} -k {PLACE} -c listen_addresses= -c fsync=off {' '.join(options)}"
    run(
        f"{BIN}/pg_ctl",
        "-D",
        f"{PLACE}/{folder}",
        "-w",
        "-t",
        "120",
        "-l",
        f"{PLACE}/{folder}.log",
        "-o",
        words,
        "start",
    )


def stop(folder: str) -> None:
    """Stop a server."""
    run(f"{BIN}/pg_ctl", "-D", f"{PLACE}/{folder}", "-w", "-m", "fast", "stop")


def set_time(moment: float) -> None:
    """Set the simulated time of all processes."""
    new = PLACE / "offset.new"
    new.write_text(f"{moment - time.time():+.0f}\n")
    new.replace(PLACE / "offset")


def schedule() -> Iterator[tuple[float, str]]:
    """Return moments and kinds: fewer fulls in the first years, then one per week; daily backups of the last weeks."""
    for day in range(900, -1, -1):
        moment = NOW - day * DAY
        if day % (7 if day < 120 else 28 if day < 400 else 84) == 0:
            yield moment, "full"
        elif day < 60:
            yield moment, "diff"
        if day % 365 == 2:
            yield moment + 3600, "yearly"


def back_up(kind: str) -> dict[str, object]:
    """Back up as the job of the role does; return what the repository then has."""
    query("insert into days default values")
    config = "yearly-1" if kind == "yearly" else "pgbackrest"
    pgbackrest(config, "--repo=1", f"--type={'full' if kind == 'yearly' else kind}", "backup")
    if kind == "yearly":
        # Never part of a backup: an operator who cleans up.
        pgbackrest(config, "expire")
    return {"kind": kind, "sets": list_sets(config), "simulated": float(query("select extract(epoch from now())"))}


def list_sets(config: str) -> list[dict[str, object]]:
    """Return the label and the end of each set."""
    found = json.loads(pgbackrest(config, "--output=json", "info"))[0]["backup"]
    return [{"label": one["label"], "end": one["timestamp"]["stop"]} for one in found]


def restore(*target: str) -> dict[str, str]:
    """Restore to a directory, start a server there and return its rows."""
    shutil.rmtree(PLACE / "restored", ignore_errors=True)
    pgbackrest("pgbackrest", f"--pg1-path={PLACE}/restored", "--archive-mode=off", *target, "restore")
    start("restored", 5498)
    for _ in range(300):
        if query("select pg_is_in_recovery()", 5498) == "f":
            break
        time.sleep(0.2)
    rows, newest = query("select count(*), max(extract(epoch from moment)) from days", 5498).split("|")
    stop("restored")
    return {"rows": rows, "newest": newest}


begin()
steps = []
for at, kind in schedule():
    set_time(at)
    steps.append(back_up(kind))
query("insert into days default values")
query("select pg_switch_wal()")
pgbackrest("pgbackrest", "check")
point = time.strftime("%Y-%m-%d %H:%M:%S+00", time.gmtime(POINT))
oldest = list_sets("pgbackrest")[0]["label"]
result = {
    "now": NOW,
    "steps": steps,
    "rows": query("select count(*) from days"),
    "until": str(sum(at <= POINT for at, _kind in schedule())),
    "newest": restore(),
    "point": restore("--type=time", f"--target={point}", "--target-action=promote"),
    "oldest": restore("--type=immediate", f"--set={oldest}", "--target-action=promote"),
    "yearly": list_sets("yearly-1"),
}
stop("cluster")
shutil.rmtree(PLACE)
print(json.dumps(result))
