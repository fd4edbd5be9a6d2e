"""Rules of each phase, as one list."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.modules import cloudflare_zone

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


def manage(
    capsys: Any, double: Double, wanted: list[dict[str, Any]], phase: str = CUSTOM, **options: Any
) -> dict[str, Any]:
    return run(cloudflare_zone, capsys, double, zone="example.test", rules={phase: wanted}, **options)


@pytest.mark.parametrize(("phase", "rule"), EACH)
def test_rules_of_each_phase_are_written_once(capsys: Any, double: Double, phase: str, rule: dict[str, Any]) -> None:
    wanted = [{"expression": "true", **rule}]
    assert manage(capsys, double, wanted, phase=phase)["changed"]
    double.log.clear()
    assert not manage(capsys, double, wanted, phase=phase)["changed"]
    assert (len(double.log), double.writes()) == (2, [])


def test_complete_list_is_replaced_in_its_order(capsys: Any, double: Double) -> None:
    manage(capsys, double, [BLOCK, LOG])
    result = manage(capsys, double, [LOG, BLOCK], _ansible_diff=True)
    assert result["changed"]
    (diff,) = result["diff"]
    assert [rule["action"] for rule in diff["before"]["rules"]] == ["block", "log"]
    assert [rule["action"] for rule in diff["after"]["rules"]] == ["log", "block"]
    result = manage(capsys, double, [])
    assert "  - log (off): no description [ip.src eq 192.0.2.1]" in result["plan"]
    assert double.zones.state["example.test"]["rulesets"][CUSTOM]["rules"] == []


def test_empty_list_for_a_phase_without_rules_is_not_a_change(capsys: Any, double: Double) -> None:
    assert not manage(capsys, double, [])["changed"]
    assert double.writes() == []


def test_check_mode_changes_nothing(capsys: Any, double: Double) -> None:
    assert manage(capsys, double, [BLOCK], _ansible_check_mode=True)["changed"]
    assert double.zones.state["example.test"]["rulesets"] == {}


def test_invalid_rule_is_named_before_anything_is_sent(capsys: Any, double: Double) -> None:
    result = manage(capsys, double, [BLOCK, {"description": "Half", "action": "block"}, {**LOG, "id": "x"}])
    assert "http_request_firewall_custom: rule 2 (Half): expression is missing" in result["msg"]
    assert "rule 3: remove id; only Cloudflare sets this field" in result["msg"]
    assert double.log == []


def test_refusal_of_the_api_is_reported_with_its_phase(capsys: Any, double: Double) -> None:
    result = manage(capsys, double, [{**BLOCK, "action": "redirect"}])
    assert f"example.test: rules of {CUSTOM}: Cloudflare: rule 0: action redirect is not allowed" in result["msg"]


def test_missing_permission_is_named(capsys: Any, double: Double) -> None:
    result = manage(capsys, double, [BLOCK], token=double.grant("Zone WAF Read"))
    assert "the token lacks Zone / Zone WAF / Edit" in result["msg"]
    assert double.zones.state["example.test"]["rulesets"] == {}


@pytest.mark.parametrize("position", range(1, 5))
@FAULTS
def test_run_converges_after_a_fault_at_any_call(
    capsys: Any, double: Double, monkeypatch: pytest.MonkeyPatch, mode: str, position: int
) -> None:
    clock = faulty(monkeypatch, double, f"{mode}@{position}")
    assert manage(capsys, double, [BLOCK, LOG])["changed"]
    assert (len(double.log), clock) == (5, [1.0])
    assert double.log[position - 1].endswith(mode)
    double.fail("none")
    assert not manage(capsys, double, [BLOCK, LOG])["changed"]
