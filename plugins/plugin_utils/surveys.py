# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Surveys on the controller: what preflight found on each host, until the first change of the run.

Workers are forks, and facts can outlive a run. Therefore a survey is a set of files in the temporary directory of this
process, which Ansible removes at the end. The callback ``survey`` creates the directory when a playbook starts and
removes it at the first change; without the directory there are no surveys.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
import typing as t
from pathlib import Path

from ansible import constants

# Seconds; what was found longer ago is not used.
LONGEST_AGE = 120
PLUGINS = Path(__file__).resolve().parents[1]
CODE = (
    "action/component.py",
    "modules/component.py",
    "module_utils/component/*.py",
    "module_utils/host/*.py",
    "plugin_utils/surveys.py",
)


def compute_code_digest() -> str:
    """Return a digest of all code that decides whether a component is right."""
    paths = sorted(path for pattern in CODE for path in PLUGINS.glob(pattern))
    found = hashlib.sha256()
    for path in paths:
        found.update(f"{path.relative_to(PLUGINS)}\0".encode() + path.read_bytes() + b"\0")
    return found.hexdigest()


# Once per run: Ansible loads an action plugin before it forks the workers.
CODE_DIGEST = compute_code_digest()


def find_directory() -> Path:
    """Return the directory of this process's surveys; no other user can enter its parent."""
    return Path(constants.DEFAULT_LOCAL_TMP, "vise-surveys")


def begin() -> None:
    """Allow surveys; only the callback that watches all results may call this."""
    find_directory().mkdir(mode=0o700, exist_ok=True)


def are_allowed() -> bool:
    """Return whether the callback runs and nothing has ended the surveys."""
    return find_directory().is_dir()


def end() -> None:
    """End the surveys of all hosts; no process can read one afterwards."""
    directory = find_directory()
    # At once, and without space on the disk; to remove its files takes longer.
    ended = directory.with_name(f"{directory.name}-{os.getpid()}-{time.monotonic_ns()}")
    with contextlib.suppress(FileNotFoundError):
        directory.rename(ended)
        shutil.rmtree(ended, ignore_errors=True)


def identify(action: t.Any, host: str) -> str:
    """Return a text that differs when an action reaches another host, or the same one in another way.

    Args:
        action: an action plugin, whose connection has all its options: address, port, login and more.
        host: the host's name in the inventory.
    """
    environment: dict[str, t.Any] = {}
    # The commands of a probe get the variables of the task.
    action._compute_environment_string(environment)
    connection, become = action._connection, action._connection.become
    ways = [connection.ansible_name, connection.get_options()]
    ways += [become.ansible_name, become.get_options()] if become else []
    return json.dumps([host, *ways, environment], sort_keys=True, default=str)


def keep(key: str, started: float, components: dict[str, dict[str, t.Any]]) -> None:
    """Write what a survey found, one file for each component; nothing is kept after the end.

    Args:
        key: what ``identify`` returned for the action that surveyed.
        started: what ``read_clock`` returned before the host was read.
        components: by name, the generation and the differences.
    """
    for name, found in components.items():
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(_find_file(key, name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
                json.dump({"started": started, **found}, handle)


def take(key: str, name: str) -> dict[str, t.Any]:
    """Return what a survey found for a component, only once; empty when there is nothing, or when it is too old."""
    path = _find_file(key, name)
    try:
        found: dict[str, t.Any] = json.loads(path.read_text(encoding="utf-8"))
        path.unlink()
    except (FileNotFoundError, ValueError):
        return {}
    return found if read_clock() - found["started"] <= LONGEST_AGE else {}


def read_clock() -> float:
    """Return seconds that also pass while the controller sleeps, where its system counts them."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _find_file(key: str, name: str) -> Path:
    return find_directory() / hashlib.sha256(json.dumps([key, name]).encode()).hexdigest()
