"""Rules of each phase, as one list."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.modules import cloudflare_zone
from kit.cloudflare import entitlements

from tests.unit.plugins.cloudflare import FAULTS, Double, faulty, run, running

BLOCK: dict[str, Any] = {"description": "Probes", "expression": 'http.request.uri.path eq "/.env"', "action": "block"}
CHALLENGE: dict[str, Any] = {"expression": "ip.src eq 192.0.2.1", "action": "managed_challenge", "enabled": False}
CUSTOM, MANAGED, RATE = "http_request_firewall_custom", "http_request_firewall_managed", "http_ratelimit"
REDIRECT, CACHE = "http_request_dynamic_redirect", "http_request_cache_settings"
FREE_RULESET, PAID_RULESET = "77454fe2d30c4220b5701f6fdfb893ba", "efb7b8c949ac4650a09736fc376e9aee"
COUNTER: dict[str, Any] = {
    "characteristics": ["cf.colo.id", "ip.src"],
    "period": 10,
    "requests_per_period": 5,
    "mitigation_timeout": 10,
}
EACH: list[tuple[str, dict[str, Any]]] = [
    (MANAGED, {"action": "execute", "action_parameters": {"id": FREE_RULESET}}),
    (CUSTOM, {"action": "block"}),
    (
        "http_ratelimit",
        {"action": "block", "ratelimit": COUNTER},
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
    manage(capsys, double, [BLOCK, CHALLENGE])
    result = manage(capsys, double, [CHALLENGE, BLOCK], _ansible_diff=True)
    assert result["changed"]
    (diff,) = result["diff"]
    assert [rule["action"] for rule in diff["before"]["rules"]] == ["block", "managed_challenge"]
    assert [rule["action"] for rule in diff["after"]["rules"]] == ["managed_challenge", "block"]
    result = manage(capsys, double, [])
    assert "  - managed_challenge (off): no description [ip.src eq 192.0.2.1]" in result["plan"]
    assert double.zones.state["example.test"]["rulesets"][CUSTOM]["rules"] == []


def test_empty_list_for_a_phase_without_rules_is_not_a_change(capsys: Any, double: Double) -> None:
    assert not manage(capsys, double, [])["changed"]
    assert double.writes() == []


def test_check_mode_changes_nothing(capsys: Any, double: Double) -> None:
    assert manage(capsys, double, [BLOCK], _ansible_check_mode=True)["changed"]
    assert double.zones.state["example.test"]["rulesets"] == {}


def test_invalid_rule_is_named_before_anything_is_sent(capsys: Any, double: Double) -> None:
    result = manage(capsys, double, [BLOCK, {"description": "Half", "action": "block"}, {**CHALLENGE, "id": "x"}])
    assert "http_request_firewall_custom: rule 2 (Half): expression is missing" in result["msg"]
    assert "rule 3 (no description): remove id; only Cloudflare sets this field" in result["msg"]
    assert double.log == []


def test_refusal_of_the_api_is_reported_with_its_phase(capsys: Any, double: Double) -> None:
    result = manage(capsys, double, [{**BLOCK, "action": "redirect"}])
    assert "example.test: nothing was changed: the zone does not allow all settings and rules\n" in result["msg"]
    assert (
        f"\nrules of {CUSTOM}: Cloudflare: action redirect is not allowed in phase {CUSTOM} (20016); rule 1 (Probes)"
        in (result["msg"])
    )


def test_missing_permission_is_named(capsys: Any, double: Double) -> None:
    result = manage(capsys, double, [BLOCK], token=double.grant("Zone WAF Read"))
    assert "the token lacks Zone / Zone WAF / Edit" in result["msg"]
    assert double.zones.state["example.test"]["rulesets"] == {}


def many(number: int, **rule: Any) -> list[dict[str, Any]]:
    """Return several rules."""
    base = {"expression": "true", "action": "block", **rule}
    return [{**base, "description": f"Rule {one}"} for one in range(1, number + 1)]


def counted(**more: Any) -> list[dict[str, Any]]:
    """Return one rate limit."""
    action = more.pop("action", "block")
    return [{"description": "Login", "expression": "true", "action": action, "ratelimit": {**COUNTER, **more}}]


def deployed(ruleset: str) -> list[dict[str, Any]]:
    """Return a rule that deploys a managed ruleset."""
    return [{"expression": "true", "action": "execute", "action_parameters": {"id": ruleset}}]


def redirected(**target: str) -> list[dict[str, Any]]:
    """Return a redirect."""
    value = {"from_value": {"target_url": target}}
    return [{"expression": "true", "action": "redirect", "action_parameters": value}]


WITHOUT_TIMEOUT = {key: value for key, value in COUNTER.items() if key != "mitigation_timeout"}
VISITOR = ["cf.colo.id", "cf.unique_visitor_id"]
REFUSED: list[tuple[str, str, list[dict[str, Any]], str]] = [
    ("free", CUSTOM, many(6), "6 rules; the Free plan allows 5"),
    ("pro", CUSTOM, many(21), "21 rules; the Pro plan allows 20"),
    ("business", RATE, counted() * 6, "6 rules; the Business plan allows 5"),
    ("free", CACHE, many(11, action="set_cache_settings"), "11 rules; the Free plan allows 10"),
    ("pro", REDIRECT, redirected(value="https://b.test/") * 26, "26 rules; the Pro plan allows 25"),
    (
        "business",
        CUSTOM,
        many(1, action="log"),
        "rule 1 (Rule 1): the action log needs the Enterprise plan; the zone has",
    ),
    ("free", CUSTOM, many(1, expression='http.host matches "^a"'), "rule 1 (Rule 1): regular expressions (matches, ~,"),
    ("pro", CUSTOM, many(1, expression='http.host ~ r#"^"a"#'), "need the Business plan; the zone has the Pro plan"),
    ("free", REDIRECT, redirected(expression='regex_replace(http.host, "a", "b")'), "need the Business plan; the zone"),
    ("free", MANAGED, deployed(PAID_RULESET), "Cloudflare Managed Ruleset needs the Pro plan; the Free plan has only"),
    ("free", RATE, counted(period=60), "rule 1 (Login): period 60; the Free plan allows 10"),
    (
        "pro",
        RATE,
        counted(period=120, mitigation_timeout=60),
        "period 120; the Pro plan allows 10, 15, 20, 30, 40, 45, 60",
    ),
    ("free", RATE, counted(mitigation_timeout=600), "rule 1 (Login): mitigation_timeout 600; the Free plan allows 10"),
    (
        "business",
        RATE,
        counted(action="js_challenge"),
        "mitigation_timeout 10 with js_challenge needs the Enterprise plan",
    ),
    (
        "pro",
        RATE,
        counted(characteristics=VISITOR),
        "characteristics cf.unique_visitor_id; the Pro plan allows cf.colo.id,",
    ),
    (
        "free",
        RATE,
        counted(counting_expression="true"),
        "a counting_expression needs the Business plan; the zone has the",
    ),
]


@pytest.mark.parametrize("mode", [{}, {"_ansible_check_mode": True}], ids=["run", "check mode"])
@pytest.mark.parametrize(("plan", "phase", "wanted", "text"), REFUSED)
def test_rules_beyond_the_plan_are_refused_with_its_limit_before_anything_changes(
    capsys: Any, double: Double, plan: str, phase: str, wanted: list[dict[str, Any]], text: str, mode: dict[str, Any]
) -> None:
    double.zones.plans["example.test"] = plan
    before = copy.deepcopy(double.zones.state)
    others = {"settings": {"ssl": "strict"}, "records": [{"type": "A", "name": "www", "value": "192.0.2.1"}]}
    result = manage(capsys, double, wanted, phase=phase, **others, **mode)
    first, refusal, *limits = result["msg"].splitlines()
    assert first == "example.test: nothing was changed: the zone does not allow all settings and rules"
    assert refusal.startswith(f"rules of {phase}: Cloudflare: ")
    assert [limit for limit in limits if text in limit] != []
    assert double.zones.state == before


@pytest.mark.parametrize(
    ("plan", "phase", "wanted"),
    [
        ("free", CUSTOM, many(5)),
        ("free", CUSTOM, many(1, expression='http.user_agent contains "matches ~ regex_replace"')),
        ("free", REDIRECT, redirected(expression='wildcard_replace(http.host, "*", "a.test/${1}")')),
        ("free", RATE, counted(action="js_challenge", mitigation_timeout=0)),
        ("free", RATE, [{**counted(action="challenge")[0], "ratelimit": WITHOUT_TIMEOUT}]),
        ("pro", MANAGED, deployed(PAID_RULESET)),
        ("lite", CUSTOM, many(20)),
        ("pro", RATE, counted(period=60, mitigation_timeout=3600)),
        ("business", CUSTOM, many(1, expression='http.host matches "^a"')),
        ("business", RATE, counted(period=600, mitigation_timeout=86400, characteristics=VISITOR)),
        ("enterprise", CUSTOM, many(1, action="log")),
        ("enterprise", RATE, counted(mitigation_timeout=0, characteristics=["cf.colo.id", "http.host"])),
    ],
)
def test_rules_within_the_plan_are_written_once(
    capsys: Any, double: Double, plan: str, phase: str, wanted: list[dict[str, Any]]
) -> None:
    double.zones.plans["example.test"] = plan
    assert manage(capsys, double, wanted, phase=phase)["changed"]
    assert not manage(capsys, double, wanted, phase=phase)["changed"]


def test_contract_that_allows_more_rules_than_its_plan_is_respected(capsys: Any, double: Double) -> None:
    double.zones.state["example.test"]["contract"] = {CUSTOM: 6}
    assert manage(capsys, double, many(6))["changed"]
    assert "7 rules; the Free plan allows 5" in manage(capsys, double, many(7))["msg"]


def test_rule_that_only_cloudflare_can_judge_is_refused_before_anything_changes(capsys: Any, double: Double) -> None:
    wanted = counted()
    wanted[0]["expression"] = "ip.src eq 192.0.2.1"
    result = manage(capsys, double, wanted, phase=RATE, settings={"ssl": "strict"})
    assert "the use of field ip.src is not allowed" in result["msg"]
    assert "; rule 1 (Login)" in result["msg"]
    assert double.zones.state["example.test"]["settings"]["ssl"] == "full"


def test_refusals_of_all_phases_are_named_together(capsys: Any, double: Double) -> None:
    rules = {CUSTOM: many(6), RATE: counted(period=60)}
    result = run(cloudflare_zone, capsys, double, zone="example.test", rules=rules)
    assert "the Free plan allows 5" in result["msg"]
    assert "period 60; the Free plan allows 10" in result["msg"]


def test_rules_of_an_unknown_plan_are_left_to_cloudflare(
    capsys: Any, double: Double, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(entitlements.RANKS, "platinum", entitlements.ENTERPRISE)
    double.zones.plans["example.test"] = "platinum"
    assert manage(capsys, double, many(30))["changed"]


@pytest.mark.parametrize(
    ("phase", "rule", "text"),
    [
        (RATE, {}, "http_ratelimit: rule 1 (no description): ratelimit is missing"),
        (RATE, {"ratelimit": {**COUNTER, "characteristics": ["ip.src"]}}, "add cf.colo.id to the characteristics"),
        (CUSTOM, {"logging": {"enabled": True}}, "remove logging; only rules with the action skip have it"),
    ],
)
def test_rule_that_no_plan_allows_is_named_before_anything_is_sent(
    capsys: Any, double: Double, phase: str, rule: dict[str, Any], text: str
) -> None:
    assert text in manage(capsys, double, [{"expression": "true", "action": "block", **rule}], phase=phase)["msg"]
    assert double.log == []


@pytest.mark.parametrize("position", range(1, 5))
@FAULTS
def test_run_converges_after_a_fault_at_any_call(
    capsys: Any, double: Double, monkeypatch: pytest.MonkeyPatch, mode: str, position: int
) -> None:
    clock = faulty(monkeypatch, double, f"{mode}@{position}")
    assert manage(capsys, double, [BLOCK, CHALLENGE])["changed"]
    assert (len(double.log), clock) == (5, [1.0])
    assert double.log[position - 1].endswith(mode)
    double.fail("none")
    assert not manage(capsys, double, [BLOCK, CHALLENGE])["changed"]
