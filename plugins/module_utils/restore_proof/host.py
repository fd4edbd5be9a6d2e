# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The scratch directory of a proof and the programs that run in it; both are removed after the proof."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
import typing as t

from ..host import programs
from ..postgresql import instance
from .settings import ProofError

# Programs that a proof starts. Other programs in the directory, such as an operator's shell, are not killed.
PROGRAMS = ("postgres", "pgbackrest", "restic", "redis-check-rdb", "pg_amcheck", "pg_checksums", "psql")


class ScratchDirectory:
    """A temporary directory for one restore, which runs as a user that owns nothing else."""

    def __init__(self, directory: str, user: str, log: t.Callable[[str], None]) -> None:
        self.directory = directory
        self.user = user
        self.log = log

    def path(self, *names: str) -> str:
        """Return a path in the directory."""
        return os.path.join(self.directory, *names)

    def create_directory(self, name: str, root: bool = False) -> str:
        """Create a private subdirectory, owned by the user or by root; return its path."""
        path = self.path(name)
        os.mkdir(path, 0o700)
        if not root:
            shutil.chown(path, self.user)
        return path

    def write(self, name: str, text: str) -> str:
        """Create a file that only the user may read; return its path."""
        path = self.path(name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as handle:
            handle.write(text)
        shutil.chown(path, self.user)
        return path

    def run(
        self, command: t.Sequence[str], root: bool = False, env: dict[str, str] | None = None, text: str = ""
    ) -> programs.Result:
        """Run a program to its end; the kernel kills it when this process ends."""
        user = "" if root else self.user
        return programs.run(
            [*programs.END_WITH_PARENT, *command], user=user, stdin=text, environment=env, directory=self.directory
        )

    @contextlib.contextmanager
    def run_postgres(self, command: t.Sequence[str], log: str) -> t.Iterator[subprocess.Popen[bytes]]:
        """Run a server in the background, with a log in the directory; kill it at the end of the context."""
        argv = [*programs.END_WITH_PARENT, *command]
        process = instance.start(argv, self.path(log), user=self.user, directory=self.directory)
        try:
            yield process
        finally:
            instance.stop(process, signal.SIGKILL, 30)

    def read_file(self, name: str) -> str:
        """Return the text of a file in the directory."""
        with open(self.path(name), encoding="utf-8", errors="replace") as handle:
            return handle.read()


@contextlib.contextmanager
def scratch_directory(scratch: str, user: str, log: t.Callable[[str], None]) -> t.Iterator[ScratchDirectory]:
    """Provide an empty scratch directory, and remove it in any case."""
    remove_leftovers(scratch)
    directory = os.path.join(scratch, "run")
    os.mkdir(directory, 0o700)
    shutil.chown(directory, user)
    try:
        yield ScratchDirectory(directory, user, log)
    finally:
        remove_leftovers(scratch)


def remove_leftovers(scratch: str) -> list[str]:
    """Kill leftover programs and remove the scratch directory; return what was found, raise ProofError after 30 s."""
    directory = os.path.join(scratch, "run")
    found = [f"{name} (process {pid})" for pid, name in list_processes(directory)]
    deadline = time.monotonic() + 30
    while remaining := list_processes(directory):
        for pid, _name in remaining:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise ProofError(f"{remaining[0][1]} (process {remaining[0][0]}) in {directory} cannot be killed")
        time.sleep(0.1)
    if os.path.lexists(directory):
        found.append(directory)
        shutil.rmtree(directory)
    return found


def list_processes(directory: str) -> list[tuple[int, str]]:
    """Return (process id, name) of a proof's programs that run in a directory."""
    found = []
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            place = os.readlink(f"/proc/{pid}/cwd")
            name = os.path.basename(os.readlink(f"/proc/{pid}/exe").removesuffix(" (deleted)"))
            if f"{place}/".startswith(f"{directory}/") and name in PROGRAMS:
                found.append((int(pid), name))
    return found


def measure_disk(directory: str) -> tuple[int, int]:
    """Return the free and the total bytes of a directory's file system."""
    usage = shutil.disk_usage(directory)
    return usage.free, usage.total
