# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Bring a snapshot back: beside its place, verified and compared, then switched by renames."""

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

# Go's bits for what Unix keeps beside the nine permissions.
SPECIAL = {1 << 23: stat.S_ISUID, 1 << 22: stat.S_ISGID, 1 << 20: stat.S_ISVTX}
# What a cache still knows would hide what the repository has lost.
UNCACHED = ("--no-cache", "--retry-lock=10m")
KINDS = {"file": stat.S_IFREG, "dir": stat.S_IFDIR, "symlink": stat.S_IFLNK}


@dataclasses.dataclass(frozen=True)
class Request:
    """What is to be restored, and where."""

    set: str
    snapshot: str = "latest"
    host: str = ""  # whose backup; this host's own when empty
    repository: str = ""  # the one to try first
    target: str = ""  # a directory that is empty or not there; in place when empty


@dataclasses.dataclass(frozen=True)
class Place:
    """Where one path of the snapshot goes."""

    path: str
    final: str
    stage: str
    aside: str

    @property
    def staged(self) -> str:
        """What restic has made of the path."""
        return os.path.join(self.stage, os.path.basename(self.path))


def places(paths: t.Iterable[str], target: str, stamp: str) -> list[Place]:
    """Return where each path goes; one that lies in another goes with it."""
    ordered = sorted(set(paths))
    outer = [path for path in ordered if not any(path.startswith(f"{other}/") for other in ordered)]
    found = []
    for number, path in enumerate(outer):
        final = target.rstrip("/") + path
        stage = os.path.join(os.path.dirname(final), f".vise-restore-{stamp}-{number}")
        found.append(Place(path, final, stage, f"{final}.before-restore-{stamp}"))
    return found


def restore(config: plan.Settings, request: Request, check_mode: bool = False) -> dict[str, t.Any]:
    """Restore from the first repository that gives everything; return what came from where, and why not elsewhere."""
    plan.meaning(request.snapshot)
    refuse_target(request.target)
    found, passed = _listed(config, request)
    options = plan.candidates(found, request.snapshot)
    if request.repository:
        options.sort(key=lambda option: option[0] != request.repository)
    if not options:
        raise JobError(
            f"{request.set}: no snapshot {request.snapshot} of it. {_known(found)} {'; '.join(passed)}".strip()
        )
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    for name, snapshot in options:
        wanted = places(snapshot["paths"], request.target, stamp)
        _refuse_mounts(wanted)
        if check_mode:
            return _report(name, snapshot, wanted, passed, 0, 0)
        try:
            files, size = _stage(jobs.Restic.at(config, name), snapshot, wanted)
            return _report(name, snapshot, _switch(wanted), passed, files, size)
        except JobError as error:
            passed.append(str(error))
        finally:
            _clear(wanted, request.target)
    raise JobError(f"{request.set}: nothing was changed, no repository gives all of it: " + "; ".join(passed))


def refuse_target(target: str) -> None:
    """Raise when the target holds something already."""
    if target and (
        os.path.islink(target) or (os.path.exists(target) and (not os.path.isdir(target) or os.listdir(target)))
    ):
        raise JobError(f"{target} is no empty directory: name another one")


def _refuse_mounts(wanted: list[Place]) -> None:
    mounts = [place.final for place in wanted if os.path.ismount(place.final)]
    if mounts:
        raise JobError(f"{', '.join(mounts)}: a mount point cannot be switched: restore to a target on it instead")


def _listed(config: plan.Settings, request: Request) -> tuple[dict[str, list[dict[str, t.Any]]], list[str]]:
    found, passed = {}, []
    for name in config.repositories:
        restic = jobs.Restic.at(config, name)
        try:
            restic.open()
            found[name], warning = restic.snapshots(f"--host={request.host or config.host}", f"--tag={request.set}")
            passed += [f"{name}: {warning}"] if warning else []
        except JobError as error:
            passed.append(str(error))
    return found, passed


def _known(found: dict[str, list[dict[str, t.Any]]]) -> str:
    lines = [
        f"{name} has {len(some)}" + (f", the newest of {some[-1]['time'][:19]}" if some else "")
        for name, some in found.items()
    ]
    return "; ".join(lines) + "." if lines else ""


def _stage(restic: jobs.Restic, snapshot: dict[str, t.Any], wanted: list[Place]) -> tuple[int, int]:
    files = size = 0
    nodes = [json.loads(line) for line in restic.must("ls", "--json", *UNCACHED, snapshot["id"]).splitlines()]
    for place in wanted:
        folder, base = os.path.split(place.path)
        os.makedirs(os.path.dirname(place.final), exist_ok=True)
        include = "/" + re.sub(r"([\\*?\[])", r"\\\1", base)
        where = [f"{snapshot['id']}:{folder}", f"--target={place.stage}", f"--include={include}"]
        restic.must("restore", *where, "--verify", "--json", "--quiet", *UNCACHED)
        own = [node for node in nodes if f"{node.get('path', '')}/".startswith(f"{place.path}/")]
        different = compare(own, place.path, place.staged)
        if different:
            raise JobError(f"{restic.repository.name}: restored, but different: {'; '.join(different[:5])}")
        files += sum(node["type"] == "file" for node in own)
        size += sum(node.get("size", 0) for node in own if node["type"] == "file")
    return files, size


def compare(nodes: list[dict[str, t.Any]], path: str, staged: str) -> list[str]:
    """Complain where what lies on disk has other attributes than the snapshot says; restic has compared the content."""
    different = []
    for node in nodes:
        # JSON has no way to write a name that is no UTF-8; it is counted below.
        if "\ufffd" not in node["path"]:
            text = difference(node, staged + node["path"][len(path) :])
            different += [f"{node['path']}: {text}"] if text else []
    there = 1 + sum(len(folders) + len(names) for _place, folders, names in os.walk(staged))
    if there != len(nodes):
        different.append(f"{path}: {there} entries in place of {len(nodes)}")
    return different


def difference(node: dict[str, t.Any], path: str) -> str:
    """Return in which respect a path is not what the snapshot says, or an empty string."""
    try:
        found = os.lstat(path)
    except OSError as error:
        return error.strerror or "cannot be read"
    # restic leaves out what is zero.
    given = node.get("mode", 0)
    mode = (given & 0o777) | sum(unix for bit, unix in SPECIAL.items() if given & bit)
    kind = stat.S_IFMT(found.st_mode)
    pairs = {
        "kind": (kind, KINDS.get(node["type"], kind)),
        "owner": (found.st_uid, node.get("uid", 0)),
        "group": (found.st_gid, node.get("gid", 0)),
        "mode": (stat.S_IMODE(found.st_mode) if node["type"] != "symlink" else mode, mode),
        "size": (found.st_size if node["type"] == "file" else 0, node.get("size", 0)),
        "time": (found.st_mtime_ns // 1000, _microseconds(node["mtime"])),
    }
    return ", ".join(name for name, (here, wanted) in pairs.items() if here != wanted)


def _microseconds(text: str) -> int:
    at = plan.moment(text)
    return int(at.replace(microsecond=0).timestamp()) * 1_000_000 + at.microsecond


def _switch(wanted: list[Place]) -> list[Place]:
    """Put everything in its place by renames; return it with what is kept aside. All of it or nothing."""
    back: list[tuple[str, str]] = []
    kept = []
    try:
        for place in wanted:
            there = os.path.lexists(place.final)
            for source, destination in ([(place.final, place.aside)] if there else []) + [(place.staged, place.final)]:
                os.rename(source, destination)
                back.append((destination, source))
            kept.append(place if there else dataclasses.replace(place, aside=""))
    except OSError as error:
        for source, destination in reversed(back):
            os.rename(source, destination)
        raise JobError(f"cannot be put in its place: {error}") from error
    return kept


def _clear(wanted: list[Place], target: str) -> None:
    """Remove what was staged, and of a target what a failed restore has left empty: the next one must be let in."""
    for place in wanted:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(place.stage)
        parent = os.path.dirname(place.final)
        with contextlib.suppress(OSError):
            while target and parent.startswith(target):
                os.rmdir(parent)
                parent = os.path.dirname(parent)


def _report(
    name: str, snapshot: dict[str, t.Any], wanted: list[Place], passed: list[str], files: int, size: int
) -> dict[str, t.Any]:
    return {
        "repository": name,
        "snapshot": snapshot["id"],
        "time": snapshot["time"],
        "files": files,
        "bytes": size,
        "restored": [place.final for place in wanted],
        "aside": [place.aside for place in wanted if place.aside and os.path.lexists(place.aside)],
        "passed_over": passed,
    }


def main(arguments: list[str]) -> int:
    """Restore to a directory by hand: SET TARGET [SNAPSHOT [HOST]]."""
    if not 2 <= len(arguments) <= 4:
        raise JobError("usage: vise-restic restore SET TARGET [latest|ID|TIME [HOST]]")
    name, target, snapshot, host = (*arguments, *("latest", "")[len(arguments) - 2 :])
    print(json.dumps(restore(jobs.settings(), Request(name, snapshot, host, target=os.path.abspath(target)))))
    return 0
