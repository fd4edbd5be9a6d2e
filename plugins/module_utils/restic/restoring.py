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

from ..host import files as host_files
from . import jobs, plan
from .jobs import JobError

# Go's mode bits for setuid, setgid and sticky.
SPECIAL_BITS = {1 << 23: stat.S_ISUID, 1 << 22: stat.S_ISGID, 1 << 20: stat.S_ISVTX}
# Without a cache, because it would hide data that the repository has lost.
UNCACHED = ("--no-cache", "--retry-lock=10m")
# The texts of ENOSPC and EDQUOT, of Python and of restic.
FULL = re.compile(r"No space left on device|Disk quota exceeded", re.IGNORECASE)
FILE_TYPES = {"file": stat.S_IFREG, "dir": stat.S_IFDIR, "symlink": stat.S_IFLNK}


class RefusedError(JobError):
    """The place does not permit the restore, whatever the repository is."""


@dataclasses.dataclass(frozen=True)
class Request:
    """A requested restore."""

    set: str
    snapshot: str = "latest"
    host: str = ""  # host that made the backup; this host when empty
    repository: str = ""  # the repository to try first
    target: str = ""  # an empty or missing directory; empty string: restore in place
    older: bool = False  # restore an older snapshot when the requested one is damaged


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
    requested = candidates[0][1]
    first, older = split_candidates(candidates, plan.list_older(snapshots, candidates))
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    for name, snapshot in [*first, *(older if request.older else [])]:
        places = plan_places(snapshot["paths"], request.target, stamp)
        reject_places(places, host_files.read_text("/proc/self/mountinfo"))
        if check_mode:
            return _build_report(name, snapshot, places, failures, 0, 0)
        try:
            files, size = _restore_to_staging(jobs.Restic.at(config, name), snapshot, places)
            moved = _move_to_place(places)
        except RefusedError as error:
            raise JobError(f"{request.set}: nothing was changed: {error}") from error
        except (JobError, OSError) as error:
            if FULL.search(str(error)):
                raise JobError(f"{request.set}: nothing was changed: {describe_full_disk(places, error)}") from error
            if isinstance(error, OSError):
                raise
            failures.append(f"{error} (snapshot {snapshot['id'][:8]} of {snapshot['time'][:19]})")
            continue
        finally:
            _remove_staging(places, request.target)
        lost = "" if (name, snapshot) in first else describe_loss(requested, snapshot)
        return _build_report(name, snapshot, moved, failures, files, size, lost)
    lines = [*failures, *([] if request.older else [describe_older(older)])]
    reasons = "; ".join(filter(None, lines))
    raise JobError(f"{request.set}: nothing was changed, no repository has intact data: {reasons}")


Candidates = list[tuple[str, dict[str, t.Any]]]


def split_candidates(candidates: Candidates, older: Candidates) -> tuple[Candidates, Candidates]:
    """Return each repository's snapshot of the requested night, and all others, which need consent, in their order."""
    requested = candidates[0][1]
    first = [pair for pair in candidates if plan.is_same_night(requested, pair[1])]
    others = [pair for pair in [*candidates, *older] if pair not in first]
    return first, sorted(others, key=lambda pair: plan.parse_time(pair[1]["time"]), reverse=True)


def describe_older(older: Candidates) -> str:
    """Describe the snapshots that were not tried, and how to restore one; empty when there is none."""
    if not older:
        return ""
    lines = [f"{snapshot['id'][:8]} of {name}, {snapshot['time'][:19]}" for name, snapshot in older[:5]]
    snapshot = older[0][1]
    return (
        f"older snapshots, not tried: {', '.join(lines)}. To restore the first of them, add "
        f"-e restore_snapshot={snapshot['id'][:8]}; to restore the first intact one, -e restore_older_backup=true. "
        "Changes since then are lost"
    )


def describe_loss(requested: dict[str, t.Any], used: dict[str, t.Any]) -> str:
    """Describe what is lost when an older snapshot than the requested one was restored."""
    return (
        f"The files are those of {used['time'][:19]}, not of {requested['time'][:19]}. Changes between these times are "
        "lost."
    )


def describe_full_disk(places: list[Place], error: Exception) -> str:
    """Describe a file system that became full during the restore."""
    parent = _find_existing_parent(places[0].final)
    free = plan.format_bytes(shutil.disk_usage(parent).free)
    return (
        f"the disk became full during the restore to {', '.join(place.final for place in places)} ({free} are free "
        f"now): free space, then run the same restore again: {error}"
    )


def validate_target(target: str) -> None:
    """Raise JobError unless the target is empty or missing."""
    if target and (
        os.path.islink(target) or (os.path.exists(target) and (not os.path.isdir(target) or os.listdir(target)))
    ):
        raise JobError(f"{target} is not an empty directory: choose another one")


def reject_places(places: list[Place], mountinfo: str) -> None:
    """Raise RefusedError for a place that cannot be renamed, or whose parent leads nowhere."""
    mounted = [
        re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), line.split()[4]) for line in mountinfo.splitlines()
    ]
    for place in places:
        parent = _find_existing_parent(place.final)
        if os.path.islink(parent) and not os.path.exists(parent):
            where = os.path.realpath(parent)
            raise RefusedError(
                f"{parent} is a symbolic link to {where}, which does not exist: create or mount it first"
            )
        # A rename moves what is mounted below along, and the next boot mounts it over the restored files.
        real = os.path.join(os.path.realpath(os.path.dirname(place.final)), os.path.basename(place.final))
        inside = [point for point in mounted if f"{point}/".startswith(f"{real}/")]
        if inside:
            raise RefusedError(
                f"{', '.join(sorted(set(inside)))}: a mount point cannot be renamed: restore to a target directory"
            )


def _find_existing_parent(path: str) -> str:
    """Return the nearest directory above a path that exists, also as a link that leads nowhere."""
    parent = os.path.dirname(path)
    while not os.path.lexists(parent):
        parent = os.path.dirname(parent)
    return parent


def reject_kinds(nodes: t.Iterable[dict[str, t.Any]], places: list[Place]) -> None:
    """Raise RefusedError where a link would replace a directory, or a directory a link, whose data would move."""
    stored = {node.get("path"): node["type"] for node in nodes if "type" in node}
    for place in places:
        is_link, was_link = os.path.islink(place.final), stored.get(place.path) == "symlink"
        if os.path.lexists(place.final) and is_link != was_link:
            here = f"a symbolic link to {os.readlink(place.final)}" if is_link else "no symbolic link"
            there = "a symbolic link" if was_link else "no symbolic link"
            raise RefusedError(
                f"{place.final} is {here}, but {there} in the snapshot: restore to a target directory, or rename it"
            )


def reject_full_disk(restic: jobs.Restic, snapshot: str, nodes: list[dict[str, t.Any]], places: list[Place]) -> None:
    """Raise RefusedError when a file system has too little space for what is restored to it."""
    apparent: dict[int, int] = {}
    examples: dict[int, str] = {}
    for place in places:
        parent = _find_existing_parent(place.final)
        device = os.stat(parent).st_dev
        examples[device] = parent
        apparent[device] = apparent.get(device, 0) + _sum_sizes(_select_nodes(nodes, place))
    free = {device: shutil.disk_usage(path).free for device, path in examples.items()}
    if any(apparent[device] > free[device] for device in apparent):
        # Holes and hard links allocate nothing; to know them takes several reads of the snapshot.
        room = measure_room(restic, snapshot)
        for device, size in apparent.items():
            if min(size, room) > free[device]:
                raise RefusedError(
                    f"the restored files need {plan.format_bytes(min(size, room))} in {examples[device]}, only "
                    f"{plan.format_bytes(free[device])} are free: free space, or restore to a target directory "
                    "on a larger file system"
                )


def measure_room(restic: jobs.Restic, snapshot: str) -> int:
    """Return the bytes that the files of a snapshot allocate at most."""
    modes = ("restore-size", "files-by-contents", "blobs-per-file")
    outputs = [restic.run_or_raise("stats", f"--mode={mode}", "--json", *UNCACHED, snapshot) for mode in modes]
    restored, unique, blobs = (int(json.loads(output)["total_size"]) for output in outputs)
    return plan.compute_room(restored, unique, blobs)


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
    reject_kinds(nodes, places)
    reject_full_disk(restic, snapshot["id"], nodes, places)
    for place in places:
        folder, base = os.path.split(place.path)
        os.makedirs(os.path.dirname(place.final), mode=0o700, exist_ok=True)
        include = "/" + re.sub(r"([\\*?\[])", r"\\\1", base)
        where = [f"{snapshot['id']}:{folder}", f"--target={place.stage}", f"--include={include}"]
        restic.run_or_raise("restore", *where, "--sparse", "--verify", "--json", "--quiet", *UNCACHED)
        own = _select_nodes(nodes, place)
        differences = compare_attributes(own, place.path, place.staged)
        if differences:
            raise JobError(f"{restic.repository.name}: the restored files differ: {'; '.join(differences[:5])}")
        files += sum(node["type"] == "file" for node in own)
        size += _sum_sizes(own)
    return files, size


def _select_nodes(nodes: list[dict[str, t.Any]], place: Place) -> list[dict[str, t.Any]]:
    return [node for node in nodes if f"{node.get('path', '')}/".startswith(f"{place.path}/")]


def _sum_sizes(nodes: list[dict[str, t.Any]]) -> int:
    return sum(node.get("size", 0) for node in nodes if node["type"] == "file")


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
            if exists and _is_same_link(place):
                moved.append(dataclasses.replace(place, aside=""))
                continue
            for source, destination in ([(place.final, place.aside)] if exists else []) + [(place.staged, place.final)]:
                os.rename(source, destination)
                renames.append((destination, source))
            moved.append(place if exists else dataclasses.replace(place, aside=""))
    except OSError as error:
        for source, destination in reversed(renames):
            os.rename(source, destination)
        raise JobError(f"the restored files cannot be moved to their place: {error}") from error
    return moved


def _is_same_link(place: Place) -> bool:
    both = (place.staged, place.final)
    return all(os.path.islink(path) for path in both) and os.readlink(both[0]) == os.readlink(both[1])


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
    name: str,
    snapshot: dict[str, t.Any],
    places: list[Place],
    failures: list[str],
    files: int,
    size: int,
    lost: str = "",
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
        "lost": lost,
    }
