# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Releases of a built site on a host: one directory for each release, and a link to the live one.

``releases/<id>`` is a release, ``releases/<id>.json`` its manifest, ``current`` and ``previous`` are links to releases.
``pending.json`` exists from the switch to a release until the proof that visitors get it. ``prepare`` leaves it,
because the virtual host does not exist yet.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import hashlib
import os
import re
import shutil
import tarfile
import time
import typing as t
import zlib

from .host import files as host_files
from .host import journal, locks
from .host.files import make_directories, read_json, write_json

COMPRESSIBLE = (".html", ".css", ".js", ".mjs", ".json", ".svg", ".xml", ".txt", ".map", ".wasm", ".webmanifest")
SMALLEST = 512  # bytes; compression saves little for a smaller file
LARGEST = 32 << 20  # bytes; the best compression of a larger file takes minutes
LONGEST_NAME = 255  # bytes; the limit of Linux' file systems
ARGUMENTS = 64 << 10  # bytes in one command line
# Copies that editors leave; the role nginx refuses the same names.
BACKUP = re.compile(r".*(~|\.(bak|orig|swo|swp))|#.*#", re.DOTALL)

# The configurations that can make a site's directory public
CONFIGURATIONS = ("/etc/nginx",)

Run = t.Callable[[t.Sequence[str]], tuple[int, str]]


class ReleaseError(Exception):
    """A release cannot be created or does not become live; the message is for the operator."""


@dataclasses.dataclass(frozen=True)
class Wanted:
    """The wanted live release."""

    root: str
    release: str  # the release's id, or "previous"
    files: t.Mapping[str, str]  # path -> SHA-256; empty for a release that must already be on the host
    keep: int = 5
    url: str = ""


@dataclasses.dataclass(frozen=True)
class Current:
    """The state on the host, compared with the wanted release."""

    live: str  # directory name of the live release, or ''
    target: str  # directory name of the wanted release, or '' when it must be created
    before: t.Mapping[str, str]  # path -> SHA-256 of the live release
    after: t.Mapping[str, str]  # path -> SHA-256 of the wanted release
    pending: bool  # a killed run left its switch unproven

    @property
    def changed(self) -> bool:
        """Return whether the live release differs from the wanted one or a switch is unproven."""
        return self.pending or not self.target or self.live != self.target

    def build_diff(self) -> dict[str, str]:
        """Return Ansible's diff: the files of the live and of the wanted release."""
        return {"before_header": self.live, "after_header": self.target, **_format_files(self.before, self.after)}


def is_public(path: str, is_folder: bool = False) -> bool:
    """Return whether a path of a site is for visitors: neither hidden, except in /.well-known/, nor a backup."""
    parts = path.split("/")
    hidden = parts[1:] if parts[0] == ".well-known" and (is_folder or parts[1:]) else parts
    return not any(part.startswith(".") for part in hidden) and not BACKUP.fullmatch(parts[-1])


def printable(path: str) -> str:
    """Return a path as one line of valid text."""
    text = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return text.replace("\n", "\\n")


def _format_files(before: t.Mapping[str, str], after: t.Mapping[str, str]) -> dict[str, str]:
    texts = {}
    for key, files in (("before", before), ("after", after)):
        texts[key] = "".join(f"{printable(path)} {digest[:12]}\n" for path, digest in sorted(files.items()))
    return texts


def lock(root: str) -> contextlib.AbstractContextManager[None]:
    """Create the directories of a site, wait for its lock and hold it."""
    make_directories(os.path.join(root, "releases"))
    return locks.lock(os.path.join(root, "lock"))


def compute_id(files: t.Mapping[str, str]) -> str:
    """Return the id of a release: a hash over the paths and digests of its files."""
    text = "".join(f"{path}\0{digest}\n" for path, digest in sorted(files.items()))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:12]


def inspect(wanted: Wanted) -> Current:
    """Compare the host with the wanted release; changes nothing.

    Raises ReleaseError when the wanted release must already be on the host, but is missing or damaged.
    """
    live = read_link(wanted.root, "current")
    target = _find_target(wanted)
    after = wanted.files or _read_digests(wanted.root, target)
    pending = os.path.exists(_pending(wanted.root).path)
    return Current(live, target, _read_digests(wanted.root, live), after, pending)


def _find_target(wanted: Wanted) -> str:
    if wanted.release == "previous":
        name = read_link(wanted.root, "previous")
        if not name or not is_intact(wanted.root, name):
            raise ReleaseError(
                f"{wanted.root} has no previous release, or it is damaged; releases on the host: "
                f"{_list_ids(wanted.root)} ({_release_id(read_link(wanted.root, 'current')) or 'none'} is live)"
            )
        return name
    complete = [
        name for name in list_names(wanted.root) if _release_id(name) == wanted.release and is_intact(wanted.root, name)
    ]
    if not complete and not wanted.files:
        raise ReleaseError(
            f"{wanted.root} has no complete release {wanted.release}; releases on the host: {_list_ids(wanted.root)}"
        )
    live = read_link(wanted.root, "current")
    return live if live in complete else (complete or [""])[0]


def _list_ids(root: str) -> str:
    return ", ".join(sorted({_release_id(name) for name in list_names(root)})) or "none"


def _release_id(name: str) -> str:
    # A release that was damaged while live is created again under <id>-<time>, so that the site stays available.
    return name.partition("-")[0]


def read_link(root: str, name: str) -> str:
    """Return the release that a link points to, or an empty string."""
    try:
        return os.path.basename(os.readlink(os.path.join(root, name)))
    except OSError:
        return ""


def list_names(root: str) -> list[str]:
    """Return the directory names of the releases, the newest first."""
    folder = os.path.join(root, "releases")
    with contextlib.suppress(FileNotFoundError):
        directories = [entry for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith(".")]
        manifests = {e.name: os.path.join(folder, e.name + ".json") for e in directories}
        times = {name: os.stat(path).st_mtime_ns if os.path.exists(path) else 0 for name, path in manifests.items()}
        return sorted(times, key=lambda name: (times[name], name), reverse=True)
    return []


def read_manifest(root: str, name: str) -> dict[str, t.Any]:
    """Return the manifest of a release: path -> size, time and SHA-256; empty when it is missing or unreadable."""
    try:
        return t.cast("dict[str, t.Any]", read_json(os.path.join(root, "releases", name + ".json"), {}))
    except (OSError, ValueError):
        return {}


def _read_digests(root: str, name: str) -> dict[str, str]:
    return (
        {path: entry["sha256"] for path, entry in read_manifest(root, name).items() if not entry["made"]}
        if name
        else {}
    )


def is_intact(root: str, name: str) -> bool:
    """Return whether a release equals its manifest: size and time of each file, or its content where these differ."""
    folder, known = os.path.join(root, "releases", name), read_manifest(root, name)
    return (
        bool(known)
        and set(_list_files(folder)) == known.keys()
        and all(_is_unchanged(folder, p, e) for p, e in known.items())
    )


def _is_unchanged(folder: str, path: str, entry: t.Mapping[str, t.Any]) -> bool:
    full = os.path.join(folder, path)
    status = os.lstat(full)
    if (status.st_size, status.st_mtime_ns) == (entry["size"], entry["mtime"]) and not os.path.islink(full):
        return True
    return not os.path.islink(full) and compute_digest(full) == entry["sha256"]


def _list_files(folder: str) -> t.Iterator[str]:
    for place, _folders, files in os.walk(folder):
        for name in files:
            yield os.path.relpath(os.path.join(place, name), folder)


def compute_digest(path: str) -> str:
    """Return a file's SHA-256."""
    with open(path, "rb") as handle:
        return compute_digest_of(handle)


def compute_digest_of(handle: t.BinaryIO) -> str:
    """Return the SHA-256 of what a handle reads."""
    value = hashlib.sha256()
    for block in iter(lambda: handle.read(1 << 20), b""):
        value.update(block)
    return value.hexdigest()


def apply(wanted: Wanted, archive: str, run: Run) -> None:
    """Make the wanted release live; on failure roll back and raise ReleaseError."""
    remove_staged(wanted.root)
    target = inspect(wanted).target or create(wanted, archive, run)
    before = _switch(wanted.root, target)
    failure = wait_until_served(wanted, target, run)
    if failure:
        _roll_back(wanted.root, before)
        outcome = f"Release {before['current']} is live again." if before["current"] else "No release is live."
        raise ReleaseError(f"release {target} was rolled back: {failure}\n{outcome}")
    _pending(wanted.root).remove()
    remove_old(wanted.root, wanted.keep)


def prepare(wanted: Wanted, archive: str, run: Run) -> None:
    """Make the wanted release live without a proof; `apply` proves it when visitors can get it."""
    remove_staged(wanted.root)
    _switch(wanted.root, inspect(wanted).target or create(wanted, archive, run))


def is_in_use(root: str, places: t.Iterable[str] = CONFIGURATIONS) -> bool:
    """Return whether a configuration of the web server refers to a site's directory, so that visitors get its files."""
    return host_files.is_referenced(root, places)


def remove_staged(root: str) -> None:
    """Remove the staged files of a killed run."""
    folder = os.path.join(root, "releases")
    for entry in list(os.scandir(folder)):
        if entry.name.startswith("."):
            shutil.rmtree(entry.path) if entry.is_dir(follow_symlinks=False) else os.unlink(entry.path)


def create(wanted: Wanted, archive: str, run: Run) -> str:
    """Unpack, verify and compress a release, then move it into place atomically; return its directory name."""
    if not archive:
        raise ReleaseError(f"release {wanted.release} is not on the host, and no archive was sent")
    folder = os.path.join(wanted.root, "releases")
    staged = os.path.join(folder, ".staged")
    with tarfile.open(archive) as packed:
        packed.extractall(staged, filter="data")
    received = {path: compute_digest(os.path.join(staged, path)) for path in _list_files(staged)}
    if received != dict(wanted.files):
        raise ReleaseError(
            f"the received files of release {wanted.release} differ from the source, which may have changed: run again"
        )
    _compress(staged, sorted(received), run)
    manifest = _build_manifest(staged, received, read_manifest(wanted.root, read_link(wanted.root, "current")))
    # A damaged release of the same content may still be live under its name.
    taken = os.path.lexists(os.path.join(folder, wanted.release))
    name = f"{wanted.release}-{time.time_ns()}" if taken else wanted.release
    write_json(os.path.join(folder, name + ".json"), manifest, mode=0o644)
    os.sync()
    os.rename(staged, os.path.join(folder, name))
    return name


def _compress(folder: str, paths: list[str], run: Run) -> None:
    _reject_other_content(folder, paths, run)
    chosen = [os.path.join(folder, path) for path in paths if path.endswith(COMPRESSIBLE)]
    chosen = [path for path in chosen if SMALLEST <= os.path.getsize(path) <= LARGEST]
    for path in [path for path in chosen if _is_free(path + ".gz")]:
        with open(path, "rb") as plain, open(path + ".gz", "xb") as packed:
            # mtime=0: the same content always compresses to the same bytes.
            packed.write(gzip.compress(plain.read(), 9, mtime=0))
    for batch in split_arguments([path for path in chosen if _is_free(path + ".br")]):
        status, text = run(["brotli", "--best", "--keep", "--", *batch])
        if status:
            raise ReleaseError(f"brotli failed: {text}")


def _is_free(path: str) -> bool:
    # A build may contain compressed files of its own.
    return not os.path.lexists(path) and len(os.fsencode(os.path.basename(path))) <= LONGEST_NAME


def split_arguments(paths: t.Sequence[str], limit: int = ARGUMENTS) -> t.Iterator[list[str]]:
    """Yield the paths in groups that fit into a command line."""
    batch: list[str] = []
    size = 0
    for path in paths:
        length = len(os.fsencode(path)) + 1
        if batch and size + length > limit:
            yield batch
            batch, size = [], 0
        batch.append(path)
        size += length
    if batch:
        yield batch


def _reject_other_content(folder: str, paths: list[str], run: Run) -> None:
    # nginx sends <file>.gz and <file>.br to browsers that request <file>.
    known = set(paths)
    for path in paths:
        for suffix in (".gz", ".br"):
            if path + suffix in known and not _unpacks_to(folder, path, suffix, run):
                name = printable(path)
                raise ReleaseError(
                    f"{name}{suffix} is not a compressed copy of {name}, but browsers that request {name} would get "
                    "it: build the site again, or rename one of the two files"
                )


def _unpacks_to(folder: str, path: str, suffix: str, run: Run) -> bool:
    full = os.path.join(folder, path)
    if suffix == ".gz":
        try:
            with gzip.open(full + suffix, "rb") as packed:
                return compute_digest_of(t.cast("t.BinaryIO", packed)) == compute_digest(full)
        except (OSError, EOFError, zlib.error):
            return False
    unpacked = os.path.join(os.path.dirname(folder), ".unpacked")
    status, _text = run(["brotli", "--decompress", "--force", f"--output={unpacked}", "--", full + suffix])
    return status == 0 and compute_digest(unpacked) == compute_digest(full)


def _build_manifest(folder: str, originals: t.Mapping[str, str], live: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    manifest = {}
    now = time.time_ns()
    for path in sorted(_list_files(folder)):
        full = os.path.join(folder, path)
        sha256 = originals.get(path) or compute_digest(full)
        # nginx's ETag is time and size. An unchanged file keeps its time, so that browsers can use their caches.
        same = live.get(path, {}).get("sha256") == sha256
        mtime = live[path]["mtime"] if same else now
        os.utime(full, ns=(mtime, mtime))
        os.chmod(full, 0o644)
        manifest[path] = {
            "size": os.path.getsize(full),
            "mtime": os.stat(full).st_mtime_ns,
            "sha256": sha256,
            "made": path not in originals,
        }
    for place, _folders, _files in os.walk(folder):
        os.chmod(place, 0o755)  # noqa: S103 # the site is public
    return manifest


def _pending(root: str) -> journal.Journal:
    return journal.Journal(os.path.join(root, "pending.json"))


def _switch(root: str, target: str) -> dict[str, str]:
    """Record the live release in pending.json and switch; a record of a killed run is older and stays."""
    pending = _pending(root)
    before = pending.read() or pending.write({name: read_link(root, name) for name in ("current", "previous")})
    if before["current"] and _release_id(before["current"]) != _release_id(target):
        _set_link(root, "previous", before["current"])
    _set_link(root, "current", target)
    return before


def _roll_back(root: str, before: t.Mapping[str, str]) -> None:
    for name in ("current", "previous"):
        _set_link(root, name, before[name])
    _pending(root).remove()


def _set_link(root: str, name: str, release: str) -> None:
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


def wait_until_served(wanted: Wanted, target: str, run: Run, timeout: float = 5.0) -> str:
    """Retry for ``timeout`` seconds until visitors get the release's first page; return the failure, or ''."""
    folder = os.path.join(wanted.root, "releases", target)
    if not wanted.url:
        return "" if is_intact(wanted.root, target) else f"{folder} differs from its manifest"
    argv = ["curl", "--disable", "--fail", "--silent", "--show-error", "--insecure", "--max-time", "5"]
    # The request goes to this host, whatever the name resolves to. Other tests verify the certificate.
    argv += ["--connect-to", "::127.0.0.1:", wanted.url]
    # As `run` decodes the answer: any bytes, and line ends as they are.
    with open(os.path.join(folder, "index.html"), encoding="utf-8", errors="surrogateescape", newline="") as handle:
        expected = handle.read().strip()
    deadline = time.monotonic() + timeout
    while True:
        status, text = run(argv)
        if status == 0 and text.strip() == expected:
            return ""
        if time.monotonic() > deadline:
            return f"{wanted.url} does not return the release's index.html (curl exit {status}): {text.strip()[:200]}"
        time.sleep(0.2)


def remove_old(root: str, keep: int) -> None:
    """Remove all but the newest ``keep`` releases, never the live or the previous one."""
    needed = {read_link(root, "current"), read_link(root, "previous")}
    others = [name for name in list_names(root) if name not in needed]
    for name in others[max(0, keep - len(needed - {""})) :]:
        path = os.path.join(root, "releases", name)
        # Rename first: a partly removed release must not count as a release.
        os.rename(path, os.path.join(root, "releases", f".old-{name}"))
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path + ".json")
        shutil.rmtree(os.path.join(root, "releases", f".old-{name}"))
