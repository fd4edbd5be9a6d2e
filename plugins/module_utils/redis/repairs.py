# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Cut off the damaged end of the append-only file, after a copy. Redis 8.4 does this itself, Debian's 8.0 stops."""

from __future__ import annotations

import dataclasses
import os
import time

from ..host import programs, users
from . import data, live
from .settings import LoadingError, RedisError, Settings, UnreachableError

# How long Redis may load its data until it answers or fails, in seconds
PATIENCE = 60


@dataclasses.dataclass(frozen=True)
class Repair:
    """The bytes that were cut off, how many of them are not NUL, and the directory with the data of before."""

    cut: int
    content: int
    copy: str


def repair(settings: Settings) -> Repair:
    """Keep a copy of the append-only files, repair them with redis-check-aof, and start Redis."""
    reject_running(settings)
    live.stop()
    append = os.path.join(settings.data, data.APPEND)
    copy = copy_data(settings, append)
    manifest = os.path.join(append, data.MANIFEST)
    result = programs.run(["redis-check-aof", "--fix", manifest], user=settings.account, stdin="y\n")
    if result.failed:
        raise RedisError(
            f"{result.text[-1000:]}\nThe data cannot be repaired: replace it with a dump from a backup, with "
            f"playbooks/restore_redis.yml. A copy of the data is in {copy}"
        )
    data.sync(settings)
    with users.acting_as(settings.account):
        cut = read_cut(os.path.join(copy, data.APPEND), append)
    live.start(settings)
    return Repair(len(cut), len(cut) - cut.count(0), copy)


def reject_running(settings: Settings) -> None:
    """Raise RedisError when Redis answers: nothing is damaged."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            live.connect(settings)
        except LoadingError:
            # It loads its data again and again, each time until it comes to the damaged end.
            if live.is_failing():
                return
            time.sleep(0.2)
        except UnreachableError:
            return
        else:
            raise RedisError("Redis answers: there is nothing to repair")
    raise RedisError("Redis still loads its data: run the repair only if it fails")


def copy_data(settings: Settings, append: str) -> str:
    """Copy the append-only files; return the directory with the copy."""
    copy = os.path.join(settings.data, time.strftime("before-repair-%Y%m%dT%H%M%SZ", time.gmtime()))
    with users.acting_as(settings.account):
        os.mkdir(copy, 0o700)
    programs.call(["cp", "--archive", "--reflink=auto", append, copy], user=settings.account)
    data.sync(settings)
    return copy


def read_cut(before: str, after: str) -> bytes:
    """Return what the files of a directory had at their end and have no longer."""
    cut = b""
    for name in sorted(os.listdir(before)):
        with open(os.path.join(before, name), "rb") as handle:
            handle.seek(os.path.getsize(os.path.join(after, name)))
            cut += handle.read()
    return cut
