"""Rules of a phase are compared with the wanted list."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.cloudflare import rules

BLOCK: dict[str, Any] = {"description": "Probes", "expression": "true", "action": "block"}
LOG: dict[str, Any] = {"expression": "ip.src eq 192.0.2.1", "action": "log"}


@pytest.mark.parametrize(
    ("current", "wanted", "same"),
    [
        (
            {"action_parameters": {"cache": True, "origin_cache_control": True}},
            {"action_parameters": {"cache": True}},
            True,
        ),
        ({"action_parameters": {"cache": False}}, {"action_parameters": {"cache": True}}, False),
        ({"action_parameters": {"id": "a", "version": "latest"}}, {"action_parameters": {"id": "a"}}, True),
        (
            {"action_parameters": {"id": "a", "overrides": {"enabled": False}}},
            {"action_parameters": {"id": "a"}},
            False,
        ),
        (
            {"action_parameters": {"overrides": {"action": "log", "enabled": False}}},
            {"action_parameters": {"overrides": {"action": "log"}}},
            False,
        ),
        ({"action_parameters": {"id": "a", "overrides": {}}}, {"action_parameters": {"id": "a"}}, True),
        ({"action_parameters": {"edge_ttl": 1, "cache": False}}, {"action_parameters": {"edge_ttl": 1}}, False),
        ({"ratelimit": {"period": 10, "requests_to_origin": True}}, {"ratelimit": {"period": 10}}, False),
        ({"ratelimit": {"period": 10, "mitigation_timeout": 0}}, {"ratelimit": {"period": 10}}, True),
        ({"ratelimit": {"period": 10, "mitigation_timeout": 60}}, {"ratelimit": {"period": 10}}, False),
        ({"ratelimit": {"period": 10, "requests_to_origin": False}}, {"ratelimit": {"period": 10}}, True),
        ({"action_parameters": {"cache": True}}, {}, False),
        ({"logging": {"enabled": True}}, {}, True),
        ({"enabled": False}, {}, False),
        ({"ref": "generated"}, {"ref": "ours"}, False),
        ({}, {"description": "new"}, False),
    ],
)
def test_defaults_of_the_server_are_not_a_difference(
    current: dict[str, Any], wanted: dict[str, Any], same: bool
) -> None:
    base = {"expression": "true", "action": "block"}
    server = {**base, "id": "1", "version": "2", "last_updated": "today", "ref": "1", **current}
    assert rules.same([server], [{**base, **wanted}]) is same


@pytest.mark.parametrize(
    ("current", "wanted", "lines"),
    [
        ([], [BLOCK], ["~ rules of phase: 0 -> 1", "  + block: Probes [true]"]),
        (
            [BLOCK, LOG],
            [LOG],
            ["~ rules of phase: 2 -> 1", "  - block: Probes [true]"],
        ),
        ([BLOCK, LOG], [LOG, BLOCK], ["~ rules of phase: 2 -> 2"]),
    ],
    ids=["added", "removed", "other order"],
)
def test_change_of_a_phase_names_each_rule_that_is_added_or_removed(
    current: list[dict[str, Any]], wanted: list[dict[str, Any]], lines: list[str]
) -> None:
    assert rules.describe_change("phase", current, wanted) == lines
