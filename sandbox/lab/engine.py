"""Docker: installed where it is missing, started where nothing starts it."""

from __future__ import annotations

import os
import shutil
import subprocess

from . import names
from .shell import Failed, progress, say, succeeds, wait_for

PACKAGES = {"dockerd": "docker.io", "iptables": "iptables", "debootstrap": "debootstrap"}


def answers() -> bool:
    """Whether a daemon answers."""
    return shutil.which("docker") is not None and succeeds("docker", "version")


def _privilege() -> list[str]:
    return [] if os.geteuid() == 0 else ["sudo"]


def path() -> str:
    """Where programs are looked for; sbin is where some of them lie."""
    return os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def install() -> None:
    """Install what is missing, through apt."""
    # A daemon that answers may be anybody's packaging of Docker.
    wanted = {"debootstrap": PACKAGES["debootstrap"]} if answers() else PACKAGES
    missing = [package for program, package in wanted.items() if not shutil.which(program, path=path())]
    if not missing:
        return
    apt = [*_privilege(), "env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
    progress("apt-get update", [*apt, "update"])
    progress(f"installing {' '.join(missing)}", [*apt, "install", "-y", "--no-install-recommends", *missing])


def start() -> None:
    """Start the daemon by the init system, or by hand where that does not work (a container, a CI machine)."""
    for argv in (["systemctl", "start", "docker"], ["service", "docker", "start"]):
        if shutil.which(argv[0]) and succeeds(*_privilege(), *argv):
            try:
                wait_for("docker", answers, 10)
                return
            except Failed:
                say(f"{' '.join(argv)} did not bring the daemon up")
    names.CACHE.mkdir(parents=True, exist_ok=True)
    with (names.CACHE / "dockerd.log").open("ab") as log:
        # ip6tables, which Docker 20.10 calls experimental, gives the hosts IPv6 as well.
        subprocess.Popen(
            [*_privilege(), "dockerd", "--experimental", "--ip6tables"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    wait_for(f"dockerd (its log: {names.CACHE / 'dockerd.log'})", answers, 60)


def up() -> None:
    """A daemon that runs is left as it is."""
    install()
    if not answers() and _privilege() and succeeds(*_privilege(), "docker", "version"):
        raise Failed("Docker runs, but not for you: sudo usermod -aG docker $USER, log in again, and start anew")
    if not answers():
        start()
