"""What a campaign of kills reports."""

from __future__ import annotations

import pytest

from tools.kill_campaign import Campaign


def test_report_has_the_counts_and_times() -> None:
    report = Campaign([900, 2100, 1500], acknowledged=1000, lost=0).report()
    assert report == "3 kills, back after 1.5 s (median), 2.1 s at most; 1000 rows acknowledged, 0 lost"


@pytest.mark.parametrize(
    ("campaign", "passed"),
    [
        (Campaign([900], 10, 0), True),
        (Campaign([900], 10, 1), False),
        # Nothing was tried, or nobody wrote.
        (Campaign([], 10, 0), False),
        (Campaign([900], 0, 0), False),
    ],
)
def test_campaign_passes_when_something_was_tried_and_nothing_lost(campaign: Campaign, passed: bool) -> None:
    assert campaign.passed() is passed
