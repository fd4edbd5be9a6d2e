"""Refusals of an upgrade, comparison of inventories, and description of a loss."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.postgresql import upgrade
from ansible_collections.vise.platform.plugins.module_utils.postgresql.upgrade import Facts

GIB = 1024**3
HEALTHY = Facts(data="primary", checksums=True, running=True, installable=True, needed=GIB, free=2 * GIB)


def test_healthy_cluster_is_not_refused() -> None:
    lags = {"second": upgrade.LAG_LIMIT}
    assert upgrade.find_refusals(dataclasses.replace(HEALTHY, queue=upgrade.QUEUE_LIMIT, lags=lags), "15", "17") == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": "standby"}, "is a standby: upgrade the primary"),
        ({"running": False}, "does not run"),
        ({"installable": False}, "apt has no package postgresql-17"),
        ({"checksums": False}, "pg_checksums --enable"),
        ({"free": GIB + upgrade.SPARE - 1}, "1536 MiB of disk are free, the copy needs 1536 MiB"),
        (
            {"elsewhere": {"/srv/ts": (GIB, GIB + upgrade.SPARE - 1)}},
            "1536 MiB are free on the disk of /srv/ts, the copy of its tablespaces needs 1536 MiB",
        ),
        ({"prepared": 2}, "2 prepared transactions"),
        ({"backups": 1}, "a base backup is running"),
        ({"archiver_fails": True}, "archiving fails"),
        ({"queue": 3}, "3 WAL segments wait"),
        ({"lags": {"second": upgrade.LAG_LIMIT + 1}}, "standby second is 17 MiB behind"),
        ({"absent": ("forgotten",)}, "slot forgotten is not in use"),
        ({"collations": ("edu",)}, "database edu was sorted by another version"),
    ],
)
def test_unhealthy_cluster_is_refused_with_the_reason(change: dict[str, Any], message: str) -> None:
    reasons = upgrade.find_refusals(dataclasses.replace(HEALTHY, **change), "15", "17")
    assert len(reasons) == 1
    assert message in reasons[0]


def test_all_reasons_are_reported_together() -> None:
    assert len(upgrade.find_refusals(dataclasses.replace(HEALTHY, prepared=1, backups=1), "15", "17")) == 2


@pytest.mark.parametrize("new", ["15", "9"])
def test_version_that_is_not_newer_is_refused(new: str) -> None:
    assert upgrade.find_refusals(HEALTHY, "15", new) == [f"{new} is not newer than 15, which this host has"]


def test_files_that_share_blocks_need_no_space_for_a_copy() -> None:
    assert upgrade.find_refusals(dataclasses.replace(HEALTHY, needed=0, free=upgrade.SPARE), "15", "17") == []


def test_inventories_are_compared_by_name() -> None:
    before = {"edu": {"table a": 1, "table b": 2}, "gone": {"table c": 3}}
    after = {"edu": {"table a": 1, "table b": 4, "table d": 5}}
    assert upgrade.find_differences(before, after) == [
        "edu: table b 2 -> 4",
        "edu: table d absent -> 5",
        "gone: table c 3 -> absent",
    ]
    assert upgrade.find_differences(before, before) == []


def test_only_rows_of_tables_are_counted() -> None:
    assert upgrade.count_rows({"edu": {"table a": 1, "sequence b": 100, "roles": 7}, "other": {"table a": 2}}) == 3


def test_loss_is_described_with_the_time_of_the_switch() -> None:
    assert upgrade.describe_loss(9, 7, ["edu: table a 1 -> 8"], 0, 90) == (
        "at least 7 rows in up to 9 transactions (maintenance included) that were written since 1970-01-01 00:00:00 "
        "UTC, 90 s ago, are not in the old cluster (edu: table a 1 -> 8)"
    )


def test_nothing_is_lost_without_writes() -> None:
    assert upgrade.describe_loss(0, 0, [], 0, 90) == ""


def test_transactions_are_a_loss_although_a_crash_has_reset_the_statistics() -> None:
    assert "up to 1 transactions" in upgrade.describe_loss(1, 0, [], 0, 90)


@pytest.mark.parametrize(("printed", "expected"), [("0:1234", 1234), ("2:5", 2**33 + 5)])
def test_transaction_number_includes_the_epoch(printed: str, expected: int) -> None:
    assert upgrade.parse_next_transaction({"Latest checkpoint's NextXID": printed}) == expected


def test_loss_of_an_unreachable_cluster_cannot_be_counted() -> None:
    assert "cannot be counted" in upgrade.describe_loss(0, None, [], 0, 90)
