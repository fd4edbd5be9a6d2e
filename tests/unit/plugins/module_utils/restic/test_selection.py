"""What restic gets for the paths of a set: links with all that they lead to."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.module_utils.restic import selection


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A disk with data, and links to it."""
    (tmp_path / "disk/data").mkdir(parents=True)
    (tmp_path / "disk/data/file").write_text("x")
    for link, target in {
        "link": "disk/data",
        "absolute": str(tmp_path / "disk/data"),
        "chain": "link",
        "to-file": "disk/data/file",
        "parent": "disk",
        "through": "parent/data",
        "slash": "disk/data/",
        "up": "disk/data/..",
        "dangling": "disk/absent",
        "loop": "loop2",
        "loop2": "loop",
    }.items():
        (tmp_path / link).symlink_to(target)
    return tmp_path


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        pytest.param(["disk/data"], ["disk/data"], id="directory"),
        pytest.param(["link"], ["link", "disk/data"], id="link"),
        pytest.param(["absolute"], ["absolute", "disk/data"], id="absolute link"),
        pytest.param(["chain"], ["chain", "link", "disk/data"], id="link to a link"),
        pytest.param(["to-file"], ["to-file", "disk/data/file"], id="link to a file"),
        pytest.param(["through"], ["through", "disk/data"], id="link through a link"),
        pytest.param(["slash"], ["slash", "disk/data"], id="link with a slash at its end"),
        pytest.param(["up"], ["up", "disk"], id="link to a parent"),
        # restic follows links above a path, and stores them as directories.
        pytest.param(["parent/data"], ["parent/data"], id="path below a link"),
        pytest.param(
            ["parent", "parent/data/file"], ["parent", "disk", "disk/data/file"], id="link and a path below it"
        ),
        pytest.param(["link", "disk/data"], ["link", "disk/data"], id="link and its target"),
    ],
)
def test_link_is_saved_with_what_it_leads_to(disk: Path, paths: list[str], expected: list[str]) -> None:
    found = selection.select([str(disk / path) for path in paths], [])
    assert [os.path.relpath(path, disk) for path in found.paths] == expected
    assert found.problems == ()


@pytest.mark.parametrize(
    ("path", "problem", "saved"),
    [
        ("absent", "absent does not exist", False),
        ("dangling", "disk/absent, which does not exist", True),
        ("loop", "is a symbolic link that leads to itself", True),
        ("socket", "is a socket, which has no data: remove it from the set", False),
        ("disk/data/file", "", True),
        ("pipe", "", True),
    ],
)
def test_path_without_data_is_a_problem_and_not_given_to_restic(
    disk: Path, monkeypatch: pytest.MonkeyPatch, path: str, problem: str, saved: bool
) -> None:
    monkeypatch.chdir(disk)  # the path of a socket is limited
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        os.mkfifo("pipe")
        found = selection.select([str(disk / path)], [])
    assert [one for one in found.problems if problem in one] == list(found.problems)
    assert bool(found.problems) == bool(problem)
    assert bool(found.paths) == saved


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("*.tmp", ["*.tmp"]),
        ("{disk}/link/cache", ["{disk}/link/cache", "{disk}/disk/data/cache"]),
        ("!{disk}/link/cache/*", ["!{disk}/link/cache/*", "!{disk}/disk/data/cache/*"]),
        ("{disk}/linked", ["{disk}/linked"]),
    ],
)
def test_exclude_below_a_link_applies_to_what_it_leads_to(disk: Path, given: str, expected: list[str]) -> None:
    found = selection.select([str(disk / "link")], [given.format(disk=disk)])
    assert list(found.excludes) == [one.format(disk=disk) for one in expected]
