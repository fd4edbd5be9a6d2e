from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.host import programs
from ansible_collections.vise.platform.plugins.module_utils.pgbackrest import repository, timelines
from ansible_collections.vise.platform.plugins.module_utils.pgbackrest.timelines import CURRENT, LATEST, TimelinePath
from ansible_collections.vise.platform.plugins.module_utils.postgresql.cluster import History

from .samples import backup, info

UNREACHABLE = programs.Result(55, "", "ERROR: [055]: unable to open missing file")
SUM = "0123456789abcdef0123456789abcdef01234567"
SECOND = "1\t0/6000000\tbefore 2026-03-01 12:30:00+00\n"
THIRD = f'{SECOND}2\t0/4000000\tat restore point "x"\n'
OLD, NEW = "0000000100000000", "0000000200000000"


class Archives:
    """Stub repositories: the files in archive/main/17-1, by number and path."""

    def __init__(self, files: dict[tuple[int, str], str]) -> None:
        self.files = files

    def __call__(self, repo: str, _command: str, path: str) -> programs.Result:
        text = self.files.get((int(repo.removeprefix("--repo=")), path.removeprefix("archive/main/17-1").lstrip("/")))
        return UNREACHABLE if text is None else programs.Result(0, text)


def find_path(files: dict[tuple[int, str], str], timeline: int | None = LATEST, *more: dict[str, Any]) -> TimelinePath:
    repositories = repository.parse_info(info(backup(1, "1F", 100), *more), "main")
    return timelines.find_paths(Archives(files), "main", repositories, timeline)[7]


ONE = {(1, ""): f"{OLD}\n", (2, ""): f"{OLD}\n"}
TWO = {(n, ""): f"{OLD}\n00000002.history\n" for n in (1, 2)}
THREE = {(1, ""): f"{OLD}\n{NEW}\n00000002.history\n00000003.history\n", (2, ""): ""}


@pytest.mark.parametrize(
    ("files", "timeline", "expected"),
    [
        (ONE, LATEST, TimelinePath(1)),
        ({**TWO, (1, "00000002.history"): SECOND}, LATEST, TimelinePath(2, {1: "0/6000000"})),
        ({**TWO, (2, "00000002.history"): SECOND}, LATEST, TimelinePath(2, {1: "0/6000000"})),
        ({**THREE, (1, "00000003.history"): THIRD}, LATEST, TimelinePath(3, {1: "0/4000000", 2: "0/4000000"})),
        ({**THREE, (1, "00000002.history"): SECOND}, 2, TimelinePath(2, {1: "0/6000000"})),
        (THREE, 1, TimelinePath(1)),
        (THREE, CURRENT, TimelinePath()),
        # The timeline does not exist, therefore no set leads to it
        (THREE, 5, TimelinePath(5)),
        # One repository lacks the history, and one cannot be listed
        ({(2, ""): "00000002.history", (2, "00000002.history"): SECOND}, LATEST, TimelinePath(2, {1: "0/6000000"})),
    ],
)
def test_history_of_the_timeline_is_read(
    files: dict[tuple[int, str], str], timeline: int | None, expected: TimelinePath
) -> None:
    assert find_path(files, timeline) == expected


@pytest.mark.parametrize(
    ("files", "timeline", "error"),
    [
        (TWO, LATEST, "repository 1: ERROR: [055]: unable to open missing file; repository 2: ERROR"),
        ({**TWO, (1, "00000002.history"): ""}, LATEST, "00000002.history contains no earlier timeline; repository 2"),
        ({(1, ""): NEW, (2, ""): ""}, LATEST, "missing file"),
        # It is unknown whether the timeline exists, when not every archive can be listed
        ({(2, ""): ""}, 5, "missing file"),
    ],
)
def test_unreadable_history_is_reported(files: dict[tuple[int, str], str], timeline: int | None, error: str) -> None:
    found = find_path(files, timeline)
    assert (found.timeline, found.ends) == (timeline or 2, {})
    assert error in found.error


def test_timeline_of_a_set_counts_when_the_archive_cannot_be_listed() -> None:
    assert find_path({}, LATEST, backup(2, "2F", 200, timeline=4)).timeline == 4


@pytest.mark.parametrize(("timeline", "expected"), [(1, "current"), (2, "2"), (CURRENT, "current")])
def test_recovery_follows_the_planned_timeline(timeline: int, expected: str) -> None:
    [repo] = repository.parse_info(info(backup(1, "1F", 100), codes=(0,)), "main")
    assert TimelinePath(timeline).argument_for(repo.backups[0]) == expected


def segments(*names: str) -> str:
    return "\n".join(f"{name}-{SUM}.zst" for name in names)


WAL = {
    (1, ""): f"{OLD}\n{NEW}\n00000002.history\n",
    (1, OLD): segments(f"{OLD}00000003", f"{OLD}00000005", f"{OLD}00000009"),
    (1, NEW): segments(f"{NEW}00000005", f"{NEW}00000006") + f"\n{NEW}00000007.partial-{SUM}.zst",
    (2, ""): "",
}
FOLLOWED = History(2, {1: "0/6000000"})


@pytest.mark.parametrize(
    ("files", "history", "expected"),
    [
        (WAL, FOLLOWED, f"{NEW}00000006"),
        (WAL, History(1), f"{OLD}00000009"),
        # The new timeline has no WAL yet; WAL of the old one after the LSN where it was left does not count
        ({**WAL, (1, ""): OLD}, FOLLOWED, f"{OLD}00000005"),
        ({**WAL, (2, ""): NEW, (2, NEW): segments(f"{NEW}00000008")}, FOLLOWED, f"{NEW}00000008"),
        # If an archive cannot be listed, the segment from `info` counts
        ({(1, ""): ""}, History(1), f"{OLD}00000002"),
        ({(1, ""): ""}, FOLLOWED, ""),
        ({(1, ""): OLD}, History(1), f"{OLD}00000002"),
        ({(1, ""): "", (2, ""): ""}, History(1), ""),
    ],
)
def test_newest_segment_belongs_to_the_history(
    files: dict[tuple[int, str], str], history: History, expected: str
) -> None:
    archives = timelines.select_archives(repository.parse_info(info(), "main"), 7)
    assert timelines.find_newest_wal(Archives(files), "main", archives, history) == expected


def test_archives_of_another_cluster_are_not_selected() -> None:
    assert timelines.select_archives(repository.parse_info(info(), "main"), 8) == []
