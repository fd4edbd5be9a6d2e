"""Docker: install it if it is missing, start the daemon if it does not run."""

from __future__ import annotations

import os
import shutil
import subprocess

from . import names
from .shell import SandboxError, log, run_with_progress, succeeds, wait_for

PACKAGES = {"dockerd": "docker.io", "iptables": "iptables", "debootstrap": "debootstrap"}


def is_running() -> bool:
    """Return whether the Docker daemon responds to this user."""
    return shutil.which("docker") is not None and succeeds("docker", "version")


def _sudo() -> list[str]:
    return [] if os.geteuid() == 0 else ["sudo"]


def search_path() -> str:
    """Return the search path for programs, with the sbin directories."""
    return os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def install_packages() -> None:
    """Install the missing packages with apt."""
    # A running daemon may come from another package of Docker, so only debootstrap is needed then.
    wanted = {"debootstrap": PACKAGES["debootstrap"]} if is_running() else PACKAGES
    missing = [package for program, package in wanted.items() if not shutil.which(program, path=search_path())]
    if not missing:
        return
    apt = [*_sudo(), "env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
    run_with_progress("apt-get update", [*apt, "update"])
    run_with_progress(f"installing {' '.join(missing)}", [*apt, "install", "-y", "--no-install-recommends", *missing])


def start_daemon() -> None:
    """Start the daemon with the init system, or directly where this fails (in a container, on a CI machine)."""
    for argv in (["systemctl", "start", "docker"], ["service", "docker", "start"]):
        if shutil.which(argv[0]) and succeeds(*_sudo(), *argv):
            try:
                wait_for("docker", is_running, 10)
                return
            except SandboxError:
                log(f"`{' '.join(argv)}` did not start the daemon, trying the next way")
    names.CACHE.mkdir(parents=True, exist_ok=True)
    with (names.CACHE / "dockerd.log").open("ab") as output:
        # --ip6tables gives the hosts IPv6; in Docker 20.10 it needs --experimental.
        subprocess.Popen(
            [*_sudo(), "dockerd", "--experimental", "--ip6tables"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    wait_for(f"dockerd (its log: {names.CACHE / 'dockerd.log'})", is_running, 60)


def ensure_running() -> None:
    """Install Docker and start its daemon; a running daemon is not changed."""
    install_packages()
    if not is_running() and _sudo() and succeeds(*_sudo(), "docker", "version"):
        raise SandboxError(
            "Docker runs, but your user has no access: run `sudo usermod -aG docker $USER`, log in again and retry"
        )
    if not is_running():
        start_daemon()
