# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The identity of a run of Ansible on its controller, by which hosts know who changes them.

A run is identified by the temporary directory of its process, which all its workers share and which ends with it. A run
that a task of another run starts belongs to that run, which waits for it.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import socket
import sys
import typing as t
import uuid
from pathlib import Path

from ansible import constants, context
from ansible_collections.vise.platform.plugins.module_utils.host import files, leases

MODULE = "vise.platform.run_lease"
VARIABLE = "end_lease"
OUTER = "VISE_PLATFORM_RUN"  # in the environment of what a run starts: the temporary directory of this run
# The process of a temporary directory, before eight random characters
PROCESS = re.compile(r"ansible-local-(\d+).{8}")
USED = "vise-lease-"


def identify(action: t.Any, task_vars: t.Mapping[str, t.Any]) -> dict[str, str]:
    """Return the lease that this run takes on the hosts that it changes."""
    return {
        "run": find_run(),
        # Users of one controller have different folders for their runs.
        "directory": str(find_outer_directory()),
        "who": find_user(),
        "origin": find_origin(),
        "machine": identify_machine(),
        "command": name_command(),
        "ends": str(action._templar.template(task_vars[VARIABLE])) if VARIABLE in task_vars else "",
    }


def take(action: t.Any, task_vars: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Take the lease of a host; return the result of the module, which has failed if another run changes the host.

    In check mode nothing is executed.
    """
    if action._task.check_mode:
        return {"changed": False}

    def call(lease: dict[str, str]) -> dict[str, t.Any]:
        result: dict[str, t.Any] = action._execute_module(MODULE, {"lease": lease}, task_vars=task_vars)
        result.pop("invocation", None)
        return result

    lease = identify(action, task_vars)
    result = call(lease)
    if (other := result.get("held_by")) and has_ended(other):
        result = call({**lease, "ends": other["run"]})
    if other := result.get("held_by"):
        return {"failed": True, "msg": f"refused, nothing was changed: {leases.describe(other)}"}
    if not result.get("failed"):
        mark_used(task_vars["inventory_hostname"])
    return result


def find_run() -> str:
    """Return the identity of this run, or of the run that has started it."""
    return find_outer_directory().name


def find_outer_directory() -> Path:
    """Return the temporary directory of this run, or of the run that has started it."""
    return Path(os.environ.get(OUTER) or find_directory())


def announce() -> None:
    """Give the identity of this run to all that it starts; only the process that starts the workers can do it."""
    os.environ.setdefault(OUTER, str(find_directory()))


def find_directory() -> Path:
    """Return the temporary directory of this run."""
    return Path(constants.DEFAULT_LOCAL_TMP)


def find_user() -> str:
    """Return who has started the run, also by sudo."""
    with contextlib.suppress(KeyError, OSError):
        return os.environ.get("SUDO_USER") or getpass.getuser()
    return str(os.getuid())


def find_origin() -> str:
    """Return the name of the controller."""
    return socket.gethostname()


def identify_machine() -> str:
    """Return a text that differs between controllers, and between containers on one machine."""
    return f"{socket.gethostname()} {uuid.getnode():x}"


def name_command() -> str:
    """Return the playbooks of the command line, without their folders."""
    return " ".join(os.path.basename(name) for name in context.CLIARGS.get("args") or ()) or os.path.basename(
        sys.argv[0]
    )


def has_ended(lease: leases.Lease) -> bool:
    """Return whether the run of a lease was on this controller and exists no more."""
    if lease["machine"] != identify_machine() or not (found := PROCESS.fullmatch(lease["run"])):
        return False
    directory = Path(lease.get("directory") or find_directory().parent / lease["run"])
    return not (is_running(int(found[1])) and is_present(directory))


def is_present(directory: Path) -> bool:
    """Return whether a directory exists, or may exist in a folder that only another user can read."""
    try:
        os.stat(directory)
    except PermissionError:
        return True
    except OSError:
        return False
    return True


def is_running(process: int) -> bool:
    """Return whether a process exists."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def mark_used(host: str) -> None:
    """Note that a host has a lease of this run."""
    with contextlib.suppress(OSError):
        files.replace_file(str(_find_mark(host)), "")


def is_used(host: str) -> bool:
    """Return whether a host has a lease of this run."""
    return _find_mark(host).exists()


def unmark_used(host: str) -> None:
    """Note that the lease of a host has ended."""
    with contextlib.suppress(OSError):
        _find_mark(host).unlink()


def _find_mark(host: str) -> Path:
    return find_directory() / f"{USED}{uuid.uuid5(uuid.NAMESPACE_DNS, host)}"
