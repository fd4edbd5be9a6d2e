from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.pgbackrest import repository, targets
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
        (Target(), ["--type=standby"]),
        (Target("immediate"), ["--type=immediate", "--target-action=pause"]),
        (
            Target("time", "2026-03-01 13:00:00.5+01:00"),
            ["--type=time", "--target=2026-03-01 12:00:00.500000+00", "--target-action=pause"],
        ),
        (Target("name", "before it"), ["--type=name", "--target=before it", "--target-action=pause"]),
    ],
)
def test_nothing_promotes_by_itself(target: Target, arguments: list[str]) -> None:
    assert target.arguments() == arguments


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
    assert [b.label for b in targets.candidates(repositories, target, **given)] == expected


def test_set_with_damaged_pages_comes_last() -> None:
    repositories = repository.parse(info(backup(1, "1F", 100), backup(1, "2F", 200, error=True)), "main")
    assert [b.label for b in targets.candidates(repositories, Target())] == ["1F", "2F"]


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
    assert re.search(expected.replace("[", r"\["), targets.why_none(repositories, at(99), "", 0))


def test_a_second_copy_needs_room() -> None:
    assert targets.lack_of_space(1 << 30, 3 << 30, "/x") == ""
    assert "mode delta" in targets.lack_of_space(1 << 30, 2 << 30, "/x")


@pytest.mark.parametrize(
    ("target", "old", "says"),
    [
        (at(1000), {}, "10 s before the target"),
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
