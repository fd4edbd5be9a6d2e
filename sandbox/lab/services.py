"""The services of world, read from the head of each one's file (sandbox/README.md)."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

from . import names

FOLDER = names.SANDBOX / "world" / "services"


@dataclass(frozen=True)
class Service:
    """What a service's file says of itself."""

    name: str
    summary: str
    packages: tuple[str, ...]
    names: tuple[str, ...]
    address: str
    ports: tuple[str, ...]
    faults: tuple[str, ...]
    counted: tuple[str, ...]
    ready: tuple[str, ...]


def read(name: str, source: str) -> Service:
    """The head of a service's file: `key: words` lines below the first line."""
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


def every() -> list[Service]:
    """All services there are."""
    return [read(file.stem, file.read_text()) for file in sorted(Path(FOLDER).glob("*.py"))]
