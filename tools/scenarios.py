"""What every scenario must keep to, as functions from a checkout to a list of complaints."""

from __future__ import annotations

import re
from pathlib import Path

# Under `set -e` it never fails a script, unless it is the last line; a subshell around it does.
NEGATION = re.compile(r"^\s*! [^|&]*$")


def negations(root: Path) -> list[str]:
    """Complain about lines of shell that say what must not succeed, and would not fail when it does."""
    files = sorted(path for path in (root / "molecule").rglob("*") if path.suffix in (".yml", ".sh"))
    return [
        f"{path.relative_to(root)}:{number}: `! command` fails nothing, write `(! command)`"
        for path in files
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if NEGATION.match(line)
    ]
