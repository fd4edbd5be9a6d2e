from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.pgbackrest import repository, timelines, tool
from ansible_collections.vise.platform.plugins.module_utils.pgbackrest.timelines import CURRENT, LATEST, Course
from ansible_collections.vise.platform.plugins.module_utils.postgresql.cluster import History

from .samples import backup, info

AWAY = tool.Answer(55, "", "ERROR: [055]: unable to open missing file")
SUM = "0123456789abcdef0123456789abcdef01234567"
SECOND = "1\t0/6000000\tbefore 2026-03-01 12:30:00+00\n"
THIRD = f'{SECOND}2\t0/4000000\tat restore point "x"\n'
OLD, NEW = "0000000100000000", "0000000200000000"


class Archives:
    """What repositories hold below archive/main/17-1, by number and path."""

    def __init__(self, held: dict[tuple[int, str], str]) -> None:
        self.held = held

    def __call__(self, repo: str, _command: str, path: str) -> tool.Answer:
        text = self.held.get((int(repo.removeprefix("--repo=")), path.removeprefix("archive/main/17-1").lstrip("/")))
        return AWAY if text is None else tool.Answer(0, text, text)


def course(held: dict[tuple[int, str], str], timeline: int | None = LATEST, *more: dict[str, Any]) -> Course:
    repositories = repository.parse(info(backup(1, "1F", 100), *more), "main")
    return timelines.courses(Archives(held), "main", repositories, timeline)[7]


ONE = {(1, ""): f"{OLD}\n", (2, ""): f"{OLD}\n"}
TWO = {(n, ""): f"{OLD}\n00000002.history\n" for n in (1, 2)}
THREE = {(1, ""): f"{OLD}\n{NEW}\n00000002.history\n00000003.history\n", (2, ""): ""}


@pytest.mark.parametrize(
    ("held", "timeline", "expected"),
    [
        (ONE, LATEST, Course(1)),
        ({**TWO, (1, "00000002.history"): SECOND}, LATEST, Course(2, {1: "0/6000000"})),
        ({**TWO, (2, "00000002.history"): SECOND}, LATEST, Course(2, {1: "0/6000000"})),
        ({**THREE, (1, "00000003.history"): THIRD}, LATEST, Course(3, {1: "0/4000000", 2: "0/4000000"})),
        ({**THREE, (1, "00000002.history"): SECOND}, 2, Course(2, {1: "0/6000000"})),
        (THREE, 1, Course(1)),
        (THREE, CURRENT, Course()),
        # There is no such timeline, so that no set leads there
        (THREE, 5, Course(5)),
        # One repository lags behind, and one cannot be listed
        ({(2, ""): "00000002.history", (2, "00000002.history"): SECOND}, LATEST, Course(2, {1: "0/6000000"})),
    ],
)
def test_history_of_the_timeline_is_read(
    held: dict[tuple[int, str], str], timeline: int | None, expected: Course
) -> None:
    assert course(held, timeline) == expected


@pytest.mark.parametrize(
    ("held", "timeline", "trouble"),
    [
        (TWO, LATEST, "repository 1: ERROR: [055]: unable to open missing file; repository 2: ERROR"),
        ({**TWO, (1, "00000002.history"): ""}, LATEST, "00000002.history names no earlier timeline; repository 2"),
        ({(1, ""): NEW, (2, ""): ""}, LATEST, "missing file"),
        # Whether there is such a timeline is not known, when not every archive can be listed
        ({(2, ""): ""}, 5, "missing file"),
    ],
)
def test_history_that_cannot_be_read_is_told(
    held: dict[tuple[int, str], str], timeline: int | None, trouble: str
) -> None:
    found = course(held, timeline)
    assert (found.timeline, found.ends) == (timeline or 2, {})
    assert trouble in found.trouble


def test_sets_make_a_timeline_known_whose_archive_cannot_be_listed() -> None:
    assert course({}, LATEST, backup(2, "2F", 200, timeline=4)).timeline == 4


@pytest.mark.parametrize(("timeline", "argument"), [(1, "current"), (2, "2"), (CURRENT, "current")])
def test_recovery_is_told_the_timeline_that_was_planned(timeline: int, argument: str) -> None:
    [repo] = repository.parse(info(backup(1, "1F", 100), codes=(0,)), "main")
    assert Course(timeline).argument(repo.backups[0]) == argument


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
    ("held", "history", "expected"),
    [
        (WAL, FOLLOWED, f"{NEW}00000006"),
        (WAL, History(1), f"{OLD}00000009"),
        # Nothing of the new timeline yet: what the old one wrote behind the point is not on the way
        ({**WAL, (1, ""): OLD}, FOLLOWED, f"{OLD}00000005"),
        ({**WAL, (2, ""): NEW, (2, NEW): segments(f"{NEW}00000008")}, FOLLOWED, f"{NEW}00000008"),
        # What `info` has said is left where an archive cannot be listed
        ({(1, ""): ""}, History(1), f"{OLD}00000002"),
        ({(1, ""): ""}, FOLLOWED, ""),
        ({(1, ""): OLD}, History(1), f"{OLD}00000002"),
        ({(1, ""): "", (2, ""): ""}, History(1), ""),
    ],
)
def test_newest_segment_is_that_of_the_timeline(
    held: dict[tuple[int, str], str], history: History, expected: str
) -> None:
    archives = timelines.archives_of(repository.parse(info(), "main"), 7)
    assert timelines.newest_wal(Archives(held), "main", archives, history) == expected


def test_archives_of_another_cluster_are_left_alone() -> None:
    assert timelines.archives_of(repository.parse(info(), "main"), 8) == []
