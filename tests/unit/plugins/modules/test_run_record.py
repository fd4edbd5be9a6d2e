"""The module keeps the newest records."""

from __future__ import annotations

import json
import stat
from pathlib import Path

from ansible_collections.vise.platform.plugins.modules import run_record


def test_record_is_written_for_root_only_and_old_ones_are_removed(tmp_path: Path) -> None:
    for number in range(run_record.MOST + 5):
        (tmp_path / f"20200101T{number:06}Z.json").write_text("{}")
    path = Path(run_record.write_record({"who": "alice"}, str(tmp_path)))
    assert json.loads(path.read_text()) == {"who": "alice"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    names = sorted(one.name for one in tmp_path.iterdir())
    assert len(names) == run_record.MOST
    assert names[0] == "20200101T000006Z.json" and names[-1] == path.name
