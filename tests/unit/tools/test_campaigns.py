"""What campaigns choose and count; the faults themselves are theirs to inject."""

from __future__ import annotations

import pytest

from tools.campaigns import corruption, kills, lab

SET = "/x/pgbackrest/backup/main/20260301-013000F"
WAL = "/x/pgbackrest/archive/main/17-1/0000000100000000/0000000100000000000000{}-" + 40 * "a" + ".zst"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (f"{SET}/bundle/1", "set"),
        (f"{SET}/pg_data/base/1/1.zst", "set"),
        (f"{SET}/pg_data/tablespace_map.zst", ""),
        (f"{SET}/backup.manifest", ""),
        (f"{SET.replace('0301', '0201')}/bundle/1", ""),
        (WAL.format("05"), "WAL"),
        (WAL.format("02"), ""),
        (WAL.format("09"), ""),
    ],
)
def test_only_what_the_newest_set_needs_is_damaged(path: str, kind: str) -> None:
    needs = ("20260301-013000F", "000000010000000000000003", "000000010000000000000009")
    assert corruption.pgbackrest_kind(path, *needs) == kind


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("data/ab/abcd", "pack"),
        ("index/1", "index"),
        ("snapshots/new", "snapshot"),
        ("snapshots/old", ""),
        ("locks/1", ""),
    ],
)
def test_only_what_the_newest_snapshots_need_is_damaged(path: str, kind: str) -> None:
    assert corruption.restic_kind(f"/x/restic/{path}", ["new"]) == kind


def test_damages_take_turns_and_follow_the_seed() -> None:
    objects = [("restic", kind, f"/{kind}/{n}") for kind in ("pack", "index") for n in range(9)]
    found = corruption.chosen(objects, 12, seed=5)
    assert found == corruption.chosen(objects, 12, seed=5) != corruption.chosen(objects, 12, seed=6)
    assert len({(one.kind, one.how) for one in found}) == 6


def test_table_counts_tries_and_what_was_missed() -> None:
    tries = [(("restic", "pack"), True), (("restic", "pack"), False), (("restic", "index"), True)]
    rows = lab.counted(tries)
    assert rows == [["restic", "index", 1, 1], ["restic", "pack", 2, 1], ["all", "", 3, 2]]
    text = lab.table(lab.Result("corruption", 7, ("tool", "object", "tried", "detected"), rows, ["not detected: x"]))
    assert "| restic | pack | 2 | 1 |" in text
    assert "- not detected: x" in text


@pytest.mark.parametrize(
    ("milliseconds", "acknowledged", "lost", "failures"),
    [
        ([900, 2100, 1500], 1000, 0, []),
        ([900], 10, 1, ["1 acknowledged rows are lost"]),
        ([], 10, 0, ["nothing was killed"]),
        ([900], 0, 0, ["nobody wrote"]),
    ],
)
def test_kills_count_when_something_was_killed_and_written(
    milliseconds: list[int], acknowledged: int, lost: int, failures: list[str]
) -> None:
    assert list(kills.result(milliseconds, acknowledged, lost, 1).failures) == failures


def test_kills_tell_how_long_nobody_could_write() -> None:
    assert list(kills.result([900, 2100, 1500], 1000, 0, 1).rows) == [[3, "1.5", "2.1", 1000, 0]]
