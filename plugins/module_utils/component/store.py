# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a component remembers on its host: what it has made, and a change that is wanted but not yet live."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import typing as t

from ansible_collections.vise.platform.plugins.module_utils.component import host
from ansible_collections.vise.platform.plugins.module_utils.component.model import Manifest, Node, UnitState

ROOT = "/var/lib/vise/components"


@dataclasses.dataclass(frozen=True)
class Journal:
    """A change under way: what lay at its paths before, how the units stood, and what the component owned."""

    nodes: t.Mapping[str, Node]
    states: t.Mapping[str, UnitState]
    manifest: Manifest


class Store:
    """The component's directory below ``root``; each file is replaced whole, and readable by root alone."""

    def __init__(self, name: str, root: str = ROOT) -> None:
        self.directory = os.path.join(root, name)

    @contextlib.contextmanager
    def locked(self) -> t.Iterator[None]:
        """Let one run at a time change the component; the kernel drops the lock of a killed one."""
        os.makedirs(self.directory, mode=0o700, exist_ok=True)
        with open(os.path.join(self.directory, "lock"), "w", encoding="utf-8") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def manifest(self) -> Manifest:
        """Return what the component has made on the host."""
        data = self._read("manifest.json") or {}
        return Manifest(data.get("generation", ""), tuple(data.get("paths", ())), tuple(data.get("users", ())))

    def write_manifest(self, manifest: Manifest) -> None:
        """Remember what the component has made, or is about to make."""
        if manifest != self.manifest():
            self._write("manifest.json", dataclasses.asdict(manifest))

    def journal(self) -> Journal | None:
        """Return the change that a killed run has left half done."""
        data = self._read("pending.json")
        if data is None:
            return None
        manifest = data["manifest"]
        return Journal(
            {path: Node.from_json(node) for path, node in data["nodes"].items()},
            {name: UnitState(**state) for name, state in data["states"].items()},
            Manifest(manifest["generation"], tuple(manifest["paths"]), tuple(manifest["users"])),
        )

    def write_journal(self, journal: Journal) -> None:
        """Remember a change before its first step."""
        self._write(
            "pending.json",
            {
                "nodes": {path: node.to_json() for path, node in journal.nodes.items()},
                "states": {name: dataclasses.asdict(state) for name, state in journal.states.items()},
                "manifest": dataclasses.asdict(journal.manifest),
            },
        )

    def remove_journal(self) -> None:
        """Say that what is wanted is live."""
        host.write_node(os.path.join(self.directory, "pending.json"), Node())

    def _read(self, name: str) -> dict[str, t.Any] | None:
        try:
            with open(os.path.join(self.directory, name), encoding="utf-8") as handle:
                return t.cast("dict[str, t.Any]", json.load(handle))
        except FileNotFoundError:
            return None

    def _write(self, name: str, data: dict[str, t.Any]) -> None:
        text = json.dumps(data, indent=1, sort_keys=True) + "\n"
        host.write_node(os.path.join(self.directory, name), Node("file", text, "root", "root", "0600"))
