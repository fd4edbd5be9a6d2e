"""Molecule's state files for the sandbox's scenarios."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from . import names
from .shell import succeeds

KEY = f"/{(names.CACHE / 'id_ed25519').relative_to(names.ROOT)}"


def find_folders() -> list[Path]:
    """Return molecule's folders for the sandbox's scenarios, recognised by the SSH key of their hosts.

    This includes folders of other checkouts: a machine has one sandbox, and clones of one repository share molecule's
    folders.
    """
    candidates = (Path.home() / ".ansible" / "tmp").glob("molecule.*")
    return [folder for folder in candidates if KEY in _read(folder / "inventory" / "ansible_inventory.yml")]


def _read(file: Path) -> str:
    return file.read_text() if file.is_file() else ""


def parse_hosts(inventory: str) -> set[str]:
    """Return the hosts of an inventory that molecule wrote; each host name is followed by its connection."""
    return set(re.findall(r"^\s+(\S+): *(?:&\S+)?\n\s+ansible_connection:", inventory, re.M))


def forget_missing_hosts() -> None:
    """Remove the state of scenarios whose hosts no longer exist; otherwise molecule would not create them again."""
    for folder in find_folders():
        wanted = parse_hosts(_read(folder / "inventory" / "ansible_inventory.yml"))
        created = re.search(r"^created: true$", _read(folder / "state.yml"), re.M)
        if created and not all(succeeds("docker", "container", "inspect", host) for host in wanted):
            shutil.rmtree(folder)
