# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Locks between processes of a host. The kernel releases the lock of a process that was killed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import typing as t

from . import files


class LockedError(Exception):
    """Another process holds the lock."""


@contextlib.contextmanager
def lock(path: str, *, wait: bool = True, directory_mode: int = 0o755) -> t.Iterator[None]:
    """Hold the lock of a path.

    Args:
        path: the lock's file, which is created, also its directory; the file is never removed.
        wait: whether to wait for another process that holds the lock.
        directory_mode: permissions of the directory if it does not exist yet.

    Raises:
        LockedError: another process holds the lock, and `wait` is false.
    """
    files.make_directories(os.path.dirname(path), directory_mode)
    # Read only, because a unit may see the directory read-only.
    descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise LockedError(f"another process holds the lock {path}") from error
        yield
    finally:
        os.close(descriptor)
