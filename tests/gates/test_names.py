"""Names of plays, blocks, tasks and handlers use the field's words; the rules are in tools/names.py."""

from __future__ import annotations

from tools import collection, names


def test_names_keep_the_rules() -> None:
    assert names.complaints(names.files(collection.ROOT), collection.ROOT) == []
