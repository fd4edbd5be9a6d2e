"""Tablespaces of a set, and sets that cannot be recovered next to the existing cluster."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.module_utils.host import programs
from ansible_collections.vise.platform.plugins.module_utils.pgbackrest import placement, repository, targets

from .samples import backup, info


def test_tablespaces_of_a_set_are_read() -> None:
    answers = []
    text = json.dumps([{"backup": [{"tablespace": [{"destination": "/srv/ts", "name": "ts", "oid": 16384}]}]}])

    def pgbackrest(*arguments: str) -> programs.Result:
        answers.append(arguments)
        return programs.Result(0, text)

    [repo] = repository.parse_info(info(backup(1, "20260301-013000F", 10), codes=(0,)), "main")
    assert placement.read_locations(pgbackrest, repo.backups[0]) == {"16384": "/srv/ts"}
    assert answers == [("--repo=1", "--set=20260301-013000F", "--output=json", "info")]


@pytest.mark.parametrize("entry", [{}, {"tablespace": None}, {"tablespace": []}])
def test_set_without_tablespaces_has_none(entry: dict[str, object]) -> None:
    assert placement.parse_locations(json.dumps([{"backup": [entry]}])) == {}


def test_tablespace_that_is_newer_than_the_set_is_a_conflict() -> None:
    assert placement.describe_conflict({}, {"1": "/srv/a"}) == ""
    assert placement.describe_conflict({"1": "/srv/a"}, {"1": "/srv/a", "2": "/srv/b"}) == ""
    message = placement.describe_conflict({"1": "/srv/a", "3": "/srv/c"}, {"1": "/srv/a"})
    assert "newer than the set: /srv/c (OID 3)" in message
    assert "restore_mode=delta" in message


def test_copy_is_restored_next_to_the_files_of_the_existing_cluster(tmp_path: Path) -> None:
    location = str(tmp_path / "ts")
    assert placement.prepare({"1": location}) == [f"--tablespace-map=1={location}/vise-restoring"]
    assert placement.list_folders({"1": location}) == [f"{location}/vise-restoring"]
    (tmp_path / "file").touch()
    with pytest.raises(targets.RestoreError, match="is not a directory"):
        placement.prepare({"1": str(tmp_path / "file")})


def test_delta_removes_files_of_newer_tablespaces(tmp_path: Path) -> None:
    links = tmp_path / "data/pg_tblspc"
    links.mkdir(parents=True)
    for number in ("1", "2"):
        (tmp_path / f"ts{number}/PG_17_202406281").mkdir(parents=True)
        (links / number).symlink_to(tmp_path / f"ts{number}")
    placement.prepare_original(str(tmp_path / "data"), "17", {"1": str(tmp_path / "ts1"), "3": str(tmp_path / "ts3")})
    assert [(tmp_path / f"ts{number}/PG_17_202406281").exists() for number in ("1", "2")] == [True, False]
    assert (tmp_path / "ts3").is_dir()
