"""Make a tree of everything that is hard to back up, or describe one byte for byte and attribute for attribute."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from pathlib import Path

# The surrogates stand for bytes that are no text.
NAMES = ("plain", "two words", "-rf", "*?[x]\\", "new\nline", "\udcff\udcfe no text", "Größe ☃", "quote'\"$(id)")


def make(top: Path) -> None:
    """Make a new tree."""
    shutil.rmtree(top, ignore_errors=True)
    for number, name in enumerate(NAMES):
        inner = top / f"{name}.d"
        inner.mkdir(parents=True)
        (inner / name).write_bytes(os.fsencode(name) * number)
    plain, big, sparse, empty = (top / name for name in ("plain.d/plain", "big", "sparse", "empty"))
    empty.mkdir()
    (top / "left-out.tmp").touch()
    (top / "hard link").hardlink_to(plain)
    (top / "dangling").symlink_to("nowhere/\udcff")
    (top / "to directory").symlink_to("plain.d")
    os.mkfifo(top / "pipe")
    # The largest file of all, also next to those that a test adds: tests damage the pack with it
    big.write_bytes(os.urandom(12_000_000))
    with sparse.open("wb") as handle:
        handle.truncate(2_000_000)
    for path, mode, owner in ((big, 0o4755, 65534), (sparse, 0o000, 1), (empty, 0o1777, 65534)):
        os.chown(path, owner, owner)
        path.chmod(mode)
    os.setxattr(plain, "user.origin", b"\x00binary\xff")
    os.setxattr(empty, "user.note", b"of a directory")
    os.utime(plain, ns=(10**18, 10**18 + 123_456_789))


def content(path: Path) -> bytes:
    """Return the content of a file, or the target of a link."""
    if path.is_symlink():
        return os.fsencode(path.readlink())
    return path.read_bytes() if path.is_file() else b""


def describe(path: Path) -> list[object]:
    """Describe everything of an entry that a restore must restore."""
    status = path.lstat()
    names = os.listxattr(path, follow_symlinks=False)
    return [
        *(status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns),
        status.st_nlink if path.is_file() else 0,
        # Holes of large files: small ones may be stored in their directory entry.
        status.st_size > 1_000_000 and status.st_blocks * 512 < status.st_size // 2,
        hashlib.sha256(content(path)).hexdigest(),
        {name: os.getxattr(path, name, follow_symlinks=False).hex() for name in names},
    ]


tree = Path(sys.argv[2])
if sys.argv[1] == "make":
    make(tree)
else:
    same_file = [
        str((tree / name).stat().st_ino == (tree / "hard link").stat().st_ino) for name in ("plain.d/plain", "big")
    ]
    # What the set excludes is not expected back.
    paths = [tree, *(path for path in sorted(tree.rglob("*")) if path.suffix != ".tmp")]
    entries = {str(path.relative_to(tree)): describe(path) for path in paths}
    print(json.dumps([same_file, entries], indent=0))
