# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The journal of a change of several steps, so that the next run can complete or undo what a killed run left."""

from __future__ import annotations

import dataclasses
import os
import typing as t

from . import files


@dataclasses.dataclass(frozen=True)
class Journal:
    """One JSON file that exists while a change is unfinished; only root can read it."""

    path: str

    def read(self) -> dict[str, t.Any]:
        """Return the last entry; empty when no change is unfinished."""
        return t.cast("dict[str, t.Any]", files.read_json(self.path, {}))

    def write(self, entry: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
        """Replace the entry durably, before the next step starts; return it."""
        files.make_directories(os.path.dirname(self.path), 0o700)
        files.write_json(self.path, entry)
        return dict(entry)

    def remove(self) -> None:
        """Remove the journal: the change is complete or undone."""
        files.remove_file(self.path)
