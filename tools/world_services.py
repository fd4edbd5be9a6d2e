"""Write the table of the sandbox's services into docs/sandbox.md, from the head of each service's file.

Usage: python -m tools.world_services
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from tools import blocks, capabilities

ROOT = Path(__file__).resolve().parents[1]
# The sandbox imports its own package by this path, too.
sys.path.append(str(ROOT / "sandbox"))

from lab import services  # noqa: E402 - needs the path above


def row(service: services.Service) -> tuple[str, ...]:
    """Return one service's cells."""
    return (
        f"`{service.name}`",
        service.summary,
        " ".join(f"`{name}`" for name in service.names),
        f"172.30.0.{service.address}, fd30::{service.address}",
        " ".join(f"`{fault}`" for fault in (*(["outage"] if service.ports else []), *service.faults)),
    )


def table(every: Iterable[services.Service]) -> str:
    """Return the Markdown table of the services."""
    rows = [("service", "stands for", "names", "addresses", "faults"), ("---",) * 5, *map(row, every)]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n" for cells in rows)


def documents(root: Path) -> dict[Path, str]:
    """Return path and wanted text of the page with the table."""
    page = root / "docs" / "sandbox.md"
    content = f"\n{table(services.every())}\n"
    return {page: blocks.replace_block(page.read_text(encoding="utf-8"), "services", content)}


if __name__ == "__main__":
    capabilities.update(documents, ROOT)
