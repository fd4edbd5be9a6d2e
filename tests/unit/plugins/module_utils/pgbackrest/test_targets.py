from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.pgbackrest import repository, targets, timelines
from ansible_collections.vise.platform.plugins.module_utils.pgbackrest.targets import Impossible, Target

from .samples import backup, info

NOW = 1_800_000_000.0
NOON = "2026-03-01 12:00:00+00:00"


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("later", "", "is none of"),
        ("time", "", "takes a value"),
        ("latest", "x", "takes no value"),
        ("time", "yesterday", "is no time"),
        ("time", "2026-03-01 12:00:00", "names no time zone"),
        ("time", "2099-03-01 12:00:00+00:00", "lies in the future"),
        ("lsn", "12", "no position"),
        ("name", "it's", "no name"),
    ],
)
def test_impossible_targets_are_refused(kind: str, value: str, message: str) -> None:
    with pytest.raises(Impossible, match=message):
        targets.target(kind, value, NOW)


@pytest.mark.parametrize(
    ("target", "arguments"),
    [
        (Target(), ["--type=standby", "--target-timeline=2"]),
        (Target("immediate"), ["--type=immediate", "--target-action=pause"]),
        (
            Target("time", "2026-03-01 13:00:00.5+01:00"),
            [
                "--type=time",
                "--target=2026-03-01 12:00:00.500000+00",
                "--target-timeline=2",
                "--target-action=pause",
            ],
        ),
        (
            Target("name", "before it"),
            ["--type=name", "--target=before it", "--target-timeline=2", "--target-action=pause"],
        ),
    ],
)
def test_nothing_promotes_by_itself(target: Target, arguments: list[str]) -> None:
    assert target.arguments("2") == arguments


@pytest.mark.parametrize(
    ("text", "kind", "number"),
    [("", "latest", None), ("latest", "time", None), ("current", "lsn", 0), ("3", "latest", 3), ("0x1A", "name", 26)],
)
def test_timelines_are_asked_for_by_word_or_number(text: str, kind: str, number: int | None) -> None:
    assert targets.timeline(text, kind) == number


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("0", "latest", "is no timeline"),
        ("newest", "latest", "is no timeline"),
        ("3", "immediate", "takes no timeline"),
    ],
)
def test_impossible_timelines_are_refused(text: str, kind: str, message: str) -> None:
    with pytest.raises(Impossible, match=message):
        targets.timeline(text, kind)


FREE = {7: timelines.Course()}
BACKUPS = (
    backup(1, "1F", 100),
    backup(1, "1F_2D", 200, "0/5000000"),
    backup(1, "3F", 300, "0/7000000"),
    backup(2, "4F", 310, "0/8000000"),
)


def at(seconds: int) -> Target:
    return Target("time", targets.clock(seconds))


@pytest.mark.parametrize(
    ("target", "given", "expected"),
    [
        (Target(), {}, ["3F", "4F", "1F_2D"]),
        (at(305), {}, ["3F", "1F_2D"]),
        (at(200), {}, ["1F_2D"]),
        (at(199), {}, ["1F"]),
        (at(99), {}, []),
        (Target("lsn", "0/7000000"), {}, ["3F", "1F_2D"]),
        (Target(), {"label": "1F"}, ["1F"]),
        (Target(), {"number": 2}, ["4F"]),
    ],
)
def test_candidates_lead_to_the_target(target: Target, given: dict[str, Any], expected: list[str]) -> None:
    repositories = repository.parse(info(*BACKUPS), "main")
    assert [b.label for b in targets.candidates(repositories, target, FREE, "17", **given)] == expected


def test_set_with_damaged_pages_comes_last() -> None:
    repositories = repository.parse(info(backup(1, "1F", 100), backup(1, "2F", 200, error=True)), "main")
    assert [b.label for b in targets.candidates(repositories, Target(), FREE, "17")] == ["1F", "2F"]


# The first timeline was left twice: at 0/6000000 for the second, then further back for the third
ONCE = timelines.Course(2, {1: "0/6000000"})
TWICE = timelines.Course(3, {1: "0/4000000", 2: "0/4000000"})
FORKED = (
    backup(1, "1F", 100, "0/3000000"),
    backup(1, "1F_2I", 200, "0/6000000"),
    backup(1, "3F", 300, "0/6000001"),
    backup(1, "4F", 400, "0/9000000"),
)


@pytest.mark.parametrize(
    ("course", "more", "given", "expected"),
    [
        (ONCE, (), {}, ["1F_2I"]),
        (ONCE, (), {"label": "3F"}, []),
        (ONCE, (backup(1, "5F", 500, "0/8000000", 2),), {}, ["5F", "1F_2I"]),
        (TWICE, (backup(1, "5F", 500, "0/8000000", 2),), {}, ["1F"]),
        # Of the old timeline, what ended behind the point too
        (timelines.Course(1), (backup(1, "5F", 500, "0/8000000", 2),), {}, ["4F", "3F"]),
        (timelines.Course(), (backup(1, "5F", 500, "0/8000000", 2),), {}, ["5F", "4F"]),
        (timelines.Course(9), (), {}, []),
        # Nobody knows what leads there: what is of that timeline itself comes first, and the others are tried
        (timelines.Course(2, trouble="gone"), (), {}, ["4F", "3F"]),
        (timelines.Course(2, trouble="gone"), (backup(1, "0F", 50, "0/8000000", 2),), {}, ["0F", "4F"]),
    ],
)
def test_only_sets_that_ended_before_their_timeline_was_left_are_tried(
    course: timelines.Course, more: tuple[Any, ...], given: dict[str, Any], expected: list[str]
) -> None:
    repositories = repository.parse(info(*FORKED, *more, codes=(0,)), "main")
    assert [b.label for b in targets.candidates(repositories, Target(), {7: course}, "17", **given)] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            info(codes=(99, 2), message="[FileError] gone"),
            "repository 1: [FileError] gone; repository 2 holds no backup",
        ),
        (info(backup(1, "1F", 86400), codes=(0,)), "no set that ends before time .*oldest ended 1970-01-02 00:00:00"),
    ],
)
def test_why_there_is_nothing(text: str, expected: str) -> None:
    repositories = repository.parse(text, "main")
    assert re.search(expected.replace("[", r"\["), targets.why_none(repositories, at(99), FREE, "17", "", 0))


@pytest.mark.parametrize(
    ("course", "says"),
    [
        (ONCE, "timeline 1 was left at 0/6000000 for timeline 2, set 3F ended at 0/6000001: it leads to timeline=1"),
        (timelines.Course(3, {2: "0/1"}), "timeline 1 was not on the way for timeline 3, set 3F ended at 0/6000001"),
    ],
)
def test_set_behind_the_point_that_was_gone_back_to_is_told(course: timelines.Course, says: str) -> None:
    repositories = repository.parse(info(*FORKED, codes=(0,)), "main")
    assert says in targets.why_none(repositories, Target(), {7: course}, "17", "3F", 0)


# The cluster was brought from 15 to 17, which began the chain 3F
UPGRADED = (
    backup(1, "1F", 100, database={"id": 1, "repo-key": 1}),
    backup(1, "3F", 300, database={"id": 2, "repo-key": 1}),
)


@pytest.mark.parametrize(
    ("version", "target", "expected", "why"),
    [
        ("17", Target(), ["3F"], ""),
        ("15", Target(), ["1F"], ""),
        ("17", at(200), [], 'set 1F is of PostgreSQL 15, whose data 17 cannot read: .* database_version: "15"'),
        ("16", Target(), [], "set 3F is of PostgreSQL 17"),
    ],
)
def test_sets_of_another_major_version_lead_nowhere(
    version: str, target: Target, expected: list[str], why: str
) -> None:
    repositories = repository.parse(info(*UPGRADED, codes=(0,), versions=("15", "17")), "main")
    courses = {7: timelines.Course(), 8: timelines.Course()}
    assert [b.label for b in targets.candidates(repositories, target, courses, version)] == expected
    if not expected:
        assert re.search(why, targets.why_none(repositories, target, courses, version, "", 0))


def test_a_second_copy_needs_room() -> None:
    assert targets.lack_of_space(1 << 30, 3 << 30, "/x") == ""
    assert "mode delta" in targets.lack_of_space(1 << 30, 2 << 30, "/x")


@pytest.mark.parametrize(
    ("target", "old", "says"),
    [
        (at(1000), {}, "10 s before the target"),
        (
            at(1000),
            {"lsn": "0/9", "clean": True, "time": 8200.0},
            "after the target, until the old cluster was shut down 7200 s",
        ),
        (Target("name", "x"), {}, "as was asked"),
        (Target(), {}, "not yet archived is not"),
        (Target(), {"lsn": "0/9", "clean": True, "time": 995.0}, "Nothing is lost"),
        (Target(), {"lsn": "0/3000028", "clean": True, "time": 995.0}, "Nothing is lost"),
        (Target(), {"lsn": "0/3000050", "clean": True, "time": 995.0}, "5 s later"),
        (Target(), {"lsn": "0/9", "clean": False, "time": 995.0}, "had crashed"),
    ],
)
def test_loss_is_told_to_the_second(target: Target, old: dict[str, Any], says: str) -> None:
    text = targets.lost(target, 990.0, "0/3000000", old)
    assert says in text
    assert "1970-01-01 00:16:30" in text
