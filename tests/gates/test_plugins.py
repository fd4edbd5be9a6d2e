"""Every module and plugin has what a user and a maintainer rely on."""

from __future__ import annotations

from tools import collection, modules


def test_action_group_holds_every_module() -> None:
    assert modules.action_group(collection.ROOT) == []


def test_every_plugin_has_a_unit_test() -> None:
    assert modules.unit_tests(collection.ROOT) == []
