"""What molecule noted of this checkout's scenarios."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from . import names
from .shell import succeeds


def folders() -> list[Path]:
    """Molecule's folders for scenarios of this checkout."""
    found = (Path.home() / ".ansible" / "tmp").glob("molecule.*")
    return [folder for folder in found if f"{names.ROOT}/" in _text(folder / "inventory" / "ansible_inventory.yml")]


def _text(file: Path) -> str:
    return file.read_text() if file.is_file() else ""


def hosts(inventory: str) -> set[str]:
    """The hosts of an inventory as molecule writes it, which names each one's connection below its name."""
    return set(re.findall(r"^\s+(\S+): *(?:&\S+)?\n\s+ansible_connection:", inventory, re.M))


def forget_lost() -> None:
    """Molecule would take hosts that somebody removed for created, and never make them again."""
    for folder in folders():
        wanted = hosts(_text(folder / "inventory" / "ansible_inventory.yml"))
        noted = re.search(r"^created: true$", _text(folder / "state.yml"), re.M)
        if noted and not all(succeeds("docker", "container", "inspect", host) for host in wanted):
            shutil.rmtree(folder)
