"""Rules of a phase as one list."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.cloudflare import rules
from ansible_collections.vise.platform.plugins.modules import cloudflare_ruleset

from tests.unit.plugins.cloudflare import FAULTS, Double, faulty, run, running

BLOCK: dict[str, Any] = {"description": "Probes", "expression": 'http.request.uri.path eq "/.env"', "action": "block"}
LOG: dict[str, Any] = {"expression": "ip.src eq 192.0.2.1", "action": "log", "enabled": False}
CUSTOM = "http_request_firewall_custom"
EACH: list[tuple[str, dict[str, Any]]] = [
    ("http_request_firewall_managed", {"action": "execute", "action_parameters": {"id": "efb7b8c949ac4650"}}),
    (CUSTOM, {"action": "block"}),
    (
        "http_ratelimit",
        {"action": "block", "ratelimit": {"characteristics": ["ip.src"], "period": 10, "requests_per_period": 5}},
    ),
    ("http_request_cache_settings", {"action": "set_cache_settings", "action_parameters": {"cache": False}}),
    (
        "http_request_dynamic_redirect",
        {"action": "redirect", "action_parameters": {"from_value": {"target_url": {"value": "https://b.test/"}}}},
    ),
]


@pytest.fixture
def double() -> Iterator[Double]:
    with running() as one:
        yield one


def keep(capsys: Any, double: Double, wanted: list[dict[str, Any]], **options: Any) -> dict[str, Any]:
    return run(
        cloudflare_ruleset, capsys, double, **{"zone": "example.test", "phase": CUSTOM, "rules": wanted, **options}
    )


@pytest.mark.parametrize(("phase", "rule"), EACH)
def test_rules_of_each_phase_are_written_and_then_left_alone(
    capsys: Any, double: Double, phase: str, rule: dict[str, Any]
) -> None:
    wanted = [{"expression": "true", **rule}]
    assert keep(capsys, double, wanted, phase=phase)["changed"]
    double.log.clear()
    assert not keep(capsys, double, wanted, phase=phase)["changed"]
    assert (len(double.log), double.writes()) == (2, [])


def test_list_is_replaced_as_a_whole_in_its_order(capsys: Any, double: Double) -> None:
    keep(capsys, double, [BLOCK, LOG])
    told = keep(capsys, double, [LOG, BLOCK], _ansible_diff=True)
    assert told["changed"]
    assert [rule["action"] for rule in told["diff"]["before"]["rules"]] == ["block", "log"]
    assert [rule["action"] for rule in told["diff"]["after"]["rules"]] == ["log", "block"]
    assert told["rules"][0] == "log (off): no description [ip.src eq 192.0.2.1]"
    keep(capsys, double, [])
    assert double.zones.state["example.test"]["rulesets"][CUSTOM]["rules"] == []


def test_empty_list_for_a_phase_without_rules_is_no_change(capsys: Any, double: Double) -> None:
    assert not keep(capsys, double, [])["changed"]
    assert double.writes() == []


def test_check_mode_changes_nothing(capsys: Any, double: Double) -> None:
    assert keep(capsys, double, [BLOCK], _ansible_check_mode=True)["changed"]
    assert double.writes() == []


def test_rule_that_is_not_possible_is_named_before_anything_is_sent(capsys: Any, double: Double) -> None:
    told = keep(capsys, double, [BLOCK, {"description": "Half", "action": "block"}, {**LOG, "id": "x"}])
    assert "rule 2 (Half): it has no expression" in told["msg"]
    assert "rule 3: id is the server's to give" in told["msg"]
    assert double.log == []


def test_refusal_of_the_api_is_told(capsys: Any, double: Double) -> None:
    told = keep(capsys, double, [{**BLOCK, "action": "redirect"}])
    assert "rule 0: action redirect is not allowed in phase http_request_firewall_custom" in told["msg"]


def test_missing_permission_is_named(capsys: Any, double: Double) -> None:
    told = keep(capsys, double, [BLOCK], token=double.grant("Zone WAF Read"))
    assert "lacks the permission Zone / Zone WAF / Edit" in told["msg"]


@pytest.mark.parametrize(
    ("found", "wanted", "same"),
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
        ({"ratelimit": {"period": 10, "mitigation_timeout": 0}}, {"ratelimit": {"period": 10}}, False),
        ({"ratelimit": {"period": 10, "requests_to_origin": False}}, {"ratelimit": {"period": 10}}, True),
        ({"action_parameters": {"cache": True}}, {}, False),
        ({"logging": {"enabled": True}}, {}, True),
        ({"enabled": False}, {}, False),
        ({"ref": "generated"}, {"ref": "ours"}, False),
        ({}, {"description": "new"}, False),
    ],
)
def test_what_the_server_fills_in_is_no_difference(found: dict[str, Any], wanted: dict[str, Any], same: bool) -> None:
    base = {"expression": "true", "action": "block"}
    server = {**base, "id": "1", "version": "2", "last_updated": "today", "ref": "1", **found}
    assert rules.same([server], [{**base, **wanted}]) is same


@pytest.mark.parametrize("position", range(1, 4))
@FAULTS
def test_fault_at_any_call_is_made_up_for(
    capsys: Any, double: Double, monkeypatch: pytest.MonkeyPatch, mode: str, position: int
) -> None:
    clock = faulty(monkeypatch, double, f"{mode}@{position}")
    assert keep(capsys, double, [BLOCK, LOG])["changed"]
    assert (len(double.log), clock) == (4, [1.0])
    assert double.log[position - 1].endswith(mode)
    double.fail("none")
    assert not keep(capsys, double, [BLOCK, LOG])["changed"]
