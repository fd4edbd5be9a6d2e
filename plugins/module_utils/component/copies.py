# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keep copies of files that others wrote, before a component replaces or removes them."""

from __future__ import annotations

import glob
import itertools
import os
import stat
import time
import typing as t

from ..host import files

ROOT = "/var/lib/vise/taken-over"


class Copy(t.NamedTuple):
    """A file of others and its copy."""

    path: str
    copy: str


def keep(name: str, paths: t.Iterable[str], root: str = "") -> list[Copy]:
    """Copy files with their owner and mode, and links as links; only root can read the copies.

    The directory of a copy names the component and the time. What was copied before, as it is now, is not copied again.

    Args:
        name: the component.
        paths: the files; those that do not exist are skipped.
        root: the directory of all copies; ROOT by default.
    """
    folder = os.path.join(root or ROOT, name)
    older = sorted(os.path.dirname(one) for one in glob.glob(f"{glob.escape(folder)}/*/"))
    now = _choose_folder(folder)
    done = []
    for path in filter(os.path.lexists, paths):
        known = next((one for one in older if _is_same(path, _place(one, path))), "")
        if not known:
            _copy(path, _place(now, path), root or ROOT)
        done.append(Copy(path, _place(known or now, path)))
    return done


def describe(name: str, copy: Copy) -> str:
    """Return the warning about a copy."""
    return f"{name}: {copy.path} was written by others and is replaced or removed; its copy is {copy.copy}"


def _choose_folder(folder: str) -> str:
    now = os.path.join(folder, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()))
    later = (f"{now}-{number}" for number in itertools.count(2))
    return next(name for name in itertools.chain([now], later) if not os.path.lexists(name))


def _place(folder: str, path: str) -> str:
    return os.path.join(folder, path.lstrip("/"))


def _read(path: str) -> tuple[object, ...]:
    """Return what a copy keeps of a file."""
    status = os.lstat(path)
    access = (stat.S_IFMT(status.st_mode), status.st_uid, status.st_gid)
    if stat.S_ISLNK(status.st_mode):
        return *access, os.readlink(path)
    with open(path, "rb") as handle:
        return *access, stat.S_IMODE(status.st_mode), handle.read()


def _is_same(path: str, copy: str) -> bool:
    return os.path.lexists(copy) and _read(path) == _read(copy)


def _copy(path: str, target: str, root: str) -> None:
    files.make_directories(root, 0o700)
    files.make_directories(os.path.dirname(target))
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(path), target)
        os.lchown(target, status.st_uid, status.st_gid)
    else:
        with open(path, "rb") as handle:
            files.create_file(target, handle.read())
        os.chown(target, status.st_uid, status.st_gid)
        # After chown, because chown clears the set-user-id bits.
        os.chmod(target, stat.S_IMODE(status.st_mode))
    files.sync_directory(os.path.dirname(target))
