"""Remove everything that the sandbox created."""

from __future__ import annotations

import shutil

from . import engine, names, scenarios
from .shell import log, run, succeeds, timed_stage


def _list_ids(*argv: str) -> list[str]:
    return run("docker", *argv, "--quiet", "--filter", f"label={names.LABEL}").split()


def _list_guests() -> list[str]:
    """Return all containers in the sandbox's network; it can be removed only after them."""
    return run("docker", "ps", "--all", "--quiet", "--filter", f"network={names.NETWORK}").split()


def remove_all() -> None:
    """Remove containers, volumes, network, images and secrets; Docker itself stays installed."""
    # A stopped daemon would start the hosts again at its next start, so start it to remove them.
    if shutil.which("dockerd", path=engine.search_path()) and not engine.is_running():
        engine.start_daemon()
    if engine.is_running():
        with timed_stage("removing containers, network, volumes and images"):
            if containers := {*_list_ids("ps", "--all"), *_list_guests()}:
                run("docker", "rm", "--force", "--volumes", *containers)
            for argv, remove in (
                (("volume", "ls"), ("volume", "rm", "--force")),
                (("network", "ls"), ("network", "rm")),
            ):
                if ids := _list_ids(*argv):
                    run("docker", *remove, *ids)
            # By label, because an image that was replaced by a newer build has no name. With --all, because a build
            # that was interrupted leaves images that depend on others, and Docker lists these first.
            built = run("docker", "image", "ls", "--all", "--quiet", "--filter", f"label={names.INPUTS}").split()
            base = [names.BASE_IMAGE] if succeeds("docker", "image", "inspect", names.BASE_IMAGE) else []
            if images := [*dict.fromkeys(built), *base]:
                run("docker", "image", "rm", "--force", *images)
    for folder in (*scenarios.find_folders(), names.CACHE, names.SECRETS):
        shutil.rmtree(folder, ignore_errors=True)
    log("the sandbox is removed; Docker itself stays installed")
