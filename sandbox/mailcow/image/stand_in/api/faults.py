"""Faults of the API for tests: `stand-in fault MODE [PATH]` in the container of php-fpm."""

from __future__ import annotations

import re
import sys
from pathlib import Path

FILE = Path("/run/stand-in-fault")
# `down` closes the connection without an answer, `slow` takes three seconds, `html` is the page of a broken PHP.
MODES = ("none", "down", "500", "slow", "html")
SLOW = 3.0


def order(arguments: list[str]) -> int:
    """Set the fault of all requests, or of those whose path a pattern matches."""
    if not arguments or arguments[0] not in MODES:
        print(f"usage: stand-in fault {'|'.join(MODES)} [PATTERN OF A PATH]", file=sys.stderr)
        return 2
    FILE.with_suffix(".new").write_text("\n".join([*arguments, ""]))
    FILE.with_suffix(".new").rename(FILE)
    return 0


def mode(path: str, file: Path = FILE) -> str:
    """Return the fault of a request."""
    try:
        what, *patterns = file.read_text().split()
    except FileNotFoundError:
        return "none"
    return what if not patterns or any(re.search(pattern, path) for pattern in patterns) else "none"
