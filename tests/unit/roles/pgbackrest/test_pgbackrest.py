"""The retention of the backups that the role configures."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import pytest

from tools import collection, templates

ROLE = collection.ROOT / "roles/pgbackrest"
CASES = templates.load_cases(ROLE, collection.ROOT)
NOW = datetime(2026, 3, 1, 2)


def option(name: str, days: int) -> list[str]:
    """Return an option's value for each repository, for a retention of daily backups in days."""
    files = templates.render_templates(ROLE, {**CASES["defaults"], "pgbackrest_daily_days": days})
    # The configurations of yearly backups use the same template, without retention
    (text,) = (text for name, text in files if name == "pgbackrest.conf.j2" and "-retention-diff=" in text)
    return re.findall(rf"^repo\d-{name}=(\w+)$", text, re.MULTILINE)


def kept(count: int, backups: list[datetime]) -> list[datetime]:
    """Return the backups that pgBackRest keeps: the newest ones, full and differential."""
    return sorted(backups, reverse=True)[:count]


@pytest.mark.parametrize("days", [1, 30])
@pytest.mark.parametrize("unscheduled", [0, 1, 7])
def test_daily_backups_and_wal_cover_the_retention_period(days: int, unscheduled: int) -> None:
    nightly = [NOW - timedelta(days=day) for day in range(2 * days + 2)]
    by_hand = [NOW - timedelta(minutes=30 + number) for number in range(unscheduled)]
    assert option("retention-archive-type", days) == ["diff", "diff"]
    assert len(option("retention-diff", days)) == len(option("retention-archive", days)) == 2
    for name in ("retention-diff", "retention-archive"):
        for count in option(name, days):
            assert min(kept(int(count), nightly + by_hand)) <= NOW - timedelta(days=days)
