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

from .settings import ProofError

# Programs that a proof starts. Other programs in the directory, such as an operator's shell, are not killed.
PROGRAMS = ("postgres", "pgbackrest", "restic", "redis-check-rdb", "pg_amcheck", "pg_checksums", "psql")


class Result(t.NamedTuple):
    """Exit status and output of a program."""

    status: int
    out: str
    err: str


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

    def build_command(self, command: t.Sequence[str], root: bool) -> list[str]:
        """Return a command line that the kernel kills when this program ends."""
        user = [] if root else ["--reuid", self.user, "--regid", self.user, "--init-groups"]
        return ["setpriv", "--pdeathsig", "KILL", *user, *command]

    def run(
        self, command: t.Sequence[str], root: bool = False, env: dict[str, str] | None = None, text: str = ""
    ) -> Result:
        """Run a program and return its status and output."""
        result = subprocess.run(
            self.build_command(command, root),
            input=text,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            cwd=self.directory,
            env=environment(env),
            check=False,
        )
        return Result(result.returncode, result.stdout, result.stderr)

    @contextlib.contextmanager
    def run_server(self, command: t.Sequence[str], log: str) -> t.Iterator[subprocess.Popen[bytes]]:
        """Run a program in the background; kill it at the end of the context."""
        # This code runs as root in a directory of another user: never open an existing file for writing.
        with open(os.open(self.path(log), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as handle:
            process = subprocess.Popen(
                self.build_command(command, root=False),
                stdin=subprocess.DEVNULL,
                stdout=handle,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                env=environment(),
            )
        try:
            yield process
        finally:
            stop(process, signal.SIGKILL, 30)

    def read_file(self, name: str) -> str:
        """Return the text of a file in the directory."""
        with open(self.path(name), encoding="utf-8", errors="replace") as handle:
            return handle.read()


def environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a program; not our own one, because it may contain settings of an operator."""
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/nonexistent", **(extra or {})}


def stop(process: subprocess.Popen[bytes], number: signal.Signals, patience: float) -> int | None:
    """Send a signal to a program; return its exit code, or None when it has not ended within `patience` seconds."""
    if process.poll() is None:
        process.send_signal(number)
    try:
        return process.wait(patience)
    except subprocess.TimeoutExpired:
        return None


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
