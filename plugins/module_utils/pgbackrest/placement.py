# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tablespaces in a restore: which ones a set has, and where its files go until the switch."""

from __future__ import annotations

import json
import typing as t

from ..host import programs
from ..postgresql import tablespaces
from . import repository
from .targets import RestoreError

# The folder in each location that has the restored files until the switch.
FOLDER = "vise-restoring"
# Number (OID) of a tablespace: its location.
Locations = t.Mapping[str, str]


def read_locations(pgbackrest: t.Callable[..., programs.Result], backup: repository.Backup) -> dict[str, str]:
    """Return the tablespaces of a set; raise RestoreError when the repository does not answer."""
    result = pgbackrest(f"--repo={backup.repository}", f"--set={backup.label}", "--output=json", "info")
    if result.failed:
        raise RestoreError(f"set {backup.label} cannot be read: {repository.extract_error(result.text)}")
    return parse_locations(result.out)


def parse_locations(text: str) -> dict[str, str]:
    """Parse the output of `info` for one set."""
    backups = [backup for entry in json.loads(text, strict=False) for backup in entry["backup"]]
    return {str(entry["oid"]): entry["destination"] for backup in backups for entry in backup.get("tablespace") or ()}


def describe_conflict(existing: Locations, restored: Locations) -> str:
    """Describe why a set cannot be recovered next to the existing cluster; empty when it can.

    Recovery repeats CREATE TABLESPACE with the original location, in which the existing cluster has its files.
    """
    newer = [f"{location} (OID {number})" for number, location in existing.items() if number not in restored]
    if not newer:
        return ""
    return (
        f"the existing cluster has tablespaces that are newer than the set: {', '.join(newer)}. Recovery of a copy "
        "could write to their files: use mode delta (restore_mode=delta), or a newer set"
    )


def prepare(restored: Locations) -> list[str]:
    """Create the folders for a copy; return pgBackRest's options."""
    return [f"--tablespace-map={number}={_prepare(location, FOLDER)}" for number, location in restored.items()]


def prepare_original(data: str, version: str, restored: Locations) -> None:
    """Create the locations for mode delta; remove tablespaces that the set lacks, because recovery reuses files."""
    for location in restored.values():
        _prepare(location)
    for number, location in tablespaces.read_locations(data).items():
        if number not in restored:
            for path in tablespaces.list_content(location, version):
                tablespaces.remove(path)


def _prepare(location: str, folder: str = "") -> str:
    try:
        return tablespaces.prepare(location, folder)
    except tablespaces.TablespaceError as error:
        raise RestoreError(str(error)) from error


def list_folders(restored: Locations) -> list[str]:
    """Return the folders of a copy."""
    return [f"{location}/{FOLDER}" for location in restored.values()]
