from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.pgbackrest import repository, targets, timelines
from ansible_collections.vise.platform.plugins.module_utils.pgbackrest.targets import RestoreError, Target

from .samples import backup, info

NOW = 1_800_000_000.0
NOON = "2026-03-01 12:00:00+00:00"


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("later", "", "is unknown"),
        ("time", "", "needs a value"),
        ("latest", "x", "takes no value"),
        ("time", "yesterday", "is not a time"),
        ("time", "2026-03-01 12:00:00", "has no time zone"),
        ("time", "2099-03-01 12:00:00+00:00", "is in the future"),
        ("lsn", "12", "is not an LSN"),
        ("name", "it's", "cannot be the name"),
    ],
)
def test_invalid_targets_are_refused(kind: str, value: str, message: str) -> None:
    with pytest.raises(RestoreError, match=message):
        targets.parse_target(kind, value, NOW)


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
def test_recovery_never_promotes_by_itself(target: Target, arguments: list[str]) -> None:
    assert target.arguments("2") == arguments


@pytest.mark.parametrize(
    ("text", "kind", "number"),
    [("", "latest", None), ("latest", "time", None), ("current", "lsn", 0), ("3", "latest", 3), ("0x1A", "name", 26)],
)
def test_timeline_is_parsed_from_a_word_or_a_number(text: str, kind: str, number: int | None) -> None:
    assert targets.parse_timeline(text, kind) == number


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("0", "latest", "is not a timeline"),
        ("newest", "latest", "is not a timeline"),
        ("3", "immediate", "takes no timeline"),
    ],
)
def test_invalid_timelines_are_refused(text: str, kind: str, message: str) -> None:
    with pytest.raises(RestoreError, match=message):
        targets.parse_timeline(text, kind)


FREE = {7: timelines.TimelinePath()}
BACKUPS = (
    backup(1, "1F", 100),
    backup(1, "1F_2D", 200, "0/5000000"),
    backup(1, "3F", 300, "0/7000000"),
    backup(2, "4F", 310, "0/8000000"),
)


def at(seconds: int) -> Target:
    return Target("time", targets.format_time(seconds))


@pytest.mark.parametrize(
    ("target", "given", "expected"),
    [
        (Target(), {}, ["3F", "4F", "1F_2D"]),
        (at(305), {}, ["3F", "1F_2D"]),
        (at(200), {}, ["1F_2D", "1F"]),
        (at(199), {}, ["1F"]),
        # The damage may be in what the newest set added to the full backup of its chain.
        (at(250), {}, ["1F_2D", "1F"]),
        (at(99), {}, []),
        (Target("lsn", "0/7000000"), {}, ["3F", "1F_2D"]),
        (Target(), {"label": "1F"}, ["1F"]),
        (Target(), {"number": 2}, ["4F"]),
    ],
)
def test_candidates_lead_to_the_target(target: Target, given: dict[str, Any], expected: list[str]) -> None:
    repositories = repository.parse_info(info(*BACKUPS), "main")
    assert [b.label for b in targets.list_candidates(repositories, target, FREE, "17", **given)] == expected


HOUR = 3600


@pytest.mark.parametrize(
    ("target", "ends", "same", "older"),
    [
        # WAL leads each set to the same state.
        (Target(), (0, 200 * HOUR), ["1F", "2F"], []),
        (Target("immediate"), (0, 200 * HOUR), ["2F"], ["1F"]),
        # A job that backs up to both repositories.
        (Target("immediate"), (200 * HOUR, 195 * HOUR), ["1F", "2F"], []),
        (Target("immediate"), (200 * HOUR, 180 * HOUR), ["1F"], ["2F"]),
    ],
)
def test_only_an_immediate_target_distinguishes_older_sets(
    target: Target, ends: tuple[int, int], same: list[str], older: list[str]
) -> None:
    sets = [backup(number, f"{number}F", end) for number, end in enumerate(ends, start=1)]
    repositories = repository.parse_info(info(*sets), "main")
    found = targets.split_older(targets.list_candidates(repositories, target, FREE, "17"), target)
    assert [[b.label for b in group] for group in found] == [same, older]


@pytest.mark.parametrize(("kind", "loses"), [("latest", False), ("immediate", True)])
def test_sets_that_were_not_tried_are_named_with_their_command(kind: str, loses: bool) -> None:
    sets = [b for repo in repository.parse_info(info(*BACKUPS), "main") for b in repo.backups]
    text = targets.describe_others(sets, sets[2:], kind)
    assert "Not tried: set 1F_2D of repository 1, which ended at 1970-01-01 00:03:20+00:00; set 1F of" in text
    assert "-e restore_backup_label=1F_2D -e restore_repository=1" in text
    assert ("are then lost" in text) is loses
    assert targets.describe_others(sets, sets, kind) == ""


def test_set_with_damaged_pages_comes_last() -> None:
    repositories = repository.parse_info(info(backup(1, "1F", 100), backup(1, "2F", 200, error=True)), "main")
    assert [b.label for b in targets.list_candidates(repositories, Target(), FREE, "17")] == ["1F", "2F"]


# Timeline 1 was left twice: at 0/6000000 for timeline 2, then at a lower LSN for timeline 3
ONCE = timelines.TimelinePath(2, {1: "0/6000000"})
TWICE = timelines.TimelinePath(3, {1: "0/4000000", 2: "0/4000000"})
FORKED = (
    backup(1, "1F", 100, "0/3000000"),
    backup(1, "1F_2I", 200, "0/6000000"),
    backup(1, "3F", 300, "0/6000001"),
    backup(1, "4F", 400, "0/9000000"),
)


@pytest.mark.parametrize(
    ("path", "more", "given", "expected"),
    [
        (ONCE, (), {}, ["1F_2I", "1F"]),
        (ONCE, (), {"label": "3F"}, []),
        (ONCE, (backup(1, "5F", 500, "0/8000000", 2),), {}, ["5F", "1F_2I"]),
        (TWICE, (backup(1, "5F", 500, "0/8000000", 2),), {}, ["1F"]),
        # On the old timeline, also sets that ended after it was left
        (timelines.TimelinePath(1), (backup(1, "5F", 500, "0/8000000", 2),), {}, ["4F", "3F"]),
        (timelines.TimelinePath(), (backup(1, "5F", 500, "0/8000000", 2),), {}, ["5F", "4F"]),
        (timelines.TimelinePath(9), (), {}, []),
        # The history is unknown: sets of the timeline itself come first, then others are tried
        (timelines.TimelinePath(2, error="gone"), (), {}, ["4F", "3F"]),
        (timelines.TimelinePath(2, error="gone"), (backup(1, "0F", 50, "0/8000000", 2),), {}, ["0F", "4F"]),
    ],
)
def test_sets_that_ended_after_their_timeline_was_left_are_not_tried(
    path: timelines.TimelinePath, more: tuple[Any, ...], given: dict[str, Any], expected: list[str]
) -> None:
    repositories = repository.parse_info(info(*FORKED, *more, codes=(0,)), "main")
    assert [b.label for b in targets.list_candidates(repositories, Target(), {7: path}, "17", **given)] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            info(codes=(99, 2), message="[FileError] gone"),
            "repository 1: [FileError] gone; repository 2 has no backup",
        ),
        (
            info(backup(1, "1F", 86400), codes=(0,)),
            "no set that ends before time .*oldest set ended at 1970-01-02 00:00:00",
        ),
    ],
)
def test_missing_candidates_are_explained(text: str, expected: str) -> None:
    repositories = repository.parse_info(text, "main")
    assert re.search(
        expected.replace("[", r"\["), targets.explain_no_candidate(repositories, at(99), FREE, "17", "", 0)
    )


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            ONCE,
            "timeline 1 was left at 0/6000000 for timeline 2, set 3F ended at 0/6000001: use timeline=1 for this set",
        ),
        (
            timelines.TimelinePath(3, {2: "0/1"}),
            "timeline 1 is not an ancestor of timeline 3, set 3F ended at 0/6000001",
        ),
    ],
)
def test_set_on_another_timeline_is_explained(path: timelines.TimelinePath, message: str) -> None:
    repositories = repository.parse_info(info(*FORKED, codes=(0,)), "main")
    assert message in targets.explain_no_candidate(repositories, Target(), {7: path}, "17", "3F", 0)


# The cluster was upgraded from 15 to 17, which started the chain 3F
UPGRADED = (
    backup(1, "1F", 100, database={"id": 1, "repo-key": 1}),
    backup(1, "3F", 300, database={"id": 2, "repo-key": 1}),
)


@pytest.mark.parametrize(
    ("version", "target", "expected", "message"),
    [
        ("17", Target(), ["3F"], ""),
        ("15", Target(), ["1F"], ""),
        ("17", at(200), [], 'set 1F is of PostgreSQL 15, whose data 17 cannot read: .* database_version: "15"'),
        ("16", Target(), [], "set 3F is of PostgreSQL 17"),
    ],
)
def test_sets_of_another_major_version_are_excluded(
    version: str, target: Target, expected: list[str], message: str
) -> None:
    repositories = repository.parse_info(info(*UPGRADED, codes=(0,), versions=("15", "17")), "main")
    paths = {7: timelines.TimelinePath(), 8: timelines.TimelinePath()}
    assert [b.label for b in targets.list_candidates(repositories, target, paths, version)] == expected
    if not expected:
        assert re.search(message, targets.explain_no_candidate(repositories, target, paths, version, "", 0))


def test_second_copy_needs_free_space() -> None:
    assert targets.describe_missing_space(1 << 30, 3 << 30, "/x") == ""
    assert "mode delta" in targets.describe_missing_space(1 << 30, 2 << 30, "/x")


@pytest.mark.parametrize(
    ("target", "old", "message"),
    [
        (at(1000), {}, "10 s before the target"),
        (
            at(1000),
            {"lsn": "0/9", "clean": True, "time": 8200.0},
            "after the target, until the old cluster was shut down 7200 s",
        ),
        (Target("name", "x"), {}, "as requested"),
        (Target(), {}, "had not archived is lost"),
        (Target(), {"lsn": "0/9", "clean": True, "time": 995.0}, "Nothing is lost"),
        (Target(), {"lsn": "0/3000028", "clean": True, "time": 995.0}, "Nothing is lost"),
        (Target(), {"lsn": "0/3000050", "clean": True, "time": 995.0}, "5 s later"),
        (Target(), {"lsn": "0/9", "clean": False, "time": 995.0}, "had crashed"),
    ],
)
def test_loss_is_described_to_the_second(target: Target, old: dict[str, Any], message: str) -> None:
    text = targets.describe_loss(target, 990.0, "0/3000000", old)
    assert message in text
    assert "1970-01-01 00:16:30" in text
