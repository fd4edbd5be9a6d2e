"""The states of keys in the store, also after an interrupted run."""

from __future__ import annotations

import pathlib

import pytest
from ansible_collections.vise.platform.plugins.module_utils.dkim import keys, store
from ansible_collections.vise.platform.plugins.module_utils.host import files

AT = "2026-03-01T02:00:00Z"
PEM = keys.create("ed25519", 0)


def index(**states: str) -> store.Index:
    return {name: {"state": state, "since": {state: "before"}} for name, state in states.items()}


@pytest.mark.parametrize(
    ("before", "selector", "state", "after"),
    [
        ({"a": "made"}, "a", "published", {"a": "published"}),
        ({"a": "active", "b": "published"}, "b", "switching", {"a": "active", "b": "switching"}),
        ({"a": "active", "b": "switching"}, "b", "active", {"a": "retiring", "b": "active"}),
        ({"a": "active", "b": "switching"}, "a", "active", {"a": "active", "b": "retiring"}),
        ({"a": "retiring", "b": "active"}, "a", "retired", {"a": "retired", "b": "active"}),
        ({"a": "retired", "b": "active"}, "a", "absent", {"b": "active"}),
        ({}, "a", "absent", {}),
    ],
)
def test_key_reaches_a_state(before: dict[str, str], selector: str, state: str, after: dict[str, str]) -> None:
    found = store.set_state(index(**before), selector, state, AT)
    assert {name: entry["state"] for name, entry in found.items()} == after
    for name, entry in found.items():
        assert entry["since"][entry["state"]] == ("before" if before[name] == entry["state"] else AT)


def test_key_without_an_entry_has_the_state_made(tmp_path: pathlib.Path) -> None:
    store.write(store.key_path(str(tmp_path), "example.org", "s1"), PEM)
    found = store.list_keys(str(tmp_path), AT)
    assert [(one["record"], one["state"], one["since"]) for one in found] == [
        ("s1._domainkey.example.org", "made", {"made": AT})
    ]


def test_next_run_removes_what_a_killed_write_left(tmp_path: pathlib.Path) -> None:
    path = store.key_path(str(tmp_path), "example.org", "s1")
    store.write(path, "old")
    pathlib.Path(files.staged_path(path)).write_text("new")
    store.remove_temporary_files(str(tmp_path))
    assert {file.name: file.read_text() for file in (tmp_path / "example.org").iterdir()} == {"s1.pem": "old"}


def test_only_the_owner_can_read_a_new_key(tmp_path: pathlib.Path) -> None:
    path = pathlib.Path(store.key_path(str(tmp_path), "example.org", "s1"))
    store.write(str(path), PEM)
    assert [place.stat().st_mode & 0o777 for place in (path, path.parent)] == [0o600, 0o700]


def test_removed_key_is_empty(tmp_path: pathlib.Path) -> None:
    store.write(store.key_path(str(tmp_path), "example.org", "s1"), PEM)
    for _again in range(2):
        store.remove_key(str(tmp_path), "example.org", "s1")
    assert store.read_key(str(tmp_path), "example.org", "s1") == ""


def test_wrong_modes_are_corrected(tmp_path: pathlib.Path) -> None:
    root = tmp_path / "dkim"
    path = pathlib.Path(store.key_path(str(root), "example.org", "s1"))
    store.write(str(path), PEM)
    for loose, mode in ((path, 0o644), (path.parent, 0o755), (root, 0o755)):
        loose.chmod(mode)
    assert [name for name, _mode in store.find_unprotected(str(root))] == [str(root), str(path.parent), str(path)]
    store.protect(str(root))
    assert store.find_unprotected(str(root)) == []
    assert path.stat().st_mode & 0o777 == 0o600


def test_index_that_is_not_json_is_named(tmp_path: pathlib.Path) -> None:
    store.write(str(tmp_path / "example.org/keys.json"), "{")
    with pytest.raises(keys.DkimError, match=r"keys\.json is not JSON"):
        store.list_keys(str(tmp_path), AT)
