# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The files of Redis' data. Redis owns their directory and could put links there, so they are used with its rights."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import typing as t

from ..host import files, programs, users
from . import included
from .settings import Settings

APPEND, BASE, MANIFEST = "appendonlydir", "appendonly.aof.1.base.rdb", "appendonly.aof.manifest"


def prepare_start(settings: Settings) -> str:
    """Create the files for a start; convert the data of a Redis that had no append-only file.

    Returns:
        The dump that was converted; empty when the data has an append-only file, or when there is no data.
    """
    included.write_run_directory(settings)
    append = os.path.join(settings.data, APPEND)
    with users.acting_as(settings.account):
        for leftover in glob.glob(os.path.join(glob.escape(settings.data), "temp-*")):
            os.unlink(leftover)  # an incomplete file of a Redis that was killed
        converted = os.path.exists(os.path.join(append, MANIFEST))
    source = None if converted else open_last_dump(settings)
    if source is None:
        return ""
    with source, users.acting_as(settings.account):
        create_append_only_directory(source, append)
    sync(settings)
    return source.name


def open_last_dump(settings: Settings) -> t.BinaryIO | None:
    """Open the latest dump of Redis, if one exists."""
    with users.acting_as(settings.account), contextlib.suppress(FileNotFoundError):
        return open(os.path.join(settings.data, "dump.rdb"), "rb")
    return None


def create_append_only_directory(source: t.BinaryIO, directory: str) -> None:
    """Create a directory with an append-only file that starts with a dump; run this with the rights of Redis."""
    included.make_directory(directory)
    copy_stream(source, os.path.join(directory, BASE), 0o640)
    # The manifest comes last, because it makes the directory complete.
    files.replace_file(os.path.join(directory, MANIFEST), f"file {BASE} seq 1 type b\n", mode=0o640)


def copy_stream(source: t.BinaryIO, path: str, mode: int) -> None:
    """Replace a file with the rest of an open one; its content is on the disk when this returns."""
    files.remove_file(path)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as handle:
        shutil.copyfileobj(source, handle)
        handle.flush()
        os.fchmod(descriptor, mode)
        os.fsync(descriptor)


def exchange(settings: Settings, aside: str) -> None:
    """Exchange the live append-only files with those in another directory, atomically."""
    paths = (os.path.join(aside, APPEND), os.path.join(settings.data, APPEND))
    programs.call(["mv", "--exchange", "--no-copy", "-T", *paths], user=settings.account)
    sync(settings)


def sync(settings: Settings) -> None:
    """Wait until all written data is on disk."""
    programs.call(["sync", "--file-system", settings.data])
