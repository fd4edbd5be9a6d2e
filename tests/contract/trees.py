"""mailcow's repository at a release, as files: that of the stand-in, and the real one where its checkout is given."""

from __future__ import annotations

import functools
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import yaml
from lab import mailcow as lab

from tools import collection

# The path of a clone of mailcow-dockerized with tags, bare or not.
CHECKOUT = "VISE_MAILCOW_CHECKOUT"
ROLE = collection.ROOT / "roles/mailcow"
RELEASE = yaml.safe_load((ROLE / "defaults/main.yml").read_text())["mailcow_version"]
VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)(?::-([^}]*))?\}|\$([A-Z0-9_]+)")


class Tree:
    """A git repository with mailcow's files at each release."""

    def __init__(self, name: str, repository: Path) -> None:
        self.name, self.repository = name, repository

    def git(self, *arguments: str) -> bytes:
        """Run git in the repository."""
        return subprocess.run(["git", "-C", self.repository, *arguments], capture_output=True, check=True).stdout

    @functools.cached_property
    def files(self) -> list[str]:
        """The tracked files at the release of the role."""
        return self.git("ls-tree", "-r", "-z", "--name-only", RELEASE).decode().split("\0")[:-1]

    def read(self, path: str) -> str:
        """Return a tracked file at the release of the role."""
        return self.git("cat-file", "blob", f"{RELEASE}:{path}").decode()

    @functools.cached_property
    def compose(self) -> dict[str, Any]:
        """The Compose file, with its variables as they are written."""
        content: dict[str, Any] = yaml.safe_load(self.read("docker-compose.yml"))
        return content

    @property
    def nginx(self) -> str:
        """The configuration of mailcow's nginx. The stand-in has it in its image."""
        path = "data/conf/nginx/templates/nginx.conf.j2"
        return self.read(path) if path in self.files else (lab.FOLDER / "image/stand_in/services.py").read_text()

    @functools.cached_property
    def releases(self) -> list[str]:
        """The tags, oldest first."""
        return sorted(tag for tag in self.git("tag").decode().split() if re.fullmatch(r"20\d\d-\d\d[a-z]?", tag))


def interpolate(text: str, variables: dict[str, str]) -> str:
    """Replace variables as Compose does."""
    return VARIABLE.sub(lambda match: variables.get(match[1] or match[3]) or match[2] or "", text)


def build_stand_in(directory: Path) -> Tree:
    """Return the repository of the stand-in, as the sandbox publishes it."""
    subprocess.run(["git", "init", "--quiet", "--bare", directory], check=True)
    commits = b"".join(lab.build_commits())
    subprocess.run(["git", "-C", directory, "fast-import", "--quiet"], input=commits, check=True)
    return Tree("stand-in", directory)


def given() -> list[str]:
    """Return the names of the trees that are tested."""
    return ["stand-in", *(["real"] if os.environ.get(CHECKOUT) else [])]
