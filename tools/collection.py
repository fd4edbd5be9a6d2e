"""Build and unpack the collection's artifact, the archive for Galaxy."""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def build(into: Path) -> Path:
    """Build the artifact from the checkout and return its path."""
    into.mkdir(parents=True, exist_ok=True)
    for old in into.glob("vise-platform-*.tar.gz"):
        old.unlink()
    command = ["ansible-galaxy", "collection", "build", "--force", "--output-path", str(into), str(ROOT)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return next(into.glob("vise-platform-*.tar.gz"))


def list_files(artifact: Path) -> list[str]:
    """Return the paths of the files in an artifact."""
    with tarfile.open(artifact) as archive:
        return sorted(member.name for member in archive.getmembers() if not member.isdir())


def unpack(artifact: Path, into: Path) -> None:
    """Unpack an artifact into a new directory."""
    into.mkdir(parents=True)
    with tarfile.open(artifact) as archive:
        archive.extractall(into, filter="data")
