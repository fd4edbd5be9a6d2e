"""No scenario holds a line that cannot fail; what is asked is in tools/scenarios.py."""

from __future__ import annotations

from tools import collection, scenarios, tiers


def test_what_must_not_succeed_fails_the_scenario_when_it_does() -> None:
    assert scenarios.negations(collection.ROOT) == []


def test_every_scenario_and_every_deep_test_belongs_to_a_tier() -> None:
    assert tiers.complaints(collection.ROOT) == []
