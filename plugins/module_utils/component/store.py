# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A component's files on its host: manifest of what it owns, journal of an unfinished change, record for surveys."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import typing as t

from ..host import files, locks
from .model import Manifest, Node, UnitState

ROOT = "/var/lib/vise/components"


@dataclasses.dataclass(frozen=True)
class Journal:
    """The state before an unfinished change: the nodes at its paths, the unit states, and the manifest."""

    nodes: t.Mapping[str, Node]
    states: t.Mapping[str, UnitState]
    manifest: Manifest


class Store:
    """The component's directory below ``root``; files are replaced atomically and only root can read them."""

    def __init__(self, name: str, root: str = ROOT) -> None:
        self.root = root
        self.name = name
        self.directory = os.path.join(root, name)

    def lock(self, *, wait: bool = True) -> contextlib.AbstractContextManager[None]:
        """Hold the component's lock; the kernel releases it when a run is killed.

        Raises LockedError when another process holds it and ``wait`` is false.
        """
        return locks.lock(self._path("lock"), wait=wait, directory_mode=0o700)

    def read_other_paths(self) -> t.Iterator[tuple[str, tuple[str, ...]]]:
        """Yield the name and the paths of each other component of this host."""
        for name in sorted(os.listdir(self.root)) if os.path.isdir(self.root) else []:
            if name != self.name:
                yield name, Store(name, self.root).read_manifest().paths

    def read_manifest(self) -> Manifest:
        """Return the manifest of the paths and users that the component owns; an empty one for a new component."""
        data = files.read_json(self._path("manifest.json"), {})
        return Manifest(data.get("generation", ""), tuple(data.get("paths", ())), tuple(data.get("users", ())))

    def exists(self) -> bool:
        """Return whether this component was applied to the host before, even if that run did not end."""
        return os.path.exists(self._path("manifest.json"))

    def write_manifest(self, manifest: Manifest) -> None:
        """Record the paths and users that the component has created or will create."""
        if manifest != self.read_manifest() or not self.exists():
            files.write_json(self._path("manifest.json"), dataclasses.asdict(manifest))

    def read_record(self) -> dict[str, t.Any]:
        """Return the record of the state that the last successful run proved; empty when there is none."""
        return t.cast("dict[str, t.Any]", files.read_json(self._path("record.json"), {}))

    def write_record(self, record: dict[str, t.Any]) -> None:
        """Record the state that this run has proved; a survey compares the host with it."""
        # As JSON reads it: a tuple is a list then.
        if json.loads(json.dumps(record)) != self.read_record():
            files.write_json(self._path("record.json"), record)

    def read_journal(self) -> Journal | None:
        """Return the journal of a change that a killed run left unfinished."""
        data = files.read_json(self._path("pending.json"))
        if data is None:
            return None
        manifest = data["manifest"]
        return Journal(
            {path: Node.from_json(node) for path, node in data["nodes"].items()},
            {name: UnitState(**state) for name, state in data["states"].items()},
            Manifest(manifest["generation"], tuple(manifest["paths"]), tuple(manifest["users"])),
        )

    def write_journal(self, journal: Journal) -> None:
        """Record the state before a change; call this before its first step."""
        files.write_json(
            self._path("pending.json"),
            {
                "nodes": {path: node.to_json() for path, node in journal.nodes.items()},
                "states": {name: dataclasses.asdict(state) for name, state in journal.states.items()},
                "manifest": dataclasses.asdict(journal.manifest),
            },
        )

    def remove_journal(self) -> None:
        """Remove the journal: the change is complete or rolled back."""
        files.remove_file(self._path("pending.json"))

    def _path(self, name: str) -> str:
        return os.path.join(self.directory, name)
