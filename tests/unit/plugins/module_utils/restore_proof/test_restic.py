from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.host import programs
from ansible_collections.vise.platform.plugins.module_utils.restore_proof import restic
from ansible_collections.vise.platform.plugins.module_utils.restore_proof.report import Outcome
from ansible_collections.vise.platform.plugins.module_utils.restore_proof.settings import ResticSet, Settings

ANSWERS: dict[str, list[dict[str, Any]]] = {
    "ls": [{"struct_type": "snapshot"}],
    "restore": [{"message_type": "summary", "total_files": 1, "files_restored": 1}],
}
# The newest snapshot has no file, the one of the day before has some.
SNAPSHOTS = [
    {"id": "before", "time": "2026-03-01T02:00:00Z", "summary": {"total_files_processed": 3}},
    {"id": "newest", "time": "2026-03-02T02:00:00Z", "summary": {"total_files_processed": 0}},
]


class Scratch:
    """A scratch directory in which restic restores no file."""

    def __init__(self, place: Path) -> None:
        self.directory, self.log = str(place), print

    def create_directory(self, name: str, root: bool) -> str:
        assert root
        path = Path(self.directory, name)
        path.mkdir()
        return str(path)

    def run(self, command: list[str], **_options: Any) -> programs.Result:
        if command[1] == "snapshots":
            return programs.Result(0, json.dumps(SNAPSHOTS))
        return programs.Result(0, "\n".join(map(json.dumps, ANSWERS[command[1]])))


@pytest.mark.parametrize(("may_be_empty", "proven"), [(False, False), (True, True)])
def test_set_that_lost_its_files_is_proven_only_if_it_may_be_empty(
    tmp_path: Path, may_be_empty: bool, proven: bool
) -> None:
    settings: Any = Settings.__new__(Settings)
    object.__setattr__(settings, "restic_host", "")
    object.__setattr__(settings, "restic_age_seconds", 10**9)
    outcome = Outcome("restic", "a")
    scratch: Any = Scratch(tmp_path)
    restic.prove_set(settings, ResticSet("files", may_be_empty=may_be_empty), {}, scratch, outcome)
    assert (outcome.problems == []) is proven
    assert proven or "write `may_be_empty: true` into the set" in outcome.problems[0]
