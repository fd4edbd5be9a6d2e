"""Remove everything that the sandbox made."""

from __future__ import annotations

import shutil
from pathlib import Path

from . import engine, names
from .shell import run, say, stage, succeeds


def _ids(*argv: str) -> list[str]:
    return run("docker", *argv, "--quiet", "--filter", f"label={names.LABEL}").split()


def _molecule_state() -> list[Path]:
    """What molecule noted of this checkout's scenarios: it would take hosts that are gone for created."""
    folders = (Path.home() / ".ansible" / "tmp").glob("molecule.*")
    return [folder for folder in folders if _mentions(folder / "inventory" / "ansible_inventory.yml", f"{names.ROOT}/")]


def _mentions(file: Path, text: str) -> bool:
    return file.is_file() and text in file.read_text()


def everything() -> None:
    """Containers, volumes, network, images and secrets; Docker itself stays."""
    if engine.answers():
        with stage("removing containers, network, volumes and images"):
            for argv, remove in (
                (("ps", "--all"), ("rm", "--force", "--volumes")),
                (("volume", "ls"), ("volume", "rm", "--force")),
                (("network", "ls"), ("network", "rm")),
            ):
                if found := _ids(*argv):
                    run("docker", *remove, *found)
            for image in (names.WORLD_IMAGE, names.HOST_IMAGE, names.BASE_IMAGE):
                if succeeds("docker", "image", "inspect", image):
                    run("docker", "image", "rm", "--force", image)
    for folder in (*_molecule_state(), names.CACHE, names.SECRETS):
        shutil.rmtree(folder, ignore_errors=True)
    say("nothing is left; Docker itself stays")
