# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the role has written for the program, and where the program keeps its state."""

from __future__ import annotations

import typing as t
from pathlib import Path

from ..host import files, journal

SETTINGS = Path("/etc/vise/mailcow/settings.json")
STATE = Path("/var/lib/vise/mailcow")
# Snapshots contain all mail and can be large. They are on the same disk, so that a rollback needs no other host.
SNAPSHOTS = STATE / "snapshots"
# The upgrade in progress.
UPGRADE = journal.Journal(str(STATE / "upgrade.json"))


class Problem(Exception):
    """An error, with a message for the operator."""


class Settings(t.NamedTuple):
    """The settings that the role has written."""

    directory: Path
    repository: str
    version: str
    certificate: str
    certificate_key: str
    port: int
    start_seconds: int


def read_settings() -> Settings:
    """Read the settings of the role."""
    data = files.read_json(str(SETTINGS))
    if data is None:
        raise Problem(f"{SETTINGS} does not exist: run the role mailcow on this host")
    return Settings(**{**data, "directory": Path(data["directory"])})


def parse_conf(text: str) -> dict[str, str]:
    """Return the variables of mailcow.conf."""
    lines = (line for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {name: _remove_quotes(value) for name, _sign, value in (line.partition("=") for line in lines)}


def _remove_quotes(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value
