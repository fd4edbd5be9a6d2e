"""Compare backups and restores with the bare tools: pgBackRest and restic, called by hand on the same repository.

The platform also locks, records metrics, and verifies what it restores; the ratio shows what this costs. Both versions
back up the database to two repositories, one after the other.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

from tools.campaigns import lab

RUNS = 3
GOAL = 0.9
DATA = "/var/lib/postgresql/17/main"
PGBACKREST = "runuser -u postgres -- pgbackrest --stanza=main"
PSQL = "cd /; runuser -u postgres -- psql -XAtq -v ON_ERROR_STOP=1 -c"
# Incompressible, as most data are after compression by the application.
TABLE = "create table bench as select decode(md5(g::text), $$hex$$) body from generate_series(1, 4000000) g"
ROWS = f"{PSQL} 'drop table if exists bench' && {PSQL} '{TABLE}' && systemctl stop 'vise-*.timer'"
FILES = """
mkdir -p /srv/odd/bench
ln -sfn odd /srv/link
for number in $(seq 400); do head -c 1000000 /dev/urandom >/srv/odd/bench/$number; done
systemctl stop 'restic-*.timer'
"""
CHANGE = "head -c 200000000 /dev/urandom >/srv/odd/bench/new"
# The bare tool restores to an empty directory and the server recovers the archive there, as its manual describes.
BARE_RESTORE = f"""
set -eu
systemctl stop postgresql@17-main
rm -rf {DATA}/*
{PGBACKREST} restore
systemctl start postgresql@17-main
until [ "$({PSQL} 'select pg_is_in_recovery()')" = f ]; do sleep 0.1; done
"""
CLEAN = f"rm -rf {DATA}.before-*"


@dataclass(frozen=True)
class Pair:
    """The same work, by the platform and by the bare tool; `before` is not measured."""

    name: str
    platform: str
    bare: str
    before: str = "true"


def list_pairs(kind: str) -> list[Pair]:
    """Return what is measured on the host of the scenario pgbackrest or restic."""
    if kind == "restic":
        return [
            Pair(
                "files: backup of 200 MB that are new",
                "systemctl start restic-backup@odd:a",
                f"vise-restic with a backup --quiet --host={lab.HOST} --tag=odd --group-by=host,tags /srv/odd",
                CHANGE,
            ),
            Pair(
                "files: restore of 600 MB",
                "vise-restic restore odd /root/out",
                "vise-restic with a restore latest --quiet --sparse --verify --target /root/out",
                "rm -rf /root/out",
            ),
        ]
    backups = [
        Pair(
            f"database: {name} backup to two repositories",
            f"systemctl start vise-pgbackrest@{name}",
            " && ".join(f"{PGBACKREST} --repo={number} --type={name} backup" for number in (1, 2)),
        )
        for name in ("full", "incr")
    ]
    return [*backups, Pair("database: restore of the newest state", "", BARE_RESTORE, CLEAN)]


def take_seconds(command: str) -> float:
    """Run a shell command on the host, or the module that restores the database; return how long it took."""
    began = time.monotonic()
    if command:
        lab.run_or_raise(lab.HOST, command)
    elif problem := lab.restore_database():
        raise lab.CampaignError(problem)
    return time.monotonic() - began


def measure(pair: Pair) -> tuple[float, float]:
    """Return the median seconds of the platform and of the bare tool, which run in turns."""
    taken: dict[str, list[float]] = {pair.platform: [], pair.bare: []}
    for number in range(RUNS):
        # The first of two runs fills the page cache: each is the first as often as the other, nearly.
        for command in (pair.platform, pair.bare) if number % 2 else (pair.bare, pair.platform):
            lab.run_or_raise(lab.HOST, pair.before)
            taken[command].append(take_seconds(command))
    return statistics.median(taken[pair.platform]), statistics.median(taken[pair.bare])


def format_row(name: str, platform: float, bare: float) -> str:
    """Return one row of the report; the ratio is the speed of the platform in relation to the bare tool."""
    ratio = bare / platform
    verdict = "" if ratio >= GOAL else f", below the goal of {GOAL}"
    return f"  {name}: {platform:.1f} s, bare tool {bare:.1f} s, ratio {ratio:.2f}{verdict}"


def measure_all() -> Iterator[str]:
    """Measure on hosts of the scenarios pgbackrest and restic; yield one row for each pair."""
    for scenario, prepare in (("pgbackrest", ROWS), ("restic", FILES)):
        lab.converge_anew(scenario)
        lab.run_or_raise(lab.HOST, prepare)
        for pair in list_pairs(scenario):
            yield format_row(pair.name, *measure(pair))
        lab.molecule("destroy", scenario)
