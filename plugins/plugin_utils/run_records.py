# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Records of runs: who changed what, when, and from which commit of the description."""

from __future__ import annotations

import contextlib
import json
import time
import typing as t
from pathlib import Path

from ansible_collections.vise.platform.plugins.module_utils.host import files, programs

CHANGES = "vise-changes"
FOLDER = "reports/runs"

Changes: t.TypeAlias = "dict[str, list[str]]"


def note_change(directory: Path, host: str, task: str) -> None:
    """Add a changed task to the changes of this run, which all its processes can read."""
    with contextlib.suppress(OSError), (directory / CHANGES).open("a", encoding="utf-8") as handle:
        handle.write(json.dumps([host, task]) + "\n")


def read_changes(directory: Path) -> Changes:
    """Return the changed tasks by host, each once."""
    found: Changes = {}
    with contextlib.suppress(FileNotFoundError):
        for line in (directory / CHANGES).read_text(encoding="utf-8").splitlines():
            host, task = json.loads(line)
            tasks = found.setdefault(host, [])
            if task not in tasks:
                tasks.append(task)
    return found


def build(lease: t.Mapping[str, str], folder: str, changes: Changes) -> dict[str, t.Any]:
    """Return the record of this run."""
    return {
        "who": lease["who"],
        "from": lease["origin"],
        "playbook": lease["command"],
        "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": read_commit(folder),
        "changed": changes,
    }


def read_commit(folder: str) -> str:
    """Return the commit of the description, with "-dirty" if files differ from it; empty without git."""
    command = ["git", "-C", folder, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    done = programs.run(command, timeout=20)
    return "" if done.failed else done.out.strip()


def write(folder: Path, record: t.Mapping[str, t.Any]) -> Path:
    """Write a record on the controller and return its path."""
    place = folder / FOLDER
    files.make_directories(str(place))
    path = place / f"{record['written'].replace(':', '-')}.json"
    files.write_json(str(path), dict(record), mode=0o644)
    return path
