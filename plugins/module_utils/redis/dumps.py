# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Dumps of the data: write one for a backup, prove one, and replace the live data with one."""

from __future__ import annotations

import os
import secrets
import shutil
import time
import typing as t

from ..host import files, programs, users
from . import data, isolated, live, state
from .client import Client
from .settings import LONGEST_LOAD, UNIT, RedisError, Settings


def write(settings: Settings, target: str) -> None:
    """Write a dump of the current data, which only root can read."""
    client = live.connect(settings)
    before = int(wait_for_snapshot(client, 0)["rdb_saves"])
    # The backup to another repository, or Redis itself, may have begun a snapshot in between.
    while not client.begin_snapshot():
        before = int(wait_for_snapshot(client, 0)["rdb_saves"])
    if wait_for_snapshot(client, before + 1)["rdb_last_bgsave_status"] != "ok":
        raise RedisError(f"the snapshot failed; see journalctl -u {UNIT}")
    source = data.open_last_dump(settings)
    if source is None:
        raise RedisError(f"{settings.data}/dump.rdb does not exist")
    with source:
        data.copy_stream(source, f"{target}.new", 0o600)
    os.rename(f"{target}.new", target)
    files.sync_directory(os.path.dirname(target))


def wait_for_snapshot(client: Client, count: int) -> dict[str, t.Any]:
    """Wait until Redis has begun this number of snapshots since its start, and none of them is running."""
    deadline = time.monotonic() + LONGEST_LOAD
    while True:
        info = client.read_info()
        if info["rdb_bgsave_in_progress"] == 0 and info["rdb_saves"] >= count:
            return info
        if time.monotonic() > deadline:
            raise RedisError(f"the snapshot is not complete after {LONGEST_LOAD} s")
        time.sleep(0.05)


def count_loaded_keys(client: Client) -> int:
    """Return the number of keys that Redis loaded at its start, including expired keys."""
    info = client.read_info()
    return int(info["rdb_last_load_keys_loaded"]) + int(info["rdb_last_load_keys_expired"])


def count_keys(settings: Settings, source: str) -> int:
    """Return the number of keys in a dump, which an isolated Redis loads; raises RedisError for a broken dump."""
    secret = secrets.token_hex(32)
    text = f'appendonly no\nsave ""\n{state.describe_admin(secret)}\nuser default off\n'
    with isolated.scratch_directory(settings, "/var/tmp") as directory:
        copy = os.path.join(directory, "own", "dump.rdb")
        shutil.copyfile(source, copy)
        shutil.chown(copy, settings.account, settings.account)
        # It reports what is wrong with a dump; Redis itself only stops.
        result = programs.run(["redis-check-rdb", copy], user=settings.account)
        if result.failed:
            raise RedisError(f"{source} is not a dump that can be restored:\n{result.text[-1000:]}")
        with isolated.run_isolated(settings, directory, text, secret, LONGEST_LOAD) as client:
            return count_loaded_keys(client)


def restore(settings: Settings, source: str) -> tuple[int, str]:
    """Replace the current data with a dump; on an error, restore the current data.

    The file system exchanges the two sets of files atomically: at any kill of this program, one complete set is live.

    Returns:
        The number of keys that are live, and the directory with the previous data.
    """
    keys = count_keys(settings, source)
    aside = os.path.join(settings.data, time.strftime("before-restore-%Y%m%dT%H%M%SZ", time.gmtime()))
    with open(source, "rb") as given, users.acting_as(settings.account):
        os.mkdir(aside, 0o700)
        data.create_append_only_directory(given, os.path.join(aside, data.APPEND))
    data.sync(settings)
    live.stop()
    with users.acting_as(settings.account):
        files.make_directories(os.path.join(settings.data, data.APPEND), 0o750)
    data.exchange(settings, aside)
    try:
        start_with(settings, keys)
    except (OSError, RedisError) as error:
        undo_restore(settings, aside)
        raise RedisError(f"{error}. The previous data was restored and is live.") from error
    return keys, aside


def start_with(settings: Settings, keys: int) -> None:
    """Start Redis; raises RedisError unless it loads this number of keys."""
    loaded = count_loaded_keys(live.start(settings))
    if loaded != keys:
        raise RedisError(f"Redis loaded {loaded} keys, but the dump has {keys}")


def undo_restore(settings: Settings, aside: str) -> None:
    """Make the previous data live again, and remove the other."""
    live.stop()
    data.exchange(settings, aside)
    with users.acting_as(settings.account):
        shutil.rmtree(aside)
    live.start(settings)
