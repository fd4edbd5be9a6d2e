"""Remove everything that the sandbox made."""

from __future__ import annotations

import shutil

from . import engine, names, scenarios
from .shell import run, say, stage, succeeds


def _ids(*argv: str) -> list[str]:
    return run("docker", *argv, "--quiet", "--filter", f"label={names.LABEL}").split()


def _guests() -> list[str]:
    """Whoever else joined the sandbox's network, which could not be removed under them."""
    return run("docker", "ps", "--all", "--quiet", "--filter", f"network={names.NETWORK}").split()


def everything() -> None:
    """Containers, volumes, network, images and secrets; Docker itself stays."""
    # Of a daemon that is stopped, hosts come back with it.
    if shutil.which("dockerd", path=engine.path()) and not engine.answers():
        engine.start()
    if engine.answers():
        with stage("removing containers, network, volumes and images"):
            if containers := {*_ids("ps", "--all"), *_guests()}:
                run("docker", "rm", "--force", "--volumes", *containers)
            for argv, remove in (
                (("volume", "ls"), ("volume", "rm", "--force")),
                (("network", "ls"), ("network", "rm")),
            ):
                if found := _ids(*argv):
                    run("docker", *remove, *found)
            # Those that were built anew meanwhile have no name any more.
            built = run("docker", "image", "ls", "--quiet", "--filter", f"label={names.INPUTS}").split()
            base = [names.BASE_IMAGE] if succeeds("docker", "image", "inspect", names.BASE_IMAGE) else []
            if found := [*dict.fromkeys(built), *base]:
                run("docker", "image", "rm", "--force", *found)
    for folder in (*scenarios.folders(), names.CACHE, names.SECRETS):
        shutil.rmtree(folder, ignore_errors=True)
    say("nothing is left; Docker itself stays")
