"""Manifest and journal of a component are read back as written; a new component has neither."""

from __future__ import annotations

import pathlib

from ansible_collections.vise.platform.plugins.module_utils.component.model import Manifest, Node, UnitState
from ansible_collections.vise.platform.plugins.module_utils.component.store import Journal, Store


def test_new_component_owns_nothing(tmp_path: pathlib.Path) -> None:
    store = Store("demo", str(tmp_path))
    assert store.read_manifest() == Manifest()
    assert store.read_journal() is None


def test_manifest_and_journal_are_read_back_as_written(tmp_path: pathlib.Path) -> None:
    store = Store("demo", str(tmp_path))
    manifest = Manifest("abc", ("/a",), ("ada",))
    journal = Journal({"/a": Node("file", "\udcff secret", "root", "root", "0600")}, {"u": UnitState()}, manifest)
    with store.lock():
        store.write_manifest(manifest)
        store.write_journal(journal)
    assert store.read_manifest() == manifest
    assert store.read_journal() == journal
    assert (tmp_path / "demo" / "pending.json").stat().st_mode & 0o777 == 0o600
    store.remove_journal()
    assert store.read_journal() is None


def test_merged_manifest_owns_the_paths_and_users_of_both() -> None:
    merged = Manifest("old", ("/a", "/b"), ("ada",)).merge(Manifest("new", ("/b", "/c"), ()))
    assert merged == Manifest("old", ("/a", "/b", "/c"), ("ada",))
