"""Places of restored paths, their comparison and their move to the final place."""

from __future__ import annotations

import datetime
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.restic import jobs, plan, restoring
from ansible_collections.vise.platform.plugins.module_utils.restic.repository import Repository


def describe(path: Path, as_path: str) -> dict[str, Any]:
    """Return restic's description of a path."""
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
    one = restoring.plan_places(["/srv/a", "/srv/a/inner", "/etc/b"], "/restored", "now")
    assert [(place.path, place.final) for place in one] == [
        ("/etc/b", "/restored/etc/b"),
        ("/srv/a", "/restored/srv/a"),
    ]


def test_staging_directory_is_on_the_same_file_system() -> None:
    (place,) = restoring.plan_places(["/srv/a"], "", "now")
    assert (place.final, place.staged, place.aside) == (
        "/srv/a",
        "/srv/.vise-restore-now-0/a",
        "/srv/a.before-restore-now",
    )


@pytest.mark.parametrize("kind", ["full", "file", "link"])
def test_target_with_content_is_refused(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "target"
    if kind == "full":
        target.mkdir()
        (target / "x").touch()
    elif kind == "file":
        target.touch()
    else:
        target.symlink_to(tmp_path)
    with pytest.raises(jobs.JobError, match="not an empty directory"):
        restoring.validate_target(str(target))


def test_empty_and_missing_targets_are_accepted(tmp_path: Path) -> None:
    restoring.validate_target(str(tmp_path))
    restoring.validate_target(str(tmp_path / "absent"))
    restoring.validate_target("")


def test_each_attribute_is_compared(tmp_path: Path) -> None:
    top, one, link = tmp_path / "a", tmp_path / "a/one", tmp_path / "a/link"
    top.mkdir()
    one.write_text("x")
    link.symlink_to("one")
    nodes = [describe(top, "/srv/a"), describe(one, "/srv/a/one"), describe(link, "/srv/a/link")]
    assert restoring.compare_attributes(nodes, "/srv/a", str(top)) == []
    for change, attribute in (
        ({"mode": 0o600 | 1 << 23}, "mode"),
        ({"uid": 12345}, "owner"),
        ({"size": 9}, "size"),
        ({"mtime": "2020-01-01T00:00:00Z"}, "time"),
        ({"type": "dir"}, "kind"),
    ):
        bent = [nodes[0], {**nodes[1], **change}, nodes[2]]
        assert any(attribute in line for line in restoring.compare_attributes(bent, "/srv/a", str(top)))


def test_missing_and_additional_entries_are_differences(tmp_path: Path) -> None:
    top = tmp_path / "a"
    top.mkdir()
    nodes = [describe(top, "/srv/a")]
    gone = {**nodes[0], "path": "/srv/a/gone"}
    assert any("No such file" in line for line in restoring.compare_attributes([*nodes, gone], "/srv/a", str(top)))
    (top / "more").touch()
    assert any("2 entries instead of 1" in line for line in restoring.compare_attributes(nodes, "/srv/a", str(top)))


def stage_files(tmp_path: Path, entries: tuple[str, ...]) -> list[restoring.Place]:
    places = restoring.plan_places([f"/{name}" for name in entries], str(tmp_path), "now")
    for place in places:
        Path(place.stage).mkdir(parents=True)
        Path(place.staged).write_text("new")
    return places


def test_old_file_is_renamed_and_kept(tmp_path: Path) -> None:
    places = stage_files(tmp_path, ("a", "b"))
    (tmp_path / "a").write_text("old")
    kept = restoring._move_to_place(places)
    assert (tmp_path / "a").read_text() == "new"
    assert Path(kept[0].aside).read_text() == "old"
    assert kept[1].aside == ""


def test_failed_move_is_rolled_back(tmp_path: Path) -> None:
    places = stage_files(tmp_path, ("a", "b"))
    (tmp_path / "a").write_text("old")
    Path(places[1].staged).unlink()
    with pytest.raises(jobs.JobError, match="cannot be moved to their place"):
        restoring._move_to_place(places)
    assert (tmp_path / "a").read_text() == "old"
    assert not os.path.lexists(places[0].aside)


def names(folder: Path) -> list[str]:
    """List a directory."""
    return sorted(path.name for path in folder.iterdir())


def stub_repositories(
    monkeypatch: pytest.MonkeyPatch, snapshots: dict[str, Any], damaged: set[str]
) -> tuple[plan.Settings, list[str]]:
    """Return settings with two stub repositories, some of them damaged, and the list of tried snapshots."""
    calls: list[str] = []

    def at(_config: plan.Settings, name: str) -> Any:
        class Fake:
            repository = Repository(name, "", "", "", "")

            def check_access(self) -> bool:
                if name not in snapshots:
                    raise jobs.JobError(f"{name}: no usable answer")
                return True

            def snapshots(self, *_arguments: str) -> tuple[list[dict[str, Any]], str]:
                return snapshots[name], ""

        return Fake()

    def stage(restic: Any, snapshot: dict[str, Any], places: list[restoring.Place]) -> tuple[int, int]:
        calls.append(snapshot["id"])
        for place in places:
            Path(place.stage).mkdir(parents=True)
            Path(place.staged).write_text("new")
        if restic.repository.name in damaged:
            raise jobs.JobError(f"{restic.repository.name}: restic ended with 1")
        return 1, 3

    monkeypatch.setattr(jobs.Restic, "at", at)
    monkeypatch.setattr(restoring, "_restore_to_staging", stage)
    repositories = {name: Repository(name, "", "", "", "") for name in ("a", "b")}
    return plan.Settings("h", {}, repositories, {}, {}), calls


A = [{"id": "a" * 64, "time": "2026-03-01T02:00:00Z", "paths": ["/f"]}]
B = [{"id": "b" * 64, "time": "2026-03-01T02:05:00Z", "paths": ["/f"]}]


@pytest.mark.parametrize(
    ("snapshots", "damaged", "source", "passed"),
    [
        ({"a": A, "b": B}, set(), "b", []),
        ({"a": A, "b": B}, {"b"}, "a", ["b: restic ended with 1 (snapshot bbbbbbbb of 2026-03-01T02:05:00)"]),
        ({"a": A}, set(), "a", ["b: no usable answer"]),
    ],
)
def test_another_repository_is_used_when_one_is_down_or_damaged(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    snapshots: dict[str, Any],
    damaged: set[str],
    source: str,
    passed: list[str],
) -> None:
    config, _asked = stub_repositories(monkeypatch, snapshots, damaged)
    report = restoring.restore(config, restoring.Request("files", target=str(tmp_path / "t")))
    assert (report["repository"], report["passed_over"], report["bytes"]) == (source, passed, 3)
    assert names(tmp_path / "t") == ["f"]


def test_nothing_is_changed_without_an_intact_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, calls = stub_repositories(monkeypatch, {"a": A, "b": B}, {"a", "b"})
    with pytest.raises(jobs.JobError, match=r"nothing was changed.*b: restic ended.*a: restic ended"):
        restoring.restore(config, restoring.Request("files", target=str(tmp_path / "t")))
    assert len(calls) == 2
    assert names(tmp_path) == []


def make_snapshot(letter: str, day: int) -> dict[str, Any]:
    return {"id": letter * 64, "time": f"2026-03-{day:02}T02:00:00Z", "paths": ["/f"]}


EARLIER = {"a": [make_snapshot("1", 1), make_snapshot("3", 3)], "b": [make_snapshot("2", 2)]}


@pytest.mark.parametrize("name", ["latest", "33333333", "2026-03-04T00:00"])
def test_snapshot_of_another_night_is_named_and_not_restored_without_consent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    config, calls = stub_repositories(monkeypatch, EARLIER, {"a"})
    with pytest.raises(jobs.JobError, match="nothing was changed") as refused:
        restoring.restore(config, restoring.Request("files", name, target=str(tmp_path / "t")))
    assert calls == ["3" * 64]
    assert "older snapshots, not tried: 22222222 of b, 2026-03-02T02:00:00, 11111111 of a" in str(refused.value)
    assert "-e restore_snapshot=22222222; to restore" in str(refused.value)
    assert names(tmp_path) == []


@pytest.mark.parametrize(("damaged", "used"), [({"a"}, "2"), ({"b"}, "3")])
def test_consent_restores_the_newest_intact_snapshot_and_names_the_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damaged: set[str], used: str
) -> None:
    config, calls = stub_repositories(monkeypatch, EARLIER, damaged)
    report = restoring.restore(config, restoring.Request("files", target=str(tmp_path / "t"), older=True))
    assert (report["snapshot"], calls[-1]) == (used * 64, used * 64)
    lost = (
        "The files are those of 2026-03-02T02:00:00, not of 2026-03-03T02:00:00. Changes between these times are lost."
    )
    assert report["lost"] == (lost if used == "2" else "")


def test_consent_does_not_restore_a_newer_snapshot_than_the_requested_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, calls = stub_repositories(monkeypatch, EARLIER, {"a", "b"})
    with pytest.raises(jobs.JobError, match="no repository has intact data"):
        restoring.restore(
            config, restoring.Request("files", "2026-03-02T12:00", target=str(tmp_path / "t"), older=True)
        )
    assert calls == ["2" * 64, "1" * 64]


@pytest.mark.parametrize(
    "error",
    [jobs.JobError("a: write /t/f: no space left on device"), OSError(28, "No space left on device", "/t")],
    ids=["restic", "directory"],
)
def test_full_disk_is_no_damage_and_tries_no_other_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    config, _calls = stub_repositories(monkeypatch, EARLIER, set())
    tried: list[str] = []

    def fill(_restic: Any, snapshot: dict[str, Any], places: list[restoring.Place]) -> tuple[int, int]:
        tried.append(snapshot["id"])
        Path(places[0].stage).mkdir(parents=True)
        raise error

    monkeypatch.setattr(restoring, "_restore_to_staging", fill)
    with pytest.raises(jobs.JobError, match=r"nothing was changed: the disk became full.*run the same restore again"):
        restoring.restore(config, restoring.Request("files", target=str(tmp_path / "t"), older=True))
    assert len(tried) == 1
    assert names(tmp_path) == []


def test_check_mode_reports_the_snapshot_and_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, calls = stub_repositories(monkeypatch, {"a": A, "b": B}, set())
    request = restoring.Request("files", repository="a", target=str(tmp_path / "t"))
    report = restoring.restore(config, request, check_mode=True)
    assert (report["snapshot"], calls, names(tmp_path)) == ("a" * 64, [], [])


def test_missing_snapshot_is_an_error_with_the_available_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    config, _asked = stub_repositories(monkeypatch, {"a": A}, set())
    with pytest.raises(jobs.JobError, match=r"no snapshot cccccccc.*a has 1, the newest of 2026-03-01.*b: no usable"):
        restoring.restore(config, restoring.Request("files", "cccccccc", target="/nowhere"))


MOUNT = "29 1 0:25 / {point} rw,relatime shared:5 - tmpfs tmpfs rw\n"


@pytest.mark.parametrize(
    ("point", "refused"),
    [
        ("/srv/a", True),
        # The next boot would mount it over the restored files.
        ("/srv/a/inner", True),
        ("/srv/ab", False),
        ("/srv", False),
        ("/", False),
    ],
)
def test_mount_point_in_or_at_the_place_is_refused(point: str, refused: bool) -> None:
    places = restoring.plan_places(["/srv/a"], "", "now")
    if refused:
        with pytest.raises(restoring.RefusedError, match=f"^{point}: a mount point cannot be renamed"):
            restoring.reject_places(places, MOUNT.format(point=point))
    else:
        restoring.reject_places(places, MOUNT.format(point=point))


def test_mount_point_is_found_behind_a_link_and_with_a_space(tmp_path: Path) -> None:
    (tmp_path / "real dir").mkdir()
    (tmp_path / "link").symlink_to("real dir")
    places = restoring.plan_places([f"{tmp_path}/link/a"], "", "now")
    with pytest.raises(restoring.RefusedError, match="real dir/a: a mount point"):
        restoring.reject_places(places, MOUNT.format(point=f"{tmp_path}/real\\040dir/a"))


def test_parent_that_leads_nowhere_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "volume").symlink_to("absent")
    places = restoring.plan_places([f"{tmp_path}/volume/files"], "", "now")
    with pytest.raises(restoring.RefusedError, match=r"volume is a symbolic link to .*absent, which does not exist"):
        restoring.reject_places(places, "")


@pytest.mark.parametrize(
    ("here", "stored", "message"),
    [
        ("link", "dir", r"f is a symbolic link to elsewhere, but no symbolic link in the snapshot"),
        ("dir", "symlink", r"f is no symbolic link, but a symbolic link in the snapshot"),
        ("link", "symlink", ""),
        ("dir", "dir", ""),
        ("", "symlink", ""),
        ("", "dir", ""),
    ],
)
def test_link_and_directory_do_not_replace_each_other(tmp_path: Path, here: str, stored: str, message: str) -> None:
    place = restoring.plan_places(["/f"], str(tmp_path), "now")
    if here == "link":
        (tmp_path / "f").symlink_to("elsewhere")
    elif here == "dir":
        (tmp_path / "f").mkdir()
    nodes = [{"struct_type": "snapshot", "path": "/f"}, {"path": "/f", "type": stored}]
    if message:
        with pytest.raises(restoring.RefusedError, match=message):
            restoring.reject_kinds(nodes, place)
    else:
        restoring.reject_kinds(nodes, place)


class Sizes:
    """restic, which counts a snapshot."""

    def __init__(self, *sizes: int) -> None:
        self.sizes = dict(zip(("restore-size", "files-by-contents", "blobs-per-file"), sizes, strict=True))
        self.calls = 0

    def run_or_raise(self, command: str, mode: str, *_arguments: str) -> str:
        """Count in one mode."""
        assert command == "stats"
        self.calls += 1
        return f'{{"total_size":{self.sizes[mode.removeprefix("--mode=")]}}}\n'


@pytest.mark.parametrize(
    ("free", "restic", "message", "calls"),
    [
        pytest.param(1000, Sizes(0, 0, 0), "", 0, id="enough for the apparent size"),
        pytest.param(100, Sizes(1000, 1000, 100), "", 3, id="enough for a sparse file"),
        pytest.param(99, Sizes(1000, 1000, 100), "need 100 B in .*, only 99 B are free", 3, id="too small"),
        pytest.param(99, Sizes(9000, 9000, 9000), "need 1000 B in .*, only 99 B", 3, id="other paths are larger"),
    ],
)
def test_room_is_computed_from_what_files_allocate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, restic: Any, message: str, calls: int
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: shutil._ntuple_diskusage(0, 0, free))
    places = restoring.plan_places(["/f", "/g"], str(tmp_path / "new"), "now")
    nodes = [{"path": path, "type": "file", "size": 500} for path in ("/f", "/g")]
    nodes += [{"path": "/f2", "type": "file", "size": 500}, {"path": "/f", "type": "dir", "size": 4096}]
    if message:
        with pytest.raises(restoring.RefusedError, match=message):
            restoring.reject_full_disk(restic, "x", nodes, places)
    else:
        restoring.reject_full_disk(restic, "x", nodes, places)
    assert restic.calls == calls


def test_refusal_of_the_place_tries_no_other_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, calls = stub_repositories(monkeypatch, {"a": A, "b": B}, set())

    def refuse(_restic: Any, snapshot: dict[str, Any], _places: object) -> tuple[int, int]:
        calls.append(snapshot["id"])
        raise restoring.RefusedError("/f: too small")

    monkeypatch.setattr(restoring, "_restore_to_staging", refuse)
    with pytest.raises(jobs.JobError, match=r"^files: nothing was changed: /f: too small$"):
        restoring.restore(config, restoring.Request("files", target=str(tmp_path / "t")))
    assert len(calls) == 1


def test_link_that_is_the_same_stays(tmp_path: Path) -> None:
    places = restoring.plan_places(["/same", "/other"], str(tmp_path), "now")
    for place, here in zip(places, ("elsewhere", "to"), strict=True):
        Path(place.stage).mkdir(parents=True)
        Path(place.staged).symlink_to("to")
        Path(place.final).symlink_to(here)
    moved = restoring._move_to_place(places)
    assert [Path(place.final).readlink() for place in moved] == [Path("to"), Path("to")]
    assert [bool(place.aside) for place in moved] == [True, False]
    assert Path(moved[0].aside).readlink() == Path("elsewhere")
