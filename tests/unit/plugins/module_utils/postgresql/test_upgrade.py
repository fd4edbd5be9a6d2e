"""What an upgrade refuses, compares, and says is lost."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.postgresql import upgrade
from ansible_collections.vise.platform.plugins.module_utils.postgresql.upgrade import Facts

GIB = 1024**3
WELL = Facts(data="primary", checksums=True, running=True, installable=True, needed=GIB, free=2 * GIB)


def test_what_is_well_is_not_refused() -> None:
    lags = {"second": upgrade.LAG_LIMIT}
    assert upgrade.refusals(dataclasses.replace(WELL, queue=upgrade.QUEUE_LIMIT, lags=lags), "15", "17") == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"data": "standby"}, "is standby: the primary is upgraded"),
        ({"running": False}, "does not run"),
        ({"installable": False}, "no package postgresql-17"),
        ({"checksums": False}, "pg_checksums --enable"),
        ({"free": GIB + upgrade.SPARE - 1}, "1536 MiB left; the copy needs 1536 MiB"),
        ({"prepared": 2}, "2 prepared transactions"),
        ({"backups": 1}, "a base backup is under way"),
        ({"archiver_fails": True}, "archiving fails"),
        ({"queue": 3}, "3 segments of WAL wait"),
        ({"lags": {"second": upgrade.LAG_LIMIT + 1}}, "standby second is 17 MiB behind"),
        ({"absent": ("forgotten",)}, "slot forgotten is not in use"),
        ({"collations": ("edu",)}, "database edu was sorted by another version"),
    ],
)
def test_what_cannot_go_well_is_refused(change: dict[str, Any], says: str) -> None:
    reasons = upgrade.refusals(dataclasses.replace(WELL, **change), "15", "17")
    assert len(reasons) == 1
    assert says in reasons[0]


def test_all_reasons_are_told_at_once() -> None:
    assert len(upgrade.refusals(dataclasses.replace(WELL, prepared=1, backups=1), "15", "17")) == 2


@pytest.mark.parametrize("new", ["15", "9"])
def test_version_that_is_no_newer_is_refused(new: str) -> None:
    assert upgrade.refusals(WELL, "15", new) == [f"{new} is no newer than 15, which this host has"]


def test_files_that_share_blocks_need_no_room_for_a_copy() -> None:
    assert upgrade.refusals(dataclasses.replace(WELL, needed=0, free=upgrade.SPARE), "15", "17") == []


def test_inventories_are_compared_by_name() -> None:
    before = {"edu": {"table a": 1, "table b": 2}, "gone": {"table c": 3}}
    after = {"edu": {"table a": 1, "table b": 4, "table d": 5}}
    assert upgrade.differences(before, after) == [
        "edu: table b 2 -> 4",
        "edu: table d absent -> 5",
        "gone: table c 3 -> absent",
    ]
    assert upgrade.differences(before, before) == []


def test_rows_are_those_of_tables() -> None:
    assert upgrade.rows({"edu": {"table a": 1, "sequence b": 100, "roles": 7}, "other": {"table a": 2}}) == 3


def test_loss_is_said_with_the_moment_of_the_switch() -> None:
    assert upgrade.loss(9, 7, ["edu: table a 1 -> 8"], 0, 90) == (
        "at least 7 rows in up to 9 transactions, upkeep included, that were written since 1970-01-01 00:00:00 UTC, "
        "90 s ago, are not in the old cluster (edu: table a 1 -> 8)"
    )


def test_nothing_is_lost_when_nothing_was_written() -> None:
    assert upgrade.loss(0, 0, [], 0, 90) == ""


def test_rows_are_missed_although_a_crash_has_emptied_the_statistics_and_nobody_has_counted_rows() -> None:
    assert "up to 1 transactions" in upgrade.loss(1, 0, [], 0, 90)


@pytest.mark.parametrize(("printed", "expected"), [("0:1234", 1234), ("2:5", 2**33 + 5)])
def test_transactions_are_numbered_on_when_their_short_numbers_begin_anew(printed: str, expected: int) -> None:
    assert upgrade.transaction({"Latest checkpoint's NextXID": printed}) == expected


def test_loss_of_a_cluster_that_does_not_answer_cannot_be_counted() -> None:
    assert "cannot be counted" in upgrade.loss(0, None, [], 0, 90)
