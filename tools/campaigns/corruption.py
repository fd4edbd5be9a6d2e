"""Damage an object that a restore needs, one at a time, and see whether the proof of the backups tells of it.

The host and its backups are those of the scenario backup_verify. An object counts when the newest set, or the newest
snapshot, cannot be restored whole without it. Files of which pgBackRest keeps a copy beside are left out; so are
tablespace_map, which it backs up but never restores (src/command/restore/restore.c), and the last segment of the
archive: without that, the archive just ends before it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from tools import collection
from tools.campaigns import lab

SCENARIO = "backup_verify"
STORES = {"a": "s3-a", "b": "s3-b"}
DAMAGES = ("flip", "truncate", "delete")
# Runs in world; the object lies aside until it is mended.
SPOIL = """
import pathlib, random, shutil, sys
path, kept, damage, seed = sys.argv[1:]
shutil.copy2(path, kept)
data = bytearray(pathlib.Path(path).read_bytes())
place = random.Random(seed).randrange(len(data))
if damage == "delete":
    pathlib.Path(path).unlink()
elif damage == "truncate":
    pathlib.Path(path).write_bytes(data[:place])
else:
    data[place] ^= 1 << random.Random(seed).randrange(8)
    pathlib.Path(path).write_bytes(data)
"""
# What rclone remembers of its disk is a second old at most.
SETTLE = "sleep 1.2"


@dataclass(frozen=True)
class Damage:
    """One object, and what is done to it."""

    tool: str
    kind: str
    path: str
    how: str


def pgbackrest_kind(path: str, newest: str, first_wal: str, last_wal: str) -> str:
    """Say what an object of pgBackRest's is to the restore of the newest set, nothing where it is not needed."""
    if f"/backup/main/{newest}/" in path and ("/bundle/" in path or "/pg_data/" in path):
        return "" if "/pg_data/tablespace_map" in path else "set"
    segment = re.search(r"/([0-9A-F]{24})-[0-9a-f]{40}", path)
    return "WAL" if segment and first_wal <= segment[1] < last_wal else ""


def restic_kind(path: str, newest: Sequence[str]) -> str:
    """Say what an object of restic's is, nothing where it is not needed."""
    found = re.search(r"/restic/(data|index|keys|snapshots|config)(?:/|$)", path)
    if not found or (found[1] == "snapshots" and path.rpartition("/")[2] not in newest):
        return ""
    return {"data": "pack", "snapshots": "snapshot", "keys": "key"}.get(found[1], found[1])


def chosen(objects: Sequence[tuple[str, str, str]], times: int, seed: int) -> list[Damage]:
    """Choose damages: tools and kinds of object take turns, so that rare kinds are tried as well."""
    dice = random.Random(seed)  # noqa: S311 - which object is damaged is no secret
    kinds = sorted({(tool, kind) for tool, kind, _path in objects})
    of = {key: sorted(path for *its, path in objects if tuple(its) == key) for key in kinds}
    turns = [kinds[number % len(kinds)] for number in range(times)]
    return [
        Damage(tool, kind, dice.choice(of[tool, kind]), DAMAGES[number // len(kinds) % len(DAMAGES)])
        for number, (tool, kind) in enumerate(turns)
    ]


def needed(host: str) -> list[tuple[str, str, str]]:
    """Name the objects of both repositories that a restore needs, as (tool, kind, path)."""
    found = []
    for name, store in STORES.items():
        number = list(STORES).index(name) + 1
        root = f"/var/lib/world/{store}/vise-backups/{host}"
        paths = lab.must("world", f"find {root} -type f").splitlines()
        info = f"su postgres -c 'pgbackrest --stanza=main --repo={number} --output=json info'"
        label, wal = "x['backup'][-1]['label']", "x['backup'][-1]['archive']['start'], x['archive'][-1]['max']"
        told = lab.must(
            host, f'{info} | python3 -c "import json, sys; x = json.load(sys.stdin)[0]; print({label}, {wal})"'
        )
        latest = "restic snapshots --latest=1 --json --no-lock --no-cache"
        ids = "import json, sys; print(*(one['id'] for one in json.load(sys.stdin)))"
        newest = lab.must(host, f'set -a; . /root/{name}.env; {latest} | python3 -c "{ids}"').split()
        found += [
            ("pgbackrest", pgbackrest_kind(path, *told.split()), path) for path in paths if "/pgbackrest/" in path
        ]
        found += [("restic", restic_kind(path, newest), path) for path in paths if "/restic/" in path]
    return [one for one in found if one[1]]


def detected(host: str, tool: str) -> bool:
    """Ask the proof that runs each week."""
    proof = {"pgbackrest": "postgresql", "restic": "restic"}[tool]
    return lab.inside(host, f"vise-backup-verify --only {proof}").returncode != 0


def tried(host: str, damage: Damage, seed: str) -> bool:
    """Damage one object, ask, and mend it."""
    kept = f"/var/lib/world/campaign-{host}"
    lab.must("world", f"python3 - {damage.path} {kept} {damage.how} {seed}; {SETTLE}", SPOIL)
    try:
        return detected(host, damage.tool)
    finally:
        lab.must("world", f"cp -p {kept} {damage.path}; {SETTLE}")


def run(times: int, seed: int) -> lab.Result:
    """Go through all of it; what is not damaged must be proven, before and afterwards."""
    lab.molecule("converge", SCENARIO)
    lab.must(lab.HOST, "for unit in marker verify; do systemctl stop vise-backup-$unit.timer; done")
    lab.must(lab.HOST, "bash -s", (collection.ROOT / "molecule/backup_verify/marker.sh").read_text())
    tries: list[tuple[Sequence[str], bool]] = []
    failures = []
    for number, damage in enumerate(chosen(needed(lab.HOST), times, seed)):
        found = tried(lab.HOST, damage, f"{seed}-{number}")
        tries.append(((damage.tool, damage.kind, damage.how), found))
        print(
            f"{number + 1}/{times}: {damage.how} {damage.path}: {'detected' if found else 'NOT DETECTED'}", flush=True
        )
        if not found:
            failures.append(f"not detected: {damage.how} {damage.path}")
    failures += [
        f"{tool}: sound backups are called damaged" for tool in ("pgbackrest", "restic") if detected(lab.HOST, tool)
    ]
    lab.molecule("destroy", SCENARIO)
    return lab.Result(
        "corruption", seed, ("tool", "object", "damage", "tried", "detected"), lab.counted(tries), failures
    )
