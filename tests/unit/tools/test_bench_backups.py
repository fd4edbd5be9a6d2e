from __future__ import annotations

import pytest

from tools.bench import backups
from tools.campaigns import lab


@pytest.mark.parametrize(
    ("platform", "bare", "expected"),
    [
        (10.0, 9.5, "  x: 10.0 s, bare tool 9.5 s, ratio 0.95"),
        (10.0, 5.0, "  x: 10.0 s, bare tool 5.0 s, ratio 0.50, below the goal of 0.9"),
        (5.0, 10.0, "  x: 5.0 s, bare tool 10.0 s, ratio 2.00"),
    ],
)
def test_ratio_is_the_speed_in_relation_to_the_bare_tool(platform: float, bare: float, expected: str) -> None:
    assert backups.format_row("x", platform, bare) == expected


def test_each_pair_is_prepared_and_runs_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def take(command: str) -> float:
        done.append(command)
        return 2.0

    monkeypatch.setattr(lab, "run_or_raise", lambda _host, command: done.append(command))
    monkeypatch.setattr(backups, "take_seconds", take)
    assert backups.measure(backups.Pair("x", "ours", "bare", "before")) == (2.0, 2.0)
    assert [done.count(word) for word in ("ours", "bare", "before")] == [3, 3, 6]
    assert done[1] != done[5]
    assert set(done[::2]) == {"before"}


def test_restore_that_fails_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab, "restore_database", lambda: "no set")
    with pytest.raises(lab.CampaignError, match="no set"):
        backups.take_seconds("")
