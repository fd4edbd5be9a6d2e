# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Releases of a built site on a host: whole directories beside each other, and links that say which one is live.

``releases/<id>`` is a release, ``releases/<id>.json`` its manifest, ``current`` and ``previous`` are links to releases,
and ``pending.json`` says that a switch was not yet proven.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import gzip
import hashlib
import json
import os
import shutil
import tarfile
import time
import typing as t

COMPRESSIBLE = (".html", ".css", ".js", ".mjs", ".json", ".svg", ".xml", ".txt", ".map", ".wasm", ".webmanifest")
SMALLEST = 512  # bytes; below it a compressed file is hardly smaller

Run = t.Callable[[t.Sequence[str]], tuple[int, str]]


class ReleaseError(Exception):
    """A release that cannot be made or does not go live, in words for its operator."""


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What should be live."""

    root: str
    release: str  # the release's id, or "previous"
    files: t.Mapping[str, str]  # path -> SHA-256; empty for a release that must already be on the host
    keep: int = 5
    url: str = ""


@dataclasses.dataclass(frozen=True)
class Found:
    """What is on the host, and what a run has to do about it."""

    live: str  # the directory's name of the live release, or nothing
    target: str  # the directory's name of the wanted release, or nothing when it has to be made
    before: t.Mapping[str, str]
    after: t.Mapping[str, str]
    pending: bool

    @property
    def changed(self) -> bool:
        """Whether anything differs."""
        return self.pending or not self.target or self.live != self.target

    def diff(self) -> dict[str, str]:
        """Return the files of the live and the wanted release."""
        return {"before_header": self.live, "after_header": self.target, **_listing(self.before, self.after)}


def _listing(before: t.Mapping[str, str], after: t.Mapping[str, str]) -> dict[str, str]:
    texts = {}
    for key, files in (("before", before), ("after", after)):
        texts[key] = "".join(f"{path} {digest[:12]}\n" for path, digest in sorted(files.items()))
    return texts


@contextlib.contextmanager
def locked(root: str) -> t.Iterator[None]:
    """Let one run at a time change a site; the kernel drops the lock of a killed one."""
    os.makedirs(os.path.join(root, "releases"), mode=0o755, exist_ok=True)
    with open(os.path.join(root, "lock"), "w", encoding="utf-8") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def identity(files: t.Mapping[str, str]) -> str:
    """Return the id of a release with these files."""
    text = "".join(f"{path}\0{digest}\n" for path, digest in sorted(files.items()))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:12]


def inspect(wanted: Wanted) -> Found:
    """Compare the host with what is wanted; changes nothing."""
    live = link(wanted.root, "current")
    target = _target(wanted)
    after = wanted.files or _originals(wanted.root, target)
    pending = os.path.exists(os.path.join(wanted.root, "pending.json"))
    return Found(live, target, _originals(wanted.root, live), after, pending)


def _target(wanted: Wanted) -> str:
    if wanted.release == "previous":
        name = link(wanted.root, "previous")
        if not name or not intact(wanted.root, name):
            raise ReleaseError(f"{wanted.root} has no previous release that is whole")
        return name
    whole = [name for name in names(wanted.root) if _id(name) == wanted.release and intact(wanted.root, name)]
    if not whole and not wanted.files:
        there = ", ".join(sorted({_id(name) for name in names(wanted.root)})) or "none"
        raise ReleaseError(f"{wanted.root} has no whole release {wanted.release}; there are {there}")
    live = link(wanted.root, "current")
    return live if live in whole else (whole or [""])[0]


def _id(name: str) -> str:
    # A release that was damaged while it was live is made again beside itself: visitors never meet a gap.
    return name.partition("-")[0]


def link(root: str, name: str) -> str:
    """Return the release to which a link leads, or nothing."""
    try:
        return os.path.basename(os.readlink(os.path.join(root, name)))
    except OSError:
        return ""


def names(root: str) -> list[str]:
    """Return the releases, the newest first."""
    folder = os.path.join(root, "releases")
    with contextlib.suppress(FileNotFoundError):
        found = [entry for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith(".")]
        manifests = {e.name: os.path.join(folder, e.name + ".json") for e in found}
        times = {name: os.stat(path).st_mtime_ns if os.path.exists(path) else 0 for name, path in manifests.items()}
        return sorted(times, key=lambda name: (times[name], name), reverse=True)
    return []


def manifest(root: str, name: str) -> dict[str, t.Any]:
    """Return what a release was made of: path -> size, time and SHA-256; nothing when that is not known."""
    try:
        with open(os.path.join(root, "releases", name + ".json"), encoding="utf-8") as handle:
            return t.cast("dict[str, t.Any]", json.load(handle))
    except (OSError, ValueError):
        return {}


def _originals(root: str, name: str) -> dict[str, str]:
    return {path: entry["sha256"] for path, entry in manifest(root, name).items() if not entry["made"]} if name else {}


def intact(root: str, name: str) -> bool:
    """Tell whether a release is as it was made: by sizes and times, and by content where those differ."""
    folder, known = os.path.join(root, "releases", name), manifest(root, name)
    return bool(known) and set(_walk(folder)) == known.keys() and all(_same(folder, p, e) for p, e in known.items())


def _same(folder: str, path: str, entry: t.Mapping[str, t.Any]) -> bool:
    full = os.path.join(folder, path)
    status = os.lstat(full)
    if (status.st_size, status.st_mtime_ns) == (entry["size"], entry["mtime"]) and not os.path.islink(full):
        return True
    return not os.path.islink(full) and digest(full) == entry["sha256"]


def _walk(folder: str) -> t.Iterator[str]:
    for place, _folders, files in os.walk(folder):
        for name in files:
            yield os.path.relpath(os.path.join(place, name), folder)


def digest(path: str) -> str:
    """Return a file's SHA-256."""
    value = hashlib.sha256()
    with open(path, "rb") as handle:
        for block in iter(lambda: handle.read(1 << 20), b""):
            value.update(block)
    return value.hexdigest()


def apply(wanted: Wanted, archive: str, run: Run) -> None:
    """Make the wanted release live, or put the live one back and raise."""
    sweep(wanted.root)
    target = inspect(wanted).target or make(wanted, archive, run)
    before = _begin(wanted.root, target)
    answer = prove(wanted, target, run)
    if answer:
        _put_back(wanted.root, before)
        kept = f"The release {before['current']} is live again." if before["current"] else "No release is live."
        raise ReleaseError(f"the release {target} was not kept: {answer}\n{kept}")
    os.unlink(os.path.join(wanted.root, "pending.json"))
    prune(wanted.root, wanted.keep)


def sweep(root: str) -> None:
    """Remove what a killed run has left half made."""
    folder = os.path.join(root, "releases")
    for entry in list(os.scandir(folder)):
        if entry.name.startswith("."):
            shutil.rmtree(entry.path) if entry.is_dir(follow_symlinks=False) else os.unlink(entry.path)


def make(wanted: Wanted, archive: str, run: Run) -> str:
    """Unpack, check and compress a release; it appears whole or not at all."""
    if not archive:
        raise ReleaseError(f"the files of {wanted.release} are missing")
    folder = os.path.join(wanted.root, "releases")
    staged = os.path.join(folder, ".staged")
    with tarfile.open(archive) as packed:
        packed.extractall(staged, filter="data")
    arrived = {path: digest(os.path.join(staged, path)) for path in _walk(staged)}
    if arrived != dict(wanted.files):
        raise ReleaseError(f"the files of {wanted.release} did not arrive as they were sent")
    _compress(staged, sorted(arrived), run)
    known = _describe(staged, arrived, manifest(wanted.root, link(wanted.root, "current")))
    # A damaged release of the same content may still be live under its name.
    taken = os.path.lexists(os.path.join(folder, wanted.release))
    name = f"{wanted.release}-{time.time_ns()}" if taken else wanted.release
    _write(os.path.join(folder, name + ".json"), known)
    os.sync()
    os.rename(staged, os.path.join(folder, name))
    return name


def _compress(folder: str, paths: list[str], run: Run) -> None:
    chosen = [os.path.join(folder, path) for path in paths if path.endswith(COMPRESSIBLE)]
    chosen = [path for path in chosen if os.path.getsize(path) >= SMALLEST]
    for path in chosen:
        with open(path, "rb") as plain, open(path + ".gz", "xb") as packed:
            # Without a time inside, the same content gives the same bytes.
            packed.write(gzip.compress(plain.read(), 9, mtime=0))
    status, text = run(["brotli", "--best", "--keep", "--force", "--", *chosen]) if chosen else (0, "")
    if status:
        raise ReleaseError(f"brotli failed: {text}")


def _describe(folder: str, originals: t.Mapping[str, str], live: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    known = {}
    now = time.time_ns()
    for path in sorted(_walk(folder)):
        full = os.path.join(folder, path)
        sha256 = originals.get(path) or digest(full)
        # nginx's ETag is time and size: it stays while the content stays, so that browsers keep their copies.
        same = live.get(path, {}).get("sha256") == sha256
        mtime = live[path]["mtime"] if same else now
        os.utime(full, ns=(mtime, mtime))
        os.chmod(full, 0o644)
        known[path] = {
            "size": os.path.getsize(full),
            "mtime": os.stat(full).st_mtime_ns,
            "sha256": sha256,
            "made": path not in originals,
        }
    for place, _folders, _files in os.walk(folder):
        os.chmod(place, 0o755)  # noqa: S103 # what everybody may fetch, everybody may read
    return known


def _begin(root: str, target: str) -> dict[str, str]:
    """Switch, after noting what was live; a killed run's note is older, so it is what was proven last."""
    note = os.path.join(root, "pending.json")
    try:
        with open(note, encoding="utf-8") as handle:
            before = t.cast("dict[str, str]", json.load(handle))
    except FileNotFoundError:
        before = {name: link(root, name) for name in ("current", "previous")}
        _write(note, before)
    if before["current"] and _id(before["current"]) != _id(target):
        _point(root, "previous", before["current"])
    _point(root, "current", target)
    return before


def _put_back(root: str, before: t.Mapping[str, str]) -> None:
    for name in ("current", "previous"):
        _point(root, name, before[name])
    os.unlink(os.path.join(root, "pending.json"))


def _point(root: str, name: str, release: str) -> None:
    path = os.path.join(root, name)
    if not release:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        return
    staged = os.path.join(root, f".{name}")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(staged)
    os.symlink(os.path.join("releases", release), staged)
    os.rename(staged, path)


def prove(wanted: Wanted, target: str, run: Run, patience: float = 5.0) -> str:
    """Return why visitors do not get the release's first page, or nothing."""
    folder = os.path.join(wanted.root, "releases", target)
    if not wanted.url:
        return "" if intact(wanted.root, target) else f"{folder} is not as it was made"
    argv = ["curl", "--fail", "--silent", "--show-error", "--insecure", "--max-time", "5"]
    # The host asks itself, whatever the name leads to; that the certificate is right is proven elsewhere.
    argv += ["--connect-to", "::127.0.0.1:", wanted.url]
    with open(os.path.join(folder, "index.html"), encoding="utf-8", errors="replace") as handle:
        expected = handle.read().strip()
    deadline = time.monotonic() + patience
    while True:
        status, text = run(argv)
        if status == 0 and text.strip() == expected:
            return ""
        if time.monotonic() > deadline:
            return f"{wanted.url} answers something else (curl exit {status}): {text.strip()[:200]}"
        time.sleep(0.2)


def prune(root: str, keep: int) -> None:
    """Remove the oldest releases beyond those to keep, never the live or the previous one."""
    needed = {link(root, "current"), link(root, "previous")}
    spare = [name for name in names(root) if name not in needed]
    for name in spare[max(0, keep - len(needed - {""})) :]:
        path = os.path.join(root, "releases", name)
        # Out of sight first: a half-removed release must not be taken for one.
        os.rename(path, os.path.join(root, "releases", f".old-{name}"))
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path + ".json")
        shutil.rmtree(os.path.join(root, "releases", f".old-{name}"))


def _write(path: str, data: t.Any) -> None:
    staged = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}")
    with open(staged, "w", encoding="utf-8") as handle:
        json.dump(data, handle)
        handle.flush()
        os.fsync(handle.fileno())
    os.rename(staged, path)
