"""What molecule noted of the sandbox's scenarios."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from . import names
from .shell import succeeds

KEY = f"/{(names.CACHE / 'id_ed25519').relative_to(names.ROOT)}"


def folders() -> list[Path]:
    """Molecule's folders for the sandbox's scenarios, which are known by the key of their hosts.

    Those of other checkouts too: a machine has one sandbox, and clones of one repository share molecule's folders.
    """
    found = (Path.home() / ".ansible" / "tmp").glob("molecule.*")
    return [folder for folder in found if KEY in _text(folder / "inventory" / "ansible_inventory.yml")]


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
