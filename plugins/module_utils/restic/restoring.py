# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Restore a snapshot: to staging directories, verified and compared there, then moved to its place by renames."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import shutil
import stat
import time
import typing as t

from . import jobs, plan
from .jobs import JobError

# Go's mode bits for setuid, setgid and sticky.
SPECIAL_BITS = {1 << 23: stat.S_ISUID, 1 << 22: stat.S_ISGID, 1 << 20: stat.S_ISVTX}
# Without a cache, because it would hide data that the repository has lost.
UNCACHED = ("--no-cache", "--retry-lock=10m")
FILE_TYPES = {"file": stat.S_IFREG, "dir": stat.S_IFDIR, "symlink": stat.S_IFLNK}


@dataclasses.dataclass(frozen=True)
class Request:
    """A requested restore."""

    set: str
    snapshot: str = "latest"
    host: str = ""  # host that made the backup; this host when empty
    repository: str = ""  # the repository to try first
    target: str = ""  # an empty or missing directory; empty string: restore in place


@dataclasses.dataclass(frozen=True)
class Place:
    """The directories for one path of the snapshot."""

    path: str
    final: str
    stage: str
    aside: str

    @property
    def staged(self) -> str:
        """The restored path in the staging directory."""
        return os.path.join(self.stage, os.path.basename(self.path))


def plan_places(paths: t.Iterable[str], target: str, stamp: str) -> list[Place]:
    """Return the directories for each path; a path inside another one is restored with it."""
    ordered = sorted(set(paths))
    top_paths = [path for path in ordered if not any(path.startswith(f"{other}/") for other in ordered)]
    found = []
    for number, path in enumerate(top_paths):
        final = target.rstrip("/") + path
        stage = os.path.join(os.path.dirname(final), f".vise-restore-{stamp}-{number}")
        found.append(Place(path, final, stage, f"{final}.before-restore-{stamp}"))
    return found


def restore(config: plan.Settings, request: Request, check_mode: bool = False) -> dict[str, t.Any]:
    """Restore from the first repository with intact data; return the report. Raise JobError when there is none."""
    plan.classify_snapshot(request.snapshot)
    validate_target(request.target)
    snapshots, failures = list_snapshots(config, request)
    candidates = plan.list_candidates(snapshots, request.snapshot)
    if request.repository:
        candidates.sort(key=lambda candidate: candidate[0] != request.repository)
    if not candidates:
        details = f"{_describe_snapshots(snapshots)} {'; '.join(failures)}"
        raise JobError(f"{request.set}: there is no snapshot {request.snapshot}. {details}".strip())
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    for name, snapshot in candidates:
        places = plan_places(snapshot["paths"], request.target, stamp)
        _reject_mount_points(places)
        if check_mode:
            return _build_report(name, snapshot, places, failures, 0, 0)
        try:
            files, size = _restore_to_staging(jobs.Restic.at(config, name), snapshot, places)
            return _build_report(name, snapshot, _move_to_place(places), failures, files, size)
        except JobError as error:
            failures.append(str(error))
        finally:
            _remove_staging(places, request.target)
    raise JobError(f"{request.set}: nothing was changed, no repository has intact data: " + "; ".join(failures))


def validate_target(target: str) -> None:
    """Raise JobError unless the target is empty or missing."""
    if target and (
        os.path.islink(target) or (os.path.exists(target) and (not os.path.isdir(target) or os.listdir(target)))
    ):
        raise JobError(f"{target} is not an empty directory: choose another one")


def _reject_mount_points(places: list[Place]) -> None:
    mounts = [place.final for place in places if os.path.ismount(place.final)]
    if mounts:
        raise JobError(f"{', '.join(mounts)}: a mount point cannot be renamed: restore to a target directory on it")


def list_snapshots(config: plan.Settings, request: Request) -> tuple[dict[str, list[dict[str, t.Any]]], list[str]]:
    """Return the snapshots of a set in each repository that answers, and a message for each other repository."""
    snapshots, failures = {}, []
    for name in config.repositories:
        restic = jobs.Restic.at(config, name)
        try:
            restic.check_access()
            snapshots[name], warning = restic.snapshots(f"--host={request.host or config.host}", f"--tag={request.set}")
            failures += [f"{name}: {warning}"] if warning else []
        except JobError as error:
            failures.append(str(error))
    return snapshots, failures


def _describe_snapshots(snapshots: dict[str, list[dict[str, t.Any]]]) -> str:
    lines = [
        f"{name} has {len(own)}" + (f", the newest of {own[-1]['time'][:19]}" if own else "")
        for name, own in snapshots.items()
    ]
    return "; ".join(lines) + "." if lines else ""


def _restore_to_staging(restic: jobs.Restic, snapshot: dict[str, t.Any], places: list[Place]) -> tuple[int, int]:
    files = size = 0
    nodes = [json.loads(line) for line in restic.run_or_raise("ls", "--json", *UNCACHED, snapshot["id"]).splitlines()]
    for place in places:
        folder, base = os.path.split(place.path)
        os.makedirs(os.path.dirname(place.final), mode=0o700, exist_ok=True)
        include = "/" + re.sub(r"([\\*?\[])", r"\\\1", base)
        where = [f"{snapshot['id']}:{folder}", f"--target={place.stage}", f"--include={include}"]
        restic.run_or_raise("restore", *where, "--verify", "--json", "--quiet", *UNCACHED)
        own = [node for node in nodes if f"{node.get('path', '')}/".startswith(f"{place.path}/")]
        differences = compare_attributes(own, place.path, place.staged)
        if differences:
            raise JobError(f"{restic.repository.name}: the restored files differ: {'; '.join(differences[:5])}")
        files += sum(node["type"] == "file" for node in own)
        size += sum(node.get("size", 0) for node in own if node["type"] == "file")
    return files, size


def compare_attributes(nodes: list[dict[str, t.Any]], path: str, staged: str) -> list[str]:
    """Return one message for each restored path whose attributes differ; restic has compared the content."""
    differences = []
    for node in nodes:
        # A name that is not valid UTF-8 cannot be represented in JSON; such entries are only counted below.
        if "\ufffd" not in node["path"]:
            text = describe_difference(node, staged + node["path"][len(path) :])
            differences += [f"{node['path']}: {text}"] if text else []
    entries = 1 + sum(len(folders) + len(names) for _place, folders, names in os.walk(staged))
    if entries != len(nodes):
        differences.append(f"{path}: {entries} entries instead of {len(nodes)}")
    return differences


def describe_difference(node: dict[str, t.Any], path: str) -> str:
    """Return the attributes in which a path differs from the snapshot, or an empty string."""
    try:
        status = os.lstat(path)
    except OSError as error:
        return error.strerror or "cannot be read"
    # restic omits values that are 0.
    mode_bits = node.get("mode", 0)
    mode = (mode_bits & 0o777) | sum(unix for bit, unix in SPECIAL_BITS.items() if mode_bits & bit)
    kind = stat.S_IFMT(status.st_mode)
    pairs = {
        "kind": (kind, FILE_TYPES.get(node["type"], kind)),
        "owner": (status.st_uid, node.get("uid", 0)),
        "group": (status.st_gid, node.get("gid", 0)),
        "mode": (stat.S_IMODE(status.st_mode) if node["type"] != "symlink" else mode, mode),
        "size": (status.st_size if node["type"] == "file" else 0, node.get("size", 0)),
        "time": (status.st_mtime_ns // 1000, _microseconds(node["mtime"])),
    }
    return ", ".join(name for name, (here, stored) in pairs.items() if here != stored)


def _microseconds(text: str) -> int:
    at = plan.parse_time(text)
    return int(at.replace(microsecond=0).timestamp()) * 1_000_000 + at.microsecond


def _move_to_place(places: list[Place]) -> list[Place]:
    """Move all restored paths to their place by renames, or none of them; return them with the kept old paths."""
    renames: list[tuple[str, str]] = []
    moved = []
    try:
        for place in places:
            exists = os.path.lexists(place.final)
            for source, destination in ([(place.final, place.aside)] if exists else []) + [(place.staged, place.final)]:
                os.rename(source, destination)
                renames.append((destination, source))
            moved.append(place if exists else dataclasses.replace(place, aside=""))
    except OSError as error:
        for source, destination in reversed(renames):
            os.rename(source, destination)
        raise JobError(f"the restored files cannot be moved to their place: {error}") from error
    return moved


def _remove_staging(places: list[Place], target: str) -> None:
    """Remove the staging directories, and empty directories in the target, so that the next restore accepts it."""
    for place in places:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(place.stage)
        parent = os.path.dirname(place.final)
        with contextlib.suppress(OSError):
            while target and parent.startswith(target):
                os.rmdir(parent)
                parent = os.path.dirname(parent)


def _build_report(
    name: str, snapshot: dict[str, t.Any], places: list[Place], failures: list[str], files: int, size: int
) -> dict[str, t.Any]:
    return {
        "repository": name,
        "snapshot": snapshot["id"],
        "time": snapshot["time"],
        "files": files,
        "bytes": size,
        "restored": [place.final for place in places],
        "aside": [place.aside for place in places if place.aside and os.path.lexists(place.aside)],
        "passed_over": failures,
    }
