"""Machines of the sandbox as tests see them: platform hosts by SSH, and `world`, which is outside.

A machine is pytest-testinfra's host. Its commands share one connection, so that each costs milliseconds.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import testinfra
import yaml
from testinfra.host import Host

ROOT = Path(__file__).resolve().parents[1]
KEY = ROOT / ".cache/sandbox/id_ed25519"
SSH_OPTIONS = (
    *("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "BatchMode=yes"),
    # A host that was switched off does not close its connection.
    *("ServerAliveInterval=2", "ServerAliveCountMax=3"),
)
T = TypeVar("T")
WORLD = "world"
FOREIGN_ENVIRONMENT = ROOT / "tests/foreign_environment.yml"
GATEWAY = "172.30.0.1"


def ssh_command(address: str, user: str = "root", key: Path = KEY, options: Iterable[str] = ()) -> list[str]:
    """Return the command by which a program logs in at a host; a connection of its own unless the options share one."""
    pairs = [part for option in (*SSH_OPTIONS, *options) for part in ("-o", option)]
    return ["ssh", "-F", "none", "-i", str(key), *pairs, f"{user}@{address}"]


@functools.cache
def shared_connection() -> tuple[str, ...]:
    """Return the SSH options by which all commands of this process to one host share a connection."""
    # The path of a socket must be short.
    sockets = tempfile.mkdtemp(prefix="vise-ssh-")
    atexit.register(shutil.rmtree, sockets, ignore_errors=True)
    return ("ControlMaster=auto", "ControlPersist=60", f"ControlPath={sockets}/%C")


@functools.cache
def by_ssh(address: str) -> Host:
    """Return the host at an address, as root; all commands share one connection."""
    extra = " ".join(f"-o {option}" for option in (*SSH_OPTIONS, *shared_connection()))
    return testinfra.get_host(f"ssh://root@{address}", ssh_identity_file=str(KEY), ssh_extra_args=f"-F none {extra}")


@functools.cache
def by_docker(container: str) -> Host:
    """Return a container of the sandbox, entered by the engine."""
    return testinfra.get_host(f"docker://{container}")


def script(machine: Host, text: str) -> str:
    """Run a bash script that ends at the first command that fails, and return its output; it must succeed."""
    done = machine.run("bash -c %s", f"set -eu -o pipefail\n{text}")
    assert done.rc == 0, f"exit {done.rc}\n{text}\n{done.stdout}\n{done.stderr}"
    return str(done.stdout).strip()


def output(machine: Host, command: str, *arguments: str) -> str:
    """Return everything that a command printed, whatever its exit status."""
    done = machine.run(command, *arguments)
    return f"{done.stdout}{done.stderr}"


def eventually(question: Callable[[], T], seconds: float = 10, pause: float = 0.2) -> T:
    """Ask until the answer is true, and return the last answer."""
    end = time.monotonic() + seconds
    while not (answer := question()) and time.monotonic() < end:
        time.sleep(pause)
    return answer


def started_at(container: str) -> str:
    """Return when a host was started; its kernel, and so its boot id, is the machine's."""
    argv = ["docker", "inspect", "--format", "{{.State.StartedAt}}", container]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


@contextlib.contextmanager
def session(argv: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """Run a program next to the test; it is killed when the test ends before it."""
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as child:
        try:
            yield child
        finally:
            child.kill()


@contextlib.contextmanager
def foreign_logins(machine: Host, address: str) -> Iterator[Callable[[str], str]]:
    """Give each new login of a host variables with wrong values, by /etc/environment, which sshd reads through PAM.

    Yields a function that runs a command in such a login and returns its output; the command must succeed.
    """
    values = yaml.safe_load(FOREIGN_ENVIRONMENT.read_text())["foreign_environment"]
    text = "".join(f'{name}="{value}"\n' for name, value in values.items())

    def login(command: str) -> str:
        done = subprocess.run(
            [*ssh_command(address), command], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    machine.check_output("cp -a /etc/environment /root/environment; printf %%s %s >/etc/environment", text)
    try:
        found = dict(line.split("=", 1) for line in login("env").splitlines() if "=" in line)
        missing = {name: value for name, value in values.items() if found.get(name) != value}
        assert not missing, missing
        yield login
    finally:
        machine.check_output("mv /root/environment /etc/environment")


def answers_ssh(address: str) -> bool:
    """Return whether a new connection can be opened."""
    command = [*ssh_command(address, options=["ConnectTimeout=2"]), "true"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
