"""Rules for all modules and plugins."""

from __future__ import annotations

from tools import collection, modules


def test_each_service_has_an_action_group_that_a_playbook_uses() -> None:
    assert modules.action_groups(collection.ROOT) == []


def test_every_plugin_has_a_unit_test() -> None:
    assert modules.unit_tests(collection.ROOT) == []
