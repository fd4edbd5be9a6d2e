from __future__ import annotations

from pathlib import Path

from ansible_collections.vise.platform.plugins.module_utils.host.journal import Journal


def test_journal_has_its_last_entry_until_it_is_removed(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "vise/pending.json"))
    assert journal.read() == {}
    assert journal.write({"stage": "copy"}) == {"stage": "copy"}
    journal.write({"stage": "switch", "old": "/srv/old"})
    assert journal.read() == {"stage": "switch", "old": "/srv/old"}
    assert (tmp_path / "vise/pending.json").stat().st_mode & 0o777 == 0o600
    journal.remove()
    journal.remove()
    assert journal.read() == {}
