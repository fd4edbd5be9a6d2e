"""Tablespaces outside of a data directory follow when it is replaced."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.postgresql import tablespaces

CONTENT = "PG_17_202406281"


def make_cluster(data: Path, **locations: Path) -> str:
    """Create a data directory with tablespaces t1, t2, ... whose files name the data directory."""
    (data / "pg_tblspc").mkdir(parents=True)
    for number, location in locations.items():
        (location / CONTENT).mkdir(parents=True)
        (location / CONTENT / data.name).touch()
        (data / "pg_tblspc" / number.removeprefix("t")).symlink_to(location)
    return str(data)


def owners(location: Path) -> list[str]:
    """Return the clusters that have files directly in a location."""
    return [path.name for path in (location / CONTENT).iterdir()] if (location / CONTENT).is_dir() else []


def reachable(data: str, number: str) -> list[str]:
    """Return what a server finds through its link."""
    return [path.name for path in (Path(data) / "pg_tblspc" / number / CONTENT).iterdir()]


def test_old_and_new_cluster_exchange_their_places(tmp_path: Path) -> None:
    place = tmp_path / "ts"
    old = make_cluster(tmp_path / "old", t1=place)
    new = make_cluster(tmp_path / "new", t1=place / "vise-restoring")
    assert tablespaces.set_aside(old, [str(place)], "17", "before-1") == [str(place / "before-1")]
    tablespaces.put_back(new, "17", "vise-restoring")
    assert (owners(place), reachable(old, "1"), reachable(new, "1")) == (["new"], ["old"], ["new"])
    assert tablespaces.read_locations(new) == {"1": str(place)}
    assert not (place / "vise-restoring").exists()
    # And back
    tablespaces.set_aside(new, [], "17", "vise-restoring")
    tablespaces.put_back(old, "17", "before-1")
    assert (owners(place), reachable(old, "1"), reachable(new, "1")) == (["old"], ["old"], ["new"])
    assert not (place / "before-1").exists()


def test_new_links_and_directories_have_the_owner_of_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "ts"
    old = make_cluster(tmp_path / "old", t1=place)
    status, owned = os.stat, dict[str, tuple[int, int, bool]]()

    def stat_as_postgres(path: str, **options: Any) -> os.stat_result:
        found = status(path, **options)
        return os.stat_result((*found[:4], 105, 110, *found[6:10])) if path in (old, str(place)) else found

    def chown(path: str, uid: int, gid: int, follow_symlinks: bool = True) -> None:
        owned[os.path.relpath(path, tmp_path)] = (uid, gid, follow_symlinks)

    monkeypatch.setattr(os, "stat", stat_as_postgres)
    monkeypatch.setattr(os, "chown", chown)
    tablespaces.set_aside(old, [str(place)], "17", "before-1")
    assert owned == {"ts/before-1": (105, 110, True), "old/pg_tblspc/1.vise-new": (105, 110, False)}


@pytest.mark.parametrize("killed_at", range(7))
def test_interrupted_switch_is_rolled_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_at: int) -> None:
    place = tmp_path / "ts"
    old = make_cluster(tmp_path / "old", t1=place)
    new = make_cluster(tmp_path / "new", t1=place / "vise-restoring")
    rename, done = os.rename, list[str]()

    def killed(source: str, target: str) -> None:
        if len(done) == killed_at:
            raise KeyboardInterrupt
        done.append(target)
        rename(source, target)

    with monkeypatch.context() as patched, contextlib.suppress(KeyboardInterrupt):
        patched.setattr(os, "rename", killed)
        tablespaces.set_aside(old, [str(place)], "17", "before-1")
        tablespaces.put_back(new, "17", "vise-restoring")
    if killed_at > 2:
        tablespaces.set_aside(new, [], "17", "vise-restoring")
    tablespaces.put_back(old, "17", "before-1")
    assert (owners(place), reachable(old, "1"), reachable(new, "1")) == (["old"], ["old"], ["new"])


@pytest.mark.parametrize("killed_at", range(6))
def test_interrupted_exchange_is_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_at: int) -> None:
    places = {"t1": tmp_path / "a", "t2": tmp_path / "b"}
    old = make_cluster(tmp_path / "old", **places)
    rename, done = os.rename, list[str]()

    def killed(source: str, target: str) -> None:
        if len(done) == killed_at:
            raise KeyboardInterrupt
        done.append(target)
        rename(source, target)

    def exchange() -> None:
        tablespaces.set_aside(old, [], "17", "before-1")
        tablespaces.put_back(old, "17", "before-1")

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(os, "rename", killed)
        exchange()
    tablespaces.put_back(old, "17", "before-1")
    assert tablespaces.read_locations(old) == {"1": str(places["t1"]), "2": str(places["t2"])}
    assert [reachable(old, "1"), reachable(old, "2")] == [["old"], ["old"]]


def test_files_without_a_data_directory_are_set_aside(tmp_path: Path) -> None:
    place = tmp_path / "ts"
    make_cluster(tmp_path / "lost", t1=place)
    found = tablespaces.set_aside(str(tmp_path / "gone"), [str(place)], "17", "before-1")
    assert found == [str(place / "before-1")]
    assert owners(place) == []
    assert [path.name for path in (place / "before-1" / CONTENT).iterdir()] == ["lost"]


def test_files_of_another_version_stay(tmp_path: Path) -> None:
    (tmp_path / "ts/PG_15_202209061").mkdir(parents=True)
    (tmp_path / "ts/PG_17_notes").mkdir()
    old = make_cluster(tmp_path / "old", t1=tmp_path / "ts")
    tablespaces.remove_content(old, "17")
    assert sorted(path.name for path in (tmp_path / "ts").iterdir()) == ["PG_15_202209061", "PG_17_notes"]


def test_missing_location_is_created_and_a_file_is_refused(tmp_path: Path) -> None:
    location = str(tmp_path / "srv/ts")
    folder = tablespaces.prepare(location, "vise-new")
    (Path(folder) / "left over").touch()
    assert list(Path(tablespaces.prepare(location, "vise-new")).iterdir()) == []
    assert [Path(path).stat().st_mode & 0o777 for path in (location, folder)] == [0o700, 0o700]
    (tmp_path / "file").touch()
    with pytest.raises(tablespaces.TablespaceError, match="file of a tablespace is not a directory"):
        tablespaces.prepare(str(tmp_path / "file"))


def test_only_other_file_systems_are_measured_separately(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    devices = {"data": 1, "near": 1, "far": 2, "farther": 2, "else": 3}
    for name in devices:
        (tmp_path / name).mkdir()
    monkeypatch.setattr(tablespaces, "_find_device", lambda path: devices[Path(path).name])
    sizes = {str(tmp_path / name): size for name, size in (("near", 1), ("far", 10), ("farther", 20), ("else", 40))}
    found = tablespaces.group_by_file_system(str(tmp_path / "data"), sizes)
    assert found == {str(tmp_path / "far"): 30, str(tmp_path / "else"): 40}
