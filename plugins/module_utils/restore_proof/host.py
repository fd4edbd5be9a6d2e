# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The scratch directory of a proof, and the programs that run in it; nothing of either outlives the proof."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import time
import typing as t

from .settings import Failed

# What a proof starts; another program whose directory this is, a shell, is left alone.
PROGRAMS = ("postgres", "pgbackrest", "restic", "redis-check-rdb", "pg_amcheck", "pg_checksums", "psql")


class Answer(t.NamedTuple):
    """How a program ended, and what it wrote."""

    status: int
    out: str
    err: str


class Bench:
    """A directory in which one thing is restored, as a user who owns nothing else."""

    def __init__(self, directory: str, user: str, say: t.Callable[[str], None]) -> None:
        self.directory = directory
        self.user = user
        self.say = say

    def path(self, *names: str) -> str:
        """Return a path in the directory."""
        return os.path.join(self.directory, *names)

    def folder(self, name: str, root: bool = False) -> str:
        """Make a directory in it that nobody else may enter."""
        path = self.path(name)
        os.mkdir(path, 0o700)
        if not root:
            shutil.chown(path, self.user)
        return path

    def write(self, name: str, text: str) -> str:
        """Write a file that the user may read."""
        path = self.path(name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as handle:
            handle.write(text)
        shutil.chown(path, self.user)
        return path

    def argv(self, command: t.Sequence[str], root: bool) -> list[str]:
        """Return a command that ends when this program does, however that ends."""
        user = [] if root else ["--reuid", self.user, "--regid", self.user, "--init-groups"]
        return ["setpriv", "--pdeathsig", "KILL", *user, *command]

    def run(
        self, command: t.Sequence[str], root: bool = False, env: dict[str, str] | None = None, text: str = ""
    ) -> Answer:
        """Run a program to its end."""
        done = subprocess.run(
            self.argv(command, root),
            input=text,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            cwd=self.directory,
            env=environment(env),
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    @contextlib.contextmanager
    def server(self, command: t.Sequence[str], log: str) -> t.Iterator[subprocess.Popen[bytes]]:
        """Run a program in the background for as long as it is needed."""
        # We are root, the directory is the user's: nothing that lies there is written to.
        with open(os.open(self.path(log), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as said:
            process = subprocess.Popen(
                self.argv(command, root=False),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                env=environment(),
            )
        try:
            yield process
        finally:
            stop(process, signal.SIGKILL, 30)

    def read(self, name: str) -> str:
        """Return the text of a file in the directory."""
        with open(self.path(name), encoding="utf-8", errors="replace") as handle:
            return handle.read()


def environment(further: dict[str, str] | None = None) -> dict[str, str]:
    """Return what a program sees; of our own environment nothing, since it may hold somebody's settings."""
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/nonexistent", **(further or {})}


def stop(process: subprocess.Popen[bytes], how: signal.Signals, patience: float) -> int | None:
    """End a program; return its exit code, or none when it has not ended in time."""
    if process.poll() is None:
        process.send_signal(how)
    try:
        return process.wait(patience)
    except subprocess.TimeoutExpired:
        return None


@contextlib.contextmanager
def bench(scratch: str, user: str, say: t.Callable[[str], None]) -> t.Iterator[Bench]:
    """Give an empty bench, and clear it away whatever happens."""
    clear(scratch)
    directory = os.path.join(scratch, "run")
    os.mkdir(directory, 0o700)
    shutil.chown(directory, user)
    try:
        yield Bench(directory, user, say)
    finally:
        clear(scratch)


def clear(scratch: str) -> list[str]:
    """End what runs in the scratch directory and remove what lies there; return what a killed run had left."""
    directory = os.path.join(scratch, "run")
    found = [f"{name} (process {pid})" for pid, name in running(directory)]
    deadline = time.monotonic() + 30
    while left := running(directory):
        for pid, _name in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise Failed(f"{left[0][1]} (process {left[0][0]}) in {directory} does not end")
        time.sleep(0.1)
    if os.path.lexists(directory):
        found.append(directory)
        shutil.rmtree(directory)
    return found


def running(directory: str) -> list[tuple[int, str]]:
    """Return the programs of a proof that run in a directory."""
    found = []
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            place = os.readlink(f"/proc/{pid}/cwd")
            name = os.path.basename(os.readlink(f"/proc/{pid}/exe").removesuffix(" (deleted)"))
            if f"{place}/".startswith(f"{directory}/") and name in PROGRAMS:
                found.append((int(pid), name))
    return found


@contextlib.contextmanager
def alone(scratch: str) -> t.Iterator[None]:
    """Let one run at a time work; the kernel drops the lock of a killed one."""
    os.makedirs(scratch, mode=0o711, exist_ok=True)
    with open(os.path.join(scratch, "lock"), "w", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Failed("another run is under way: systemctl status vise-backup-verify") from error
        yield


def room(directory: str) -> tuple[int, int]:
    """Return the free and all bytes of the disk that a directory lies on."""
    usage = shutil.disk_usage(directory)
    return usage.free, usage.total


def read(path: str) -> str:
    """Return a file's text; nothing for an absent one."""
    try:
        with open(path, encoding="utf-8") as handle:
            return handle.read()
    except FileNotFoundError:
        return ""


def replace(path: str, text: str, mode: int) -> None:
    """Write a file whole or not at all."""
    staged = f"{path}.new"
    with open(staged, "w", encoding="utf-8") as handle:
        handle.write(text)
        os.fchmod(handle.fileno(), mode)
        handle.flush()
        os.fsync(handle.fileno())
    os.rename(staged, path)
