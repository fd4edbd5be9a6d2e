"""The services of world, described in the docstring of each service's file (format: sandbox/README.md)."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

from . import names

FOLDER = names.SANDBOX / "world" / "services"


@dataclass(frozen=True)
class Service:
    """The description in the docstring of a service's file."""

    name: str
    summary: str
    packages: tuple[str, ...]
    names: tuple[str, ...]
    address: str
    ports: tuple[str, ...]
    faults: tuple[str, ...]
    counted: tuple[str, ...]
    ready: tuple[str, ...]


def parse(name: str, source: str) -> Service:
    """Parse the docstring of a service's file: a summary, then lines of the form `key: words`."""
    head = (ast.get_docstring(ast.parse(source)) or "").splitlines()
    lines = [line.split(": ", 1) for line in head[1:] if ": " in line]

    def words(key: str) -> tuple[str, ...]:
        return tuple(word for k, value in lines if k == key for word in value.split())

    return Service(
        name=name,
        summary=head[0] if head else "",
        packages=words("packages"),
        names=words("names"),
        address=(words("address") or ("2",))[0],
        ports=words("ports"),
        faults=(*words("faults"), *words("counted")),
        counted=words("counted"),
        ready=tuple(value for key, value in lines if key == "ready"),
    )


def load_all() -> list[Service]:
    """Return all services of world."""
    return [parse(file.stem, file.read_text()) for file in sorted(Path(FOLDER).glob("*.py"))]
