"""Manifest and journal of a component are read back as written; a new component has neither."""

from __future__ import annotations

import pathlib

import pytest
from ansible_collections.vise.platform.plugins.module_utils.component.model import Manifest, Node, UnitState
from ansible_collections.vise.platform.plugins.module_utils.component.store import Journal, Store
from ansible_collections.vise.platform.plugins.module_utils.host import locks


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


def test_one_run_at_a_time_changes_a_component_and_only_root_can_read_its_records(tmp_path: pathlib.Path) -> None:
    store = Store("demo", str(tmp_path / "components"))
    with store.lock(), pytest.raises(locks.LockedError), locks.lock(f"{store.directory}/lock", wait=False):
        pass
    assert pathlib.Path(store.directory).stat().st_mode & 0o777 == 0o700
