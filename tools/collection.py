"""The checkout and its roles; the artifact, the archive for Galaxy."""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]


def role_directories(root: Path) -> list[Path]:
    """List the roles of a checkout."""
    return sorted(path for path in (root / "roles").glob("*") if path.is_dir())


def load_yaml(path: Path) -> Any:
    """Read a YAML file; an absent one is None."""
    return yaml.safe_load(path.read_text()) if path.exists() else None


def role_options(role: Path) -> dict[str, dict[str, Any]]:
    """Return the options of a role's main entry point."""
    specs = load_yaml(role / "meta/argument_specs.yml") or {}
    found: dict[str, dict[str, Any]] = specs.get("argument_specs", {}).get("main", {}).get("options") or {}
    return found


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
