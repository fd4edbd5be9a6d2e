"""The collection as it is installed: its playbooks have no group_vars next to them."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PARTS = ("meta", "plugins", "roles", "galaxy.yml")


def install(folder: Path) -> Path:
    """Link the collection into a folder, and return the folder for ANSIBLE_COLLECTIONS_PATH."""
    target = folder / "ansible_collections/vise/platform"
    (target / "playbooks").mkdir(parents=True)
    for name in PARTS:
        (target / name).symlink_to(ROOT / name)
    for path in (ROOT / "playbooks").iterdir():
        if path.name != "group_vars":
            (target / "playbooks" / path.name).symlink_to(path)
    return folder
