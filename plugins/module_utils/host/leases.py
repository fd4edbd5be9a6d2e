# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lease of a host: which run of Ansible changes it now. It ends with the run, or some time after its last sign.

It is a file of a file system in memory: a reboot of the host ends the lease.
"""

from __future__ import annotations

import os
import threading
import time
import typing as t

from . import files, locks

DIRECTORY = "/run/vise"
# Seconds after the last sign of a run whose controller has died: between its components, and while it waits for modules
# that do not renew the lease.
SECONDS, LONG_SECONDS = 600, 3600
RENEWAL = 60  # seconds between two signs of a task that takes long

Lease: t.TypeAlias = "dict[str, t.Any]"


def find_other(run: str) -> Lease:
    """Return the lease of another run that holds the host; empty when there is none.

    Args:
        run: the identity of the own run.
    """
    held = _read()
    if not held or held["run"] == run:
        return {}
    silent = _read_clock() - held["renewed"]
    return {**held, "silent": round(silent)} if 0 <= silent < find_limit(held) else {}


def find_limit(lease: Lease) -> int:
    """Return how many seconds a run may give no sign."""
    seconds = lease.get("seconds")
    return seconds if isinstance(seconds, int) else SECONDS


def take(wanted: Lease, seconds: int = SECONDS) -> Lease:
    """Take or renew the lease; return that of another run that holds the host, which stays.

    Args:
        wanted: who runs what: run, who, origin, machine, command; and `ends`, the run whose lease ends with this.
        seconds: how long the run may give no sign from now on.
    """
    with locks.lock(os.path.join(DIRECTORY, "lease.lock"), directory_mode=0o755):
        held = _read()
        if held and held["run"] != wanted["ends"] and (other := find_other(wanted["run"])):
            return other
        since = held["since"] if held and held["run"] == wanted["run"] else int(time.time())
        kept = {key: value for key, value in wanted.items() if key != "ends"}
        _write({**kept, "since": since, "seconds": seconds})
    return {}


def keep_alive(check_mode: bool = False) -> threading.Thread | None:
    """Renew the lease of the present run until this process ends, however long its work takes.

    A process that changes the host is a part of the run that holds it: another run would have been refused. Without a
    lease, and in check mode, nothing happens.
    """
    held = _read()
    if check_mode or not held or not 0 <= _read_clock() - held["renewed"] < find_limit(held):
        return None
    thread = threading.Thread(target=_renew, args=(held["run"],), daemon=True)
    thread.start()
    return thread


def renew(run: str) -> bool:
    """Renew the lease of a run; return whether the run still has it."""
    with locks.lock(os.path.join(DIRECTORY, "lease.lock"), directory_mode=0o755):
        held = _read()
        if not held or held["run"] != run:
            return False
        _write(held)
    return True


def _renew(run: str) -> None:
    try:
        while renew(run):
            time.sleep(RENEWAL)
    except OSError:
        # The work goes on, and the lease still has its limit.
        return


def end(run: str) -> bool:
    """End the lease of a run; return whether it had one."""
    with locks.lock(os.path.join(DIRECTORY, "lease.lock"), directory_mode=0o755):
        held = _read()
        if not held or held["run"] != run:
            return False
        files.remove_file(_path())
    return True


def describe(lease: Lease) -> str:
    """Return who holds the host, and what to do."""
    since = time.strftime("%H:%M UTC", time.gmtime(lease["since"]))
    return (
        f"{lease['who']} runs {lease['command']} from {lease['origin']} on this host since {since}; its last sign was "
        f"{lease['silent']} s ago; wait until that run has ended; if it is dead, add `-e end_lease={lease['run']}`, or "
        f"wait {max(1, (find_limit(lease) - lease['silent'] + 59) // 60)} min"
    )


def _read() -> Lease:
    try:
        held = files.read_json(_path(), {})
        return t.cast("Lease", held) if {"run", "since", "renewed"} <= held.keys() else {}
    except (ValueError, AttributeError):
        # A run was killed on a full disk, or it is not the file of a run.
        return {}


def _write(lease: Lease) -> None:
    files.write_json(_path(), {**lease, "renewed": _read_clock()}, mode=0o644)


def _path() -> str:
    return os.path.join(DIRECTORY, "lease.json")


def _read_clock() -> float:
    """Return seconds since the host was started, which no change of its time of day affects."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
