"""Damage one object that a restore needs, many times, and check whether the weekly proof of the backups detects it.

The host and its backups are those of the scenario backup_verify. An object is damaged only if the newest set or
snapshot cannot be restored completely without it. Excluded are files of which pgBackRest has a second copy,
tablespace_map, which pgBackRest backs up but never restores (src/command/restore/restore.c), and the last segment of
the archive: without it, the archive only ends earlier.
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
# Runs in the container world; the original object is kept for the repair.
DAMAGE_SCRIPT = """
import pathlib, random, shutil, sys
path, original, damage, seed = sys.argv[1:]
shutil.copy2(path, original)
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
# rclone caches its disk for up to one second.
WAIT_FOR_CACHE = "sleep 1.2"


@dataclass(frozen=True)
class Damage:
    """One object and the kind of damage."""

    tool: str
    kind: str
    path: str
    method: str


def classify_pgbackrest_object(path: str, newest: str, first_wal: str, last_wal: str) -> str:
    """Return the kind of a pgBackRest object; empty when the restore of the newest set does not need it."""
    if f"/backup/main/{newest}/" in path and ("/bundle/" in path or "/pg_data/" in path):
        return "" if "/pg_data/tablespace_map" in path else "set"
    segment = re.search(r"/([0-9A-F]{24})-[0-9a-f]{40}", path)
    return "WAL" if segment and first_wal <= segment[1] < last_wal else ""


def classify_restic_object(path: str, newest: Sequence[str]) -> str:
    """Return the kind of a restic object; empty when the restore of the newest snapshots does not need it."""
    match = re.search(r"/restic/(data|index|keys|snapshots|config)(?:/|$)", path)
    if not match or (match[1] == "snapshots" and path.rpartition("/")[2] not in newest):
        return ""
    return {"data": "pack", "snapshots": "snapshot", "keys": "key"}.get(match[1], match[1])


def choose_damages(objects: Sequence[tuple[str, str, str]], times: int, seed: int) -> list[Damage]:
    """Choose damages; tools and kinds of objects alternate, so that rare kinds are tried, too."""
    rng = random.Random(seed)  # noqa: S311 - not used for cryptography
    kinds = sorted({(tool, kind) for tool, kind, _path in objects})
    paths_of = {key: sorted(path for *its, path in objects if tuple(its) == key) for key in kinds}
    turns = [kinds[number % len(kinds)] for number in range(times)]
    return [
        Damage(tool, kind, rng.choice(paths_of[tool, kind]), DAMAGES[number // len(kinds) % len(DAMAGES)])
        for number, (tool, kind) in enumerate(turns)
    ]


def list_needed_objects(host: str) -> list[tuple[str, str, str]]:
    """Return the objects in both repositories that a restore needs, as (tool, kind, path)."""
    objects = []
    for name, store in STORES.items():
        number = list(STORES).index(name) + 1
        root = f"/var/lib/world/{store}/vise-backups/{host}"
        paths = lab.run_or_raise("world", f"find {root} -type f").splitlines()
        info = f"su postgres -c 'pgbackrest --stanza=main --repo={number} --output=json info'"
        label, wal = "x['backup'][-1]['label']", "x['backup'][-1]['archive']['start'], x['archive'][-1]['max']"
        values = lab.run_or_raise(
            host, f'{info} | python3 -c "import json, sys; x = json.load(sys.stdin)[0]; print({label}, {wal})"'
        )
        latest = "restic snapshots --latest=1 --json --no-lock --no-cache"
        ids = "import json, sys; print(*(one['id'] for one in json.load(sys.stdin)))"
        newest = lab.run_or_raise(host, f'set -a; . /root/{name}.env; {latest} | python3 -c "{ids}"').split()
        objects += [
            ("pgbackrest", classify_pgbackrest_object(path, *values.split()), path)
            for path in paths
            if "/pgbackrest/" in path
        ]
        objects += [("restic", classify_restic_object(path, newest), path) for path in paths if "/restic/" in path]
    return [one for one in objects if one[1]]


def proof_fails(host: str, tool: str) -> bool:
    """Run the weekly proof of a tool's backups; return whether it fails."""
    proof = {"pgbackrest": "postgresql", "restic": "restic"}[tool]
    return lab.run_in_container(host, f"vise-backup-verify --only {proof}").returncode != 0


def try_damage(host: str, damage: Damage, seed: str) -> bool:
    """Damage one object, run the proof and repair the object; return whether the damage was detected."""
    original = f"/var/lib/world/campaign-{host}"
    lab.run_or_raise(
        "world", f"python3 - {damage.path} {original} {damage.method} {seed}; {WAIT_FOR_CACHE}", DAMAGE_SCRIPT
    )
    try:
        return proof_fails(host, damage.tool)
    finally:
        lab.run_or_raise("world", f"cp -p {original} {damage.path}; {WAIT_FOR_CACHE}")


def run(times: int, seed: int) -> lab.Result:
    """Run the campaign; intact backups must pass the proof afterwards."""
    lab.converge_anew(SCENARIO)
    lab.run_or_raise(lab.HOST, "for unit in marker verify; do systemctl stop vise-backup-$unit.timer; done")
    lab.run_or_raise(lab.HOST, "bash -s", (collection.ROOT / "molecule/backup_verify/marker.sh").read_text())
    tries: list[tuple[Sequence[str], bool]] = []
    failures = []
    for number, damage in enumerate(choose_damages(list_needed_objects(lab.HOST), times, seed)):
        detected = try_damage(lab.HOST, damage, f"{seed}-{number}")
        tries.append(((damage.tool, damage.kind, damage.method), detected))
        print(
            f"{number + 1}/{times}: {damage.method} {damage.path}: {'detected' if detected else 'NOT DETECTED'}",
            flush=True,
        )
        if not detected:
            failures.append(f"not detected: {damage.method} {damage.path}")
    failures += [
        f"{tool}: intact backups are reported as damaged"
        for tool in ("pgbackrest", "restic")
        if proof_fails(lab.HOST, tool)
    ]
    lab.molecule("destroy", SCENARIO)
    return lab.Result(
        "corruption", seed, ("tool", "object", "damage", "tried", "detected"), lab.count_tries(tries), failures
    )
