# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Find the public keys that ssh on the controller offers to a host."""

from __future__ import annotations

import os
import shlex
import subprocess
import typing as t
from pathlib import Path

from ansible_collections.vise.platform.plugins.module_utils.login_checks import read_keys

ARGUMENTS = ("ssh_args", "ssh_common_args", "ssh_extra_args")
TIMEOUT = 5  # seconds


def find_controller_keys(connection: t.Any) -> frozenset[str] | None:
    """Return the keys that a connection of Ansible can offer; None if they cannot be known."""
    if connection.transport != "ssh" or (connection.has_option("private_key") and connection.get_option("private_key")):
        return None
    options = read_client_options(connection)
    if not options or "pkcs11provider" in options:
        return None
    keys = frozenset().union(*map(read_public_key, options.get("identityfile", ())))
    agent = options.get("identityagent", [""])[0]
    if agent == "none" or options.get("identitiesonly") == ["yes"]:
        return keys
    offered = read_agent(os.path.expanduser(agent))
    return None if offered is None else keys | offered


def read_client_options(connection: t.Any) -> dict[str, list[str]]:
    """Return the configuration of ssh for a connection, as `ssh -G` prints it; none if ssh refuses it."""
    words = [word for name in ARGUMENTS for word in shlex.split(connection.get_option(name) or "")]
    if file := connection.get_option("private_key_file"):
        words += ["-o", f"IdentityFile={os.path.expanduser(file)}"]
    executable = connection.get_option("ssh_executable") or "ssh"
    code, out = run([executable, *words, "-G", connection.get_option("host")])
    found: dict[str, list[str]] = {}
    for line in out.splitlines() if code == 0 else ():
        name, _space, value = line.partition(" ")
        found.setdefault(name, []).append(value)
    return found


def read_public_key(file: str) -> frozenset[str]:
    """Return the public key of an identity file; none if it does not exist or has a passphrase."""
    path = Path(file).expanduser()
    public = path.with_name(f"{path.name}.pub")
    if public.is_file():
        return read_keys(public.read_text(errors="replace"))
    return read_keys(run(["ssh-keygen", "-y", "-P", "", "-f", str(path)])[1]) if path.is_file() else frozenset()


def read_agent(socket: str) -> frozenset[str] | None:
    """Return the keys of the agent at a socket, or of that of the environment; None if it cannot be queried."""
    socket = os.environ.get("SSH_AUTH_SOCK", "") if socket in ("", "SSH_AUTH_SOCK") else socket
    if not socket or not os.path.exists(socket):
        return frozenset()
    code, out = run(["ssh-add", "-L"], SSH_AUTH_SOCK=socket)
    # 1: the agent has no keys.
    return read_keys(out) if code in (0, 1) else None


def run(command: list[str], **environment: str) -> tuple[int, str]:
    """Return the exit status and the output of a program; -1 if it does not exist or does not end."""
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return -1, ""
    return done.returncode, done.stdout
