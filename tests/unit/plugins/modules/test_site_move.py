"""The part of a host in a move: which record it has after each state."""

from __future__ import annotations

import pytest
from ansible_collections.vise.platform.plugins.modules import site_move

RECORD = {"lifetime": 300, "until": 1300}


@pytest.mark.parametrize(
    ("state", "record", "expected"),
    [
        ("queried", RECORD, RECORD),
        ("recorded", {}, {"lifetime": 60}),
        ("switched", {"lifetime": 300}, RECORD),
        ("current", RECORD, {}),
        ("ended", RECORD, {}),
    ],
)
def test_record_follows_from_the_state(state: str, record: dict[str, int], expected: dict[str, int]) -> None:
    assert site_move.wanted_record({"state": state, "lifetime": 60}, record, 1000) == expected
