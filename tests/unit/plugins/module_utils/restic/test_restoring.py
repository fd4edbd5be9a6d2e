"""Where restored paths go, how they are compared and switched."""

from __future__ import annotations

import datetime
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.restic import jobs, plan, restoring
from ansible_collections.vise.platform.plugins.module_utils.restic.repository import Repository


def described(path: Path, as_path: str) -> dict[str, Any]:
    """Say of a path what restic would."""
    found = path.lstat()
    kind = "symlink" if path.is_symlink() else "dir" if path.is_dir() else "file"
    at = datetime.datetime.fromtimestamp(found.st_mtime_ns // 1000 / 1_000_000, datetime.UTC)
    time = at.replace(microsecond=found.st_mtime_ns // 1000 % 1_000_000).isoformat() + "Z"
    size = {"size": found.st_size} if kind == "file" else {}
    owner = {"uid": found.st_uid, "gid": found.st_gid}
    return {
        "path": as_path,
        "type": kind,
        "mode": found.st_mode & 0o777,
        **owner,
        "mtime": time.replace("+00:00", ""),
        **size,
    }


def test_paths_keep_their_names_below_a_target() -> None:
    one = restoring.places(["/srv/a", "/srv/a/inner", "/etc/b"], "/restored", "now")
    assert [(place.path, place.final) for place in one] == [
        ("/etc/b", "/restored/etc/b"),
        ("/srv/a", "/restored/srv/a"),
    ]


def test_in_place_is_staged_beside_it_so_that_a_rename_suffices() -> None:
    (place,) = restoring.places(["/srv/a"], "", "now")
    assert (place.final, place.staged, place.aside) == (
        "/srv/a",
        "/srv/.vise-restore-now-0/a",
        "/srv/a.before-restore-now",
    )


@pytest.mark.parametrize("kind", ["full", "file", "link"])
def test_target_that_holds_something_is_refused(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "target"
    if kind == "full":
        target.mkdir()
        (target / "x").touch()
    elif kind == "file":
        target.touch()
    else:
        target.symlink_to(tmp_path)
    with pytest.raises(jobs.JobError, match="no empty directory"):
        restoring.refuse_target(str(target))


def test_empty_and_absent_targets_are_taken(tmp_path: Path) -> None:
    restoring.refuse_target(str(tmp_path))
    restoring.refuse_target(str(tmp_path / "absent"))
    restoring.refuse_target("")


def test_equal_tree_has_no_difference_and_each_attribute_counts(tmp_path: Path) -> None:
    top, one, link = tmp_path / "a", tmp_path / "a/one", tmp_path / "a/link"
    top.mkdir()
    one.write_text("x")
    link.symlink_to("one")
    nodes = [described(top, "/srv/a"), described(one, "/srv/a/one"), described(link, "/srv/a/link")]
    assert restoring.compare(nodes, "/srv/a", str(top)) == []
    for change, says in (
        ({"mode": 0o600 | 1 << 23}, "mode"),
        ({"uid": 12345}, "owner"),
        ({"size": 9}, "size"),
        ({"mtime": "2020-01-01T00:00:00Z"}, "time"),
        ({"type": "dir"}, "kind"),
    ):
        bent = [nodes[0], {**nodes[1], **change}, nodes[2]]
        assert any(says in line for line in restoring.compare(bent, "/srv/a", str(top)))


def test_missing_and_additional_entries_are_differences(tmp_path: Path) -> None:
    top = tmp_path / "a"
    top.mkdir()
    nodes = [described(top, "/srv/a")]
    gone = {**nodes[0], "path": "/srv/a/gone"}
    assert any("No such file" in line for line in restoring.compare([*nodes, gone], "/srv/a", str(top)))
    (top / "more").touch()
    assert any("2 entries in place of 1" in line for line in restoring.compare(nodes, "/srv/a", str(top)))


def staged(tmp_path: Path, entries: tuple[str, ...]) -> list[restoring.Place]:
    wanted = restoring.places([f"/{name}" for name in entries], str(tmp_path), "now")
    for place in wanted:
        Path(place.stage).mkdir(parents=True)
        Path(place.staged).write_text("new")
    return wanted


def test_what_was_there_is_kept_aside(tmp_path: Path) -> None:
    wanted = staged(tmp_path, ("a", "b"))
    (tmp_path / "a").write_text("old")
    kept = restoring._switch(wanted)
    assert (tmp_path / "a").read_text() == "new"
    assert Path(kept[0].aside).read_text() == "old"
    assert kept[1].aside == ""


def test_switch_that_fails_half_way_is_taken_back(tmp_path: Path) -> None:
    wanted = staged(tmp_path, ("a", "b"))
    (tmp_path / "a").write_text("old")
    Path(wanted[1].staged).unlink()
    with pytest.raises(jobs.JobError, match="cannot be put in its place"):
        restoring._switch(wanted)
    assert (tmp_path / "a").read_text() == "old"
    assert not os.path.lexists(wanted[0].aside)


def names(folder: Path) -> list[str]:
    """List a directory."""
    return sorted(path.name for path in folder.iterdir())


def answering(
    monkeypatch: pytest.MonkeyPatch, snapshots: dict[str, Any], damaged: set[str]
) -> tuple[plan.Settings, list[str]]:
    """A host with two repositories that list snapshots, and of which some are damaged."""
    asked: list[str] = []

    def at(_config: plan.Settings, name: str) -> Any:
        class Fake:
            repository = Repository(name, "", "", "", "")

            def open(self) -> bool:
                if name not in snapshots:
                    raise jobs.JobError(f"{name}: no usable answer")
                return True

            def snapshots(self, *_arguments: str) -> tuple[list[dict[str, Any]], str]:
                return snapshots[name], ""

        return Fake()

    def stage(restic: Any, snapshot: dict[str, Any], wanted: list[restoring.Place]) -> tuple[int, int]:
        asked.append(snapshot["id"])
        for place in wanted:
            Path(place.stage).mkdir(parents=True)
            Path(place.staged).write_text("new")
        if restic.repository.name in damaged:
            raise jobs.JobError(f"{restic.repository.name}: restic ended with 1")
        return 1, 3

    monkeypatch.setattr(jobs.Restic, "at", at)
    monkeypatch.setattr(restoring, "_stage", stage)
    repositories = {name: Repository(name, "", "", "", "") for name in ("a", "b")}
    return plan.Settings("h", {}, repositories, {}, {}), asked


A = [{"id": "a" * 64, "time": "2026-03-01T02:00:00Z", "paths": ["/f"]}]
B = [{"id": "b" * 64, "time": "2026-03-01T02:05:00Z", "paths": ["/f"]}]


@pytest.mark.parametrize(
    ("snapshots", "damaged", "source", "passed"),
    [
        ({"a": A, "b": B}, set(), "b", []),
        ({"a": A, "b": B}, {"b"}, "a", ["b: restic ended with 1"]),
        ({"a": A}, set(), "a", ["b: no usable answer"]),
    ],
)
def test_another_repository_is_asked_when_one_is_down_or_damaged(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    snapshots: dict[str, Any],
    damaged: set[str],
    source: str,
    passed: list[str],
) -> None:
    config, _asked = answering(monkeypatch, snapshots, damaged)
    report = restoring.restore(config, restoring.Request("files", target=str(tmp_path / "t")))
    assert (report["repository"], report["passed_over"], report["bytes"]) == (source, passed, 3)
    assert names(tmp_path / "t") == ["f"]


def test_nothing_is_changed_when_no_repository_gives_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, asked = answering(monkeypatch, {"a": A, "b": B}, {"a", "b"})
    with pytest.raises(jobs.JobError, match=r"nothing was changed.*b: restic ended.*a: restic ended"):
        restoring.restore(config, restoring.Request("files", target=str(tmp_path / "t")))
    assert len(asked) == 2
    assert names(tmp_path) == []


def test_check_mode_says_which_snapshot_and_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, asked = answering(monkeypatch, {"a": A, "b": B}, set())
    request = restoring.Request("files", repository="a", target=str(tmp_path / "t"))
    report = restoring.restore(config, request, check_mode=True)
    assert (report["snapshot"], asked, names(tmp_path)) == ("a" * 64, [], [])


def test_snapshot_that_nobody_has_is_an_error_that_tells_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    config, _asked = answering(monkeypatch, {"a": A}, set())
    with pytest.raises(jobs.JobError, match=r"no snapshot cccccccc.*a has 1, the newest of 2026-03-01.*b: no usable"):
        restoring.restore(config, restoring.Request("files", "cccccccc", target="/nowhere"))
