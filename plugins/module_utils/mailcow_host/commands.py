# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run commands of the host; secrets are passed in the environment, which other users cannot read."""

from __future__ import annotations

import os
import subprocess
import typing as t
from pathlib import Path

from ..host import programs
from .settings import Problem

# A checkout can have settings of its own. These must not change which files git sees, or what it writes to them.
GIT_SETTINGS = {
    # Another user can be the owner of the checkout of an administrator
    "safe.directory": "*",
    "core.autocrlf": "false",
    "core.fileMode": "true",
    "core.symlinks": "true",
    "core.sparseCheckout": "false",
    "core.fsmonitor": "false",
    "core.untrackedCache": "false",
    "core.hooksPath": "/dev/null",
}
# git and Docker would also use the settings of the whole host, and Docker those of a context.
OWN_SETTINGS = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_CONFIG_COUNT": str(len(GIT_SETTINGS)),
    **{f"GIT_CONFIG_KEY_{number}": name for number, name in enumerate(GIT_SETTINGS)},
    **{f"GIT_CONFIG_VALUE_{number}": value for number, value in enumerate(GIT_SETTINGS.values())},
    "DOCKER_HOST": "unix:///var/run/docker.sock",
}
# The users in the containers must be able to read the files of a checkout.
UMASK = 0o022


def run(argv: t.Sequence[str], directory: Path = Path("/"), stdin: str = "", **environment: str) -> str:
    """Run a command and return its output; raises Problem when it fails."""
    result = execute(argv, directory, stdin, **environment)
    if result.failed:
        # Only the first arguments: a later one can be the address of a repository with its credential.
        raise Problem(programs.describe_failure(argv[:6], result))
    return result.out


def execute(argv: t.Sequence[str], directory: Path = Path("/"), stdin: str = "", **environment: str) -> programs.Result:
    """Run a command and return its result."""
    return programs.run(argv, directory=str(directory), stdin=stdin, environment=_variables(environment), umask=UMASK)


def save_output(argv: t.Sequence[str], target: Path, **environment: str) -> None:
    """Run a command and write its output, of any size, to a file that only root can read."""
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as handle:
        done = subprocess.run(
            list(argv), stdout=handle, stderr=subprocess.PIPE, check=False, env=_variables(environment)
        )
        handle.flush()
        os.fsync(handle.fileno())
    # Docker writes its own errors to the standard output.
    _require_success(argv, done.returncode, done.stderr or target.read_bytes()[-programs.LONGEST_MESSAGE :])


def load_input(argv: t.Sequence[str], source: Path, **environment: str) -> None:
    """Run a command whose standard input is a file of any size and encoding."""
    with source.open("rb") as handle:
        done = subprocess.run(list(argv), stdin=handle, capture_output=True, check=False, env=_variables(environment))
    _require_success(argv, done.returncode, done.stderr or done.stdout)


def _variables(environment: t.Mapping[str, str]) -> dict[str, str]:
    return programs.build_environment({**OWN_SETTINGS, **environment})


def _require_success(argv: t.Sequence[str], code: int, output: bytes) -> None:
    if code:
        result = programs.Result(code, "", output.decode("utf-8", "replace"))
        raise Problem(programs.describe_failure(argv, result))
