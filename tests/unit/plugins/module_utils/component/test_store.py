"""What a component remembers survives, and what it never wrote is empty."""

from __future__ import annotations

import pathlib

from ansible_collections.vise.platform.plugins.module_utils.component.model import Manifest, Node, UnitState
from ansible_collections.vise.platform.plugins.module_utils.component.store import Journal, Store


def test_an_unknown_component_owns_nothing(tmp_path: pathlib.Path) -> None:
    store = Store("demo", str(tmp_path))
    assert store.manifest() == Manifest()
    assert store.journal() is None


def test_manifest_and_journal_are_read_back(tmp_path: pathlib.Path) -> None:
    store = Store("demo", str(tmp_path))
    manifest = Manifest("abc", ("/a",), ("ada",))
    journal = Journal({"/a": Node("file", "\udcff secret", "root", "root", "0600")}, {"u": UnitState()}, manifest)
    with store.locked():
        store.write_manifest(manifest)
        store.write_journal(journal)
    assert store.manifest() == manifest
    assert store.journal() == journal
    assert (tmp_path / "demo" / "pending.json").stat().st_mode & 0o777 == 0o600
    store.remove_journal()
    assert store.journal() is None


def test_two_manifests_join_to_what_either_owns() -> None:
    joined = Manifest("old", ("/a", "/b"), ("ada",)).joined(Manifest("new", ("/b", "/c"), ()))
    assert joined == Manifest("old", ("/a", "/b", "/c"), ("ada",))
