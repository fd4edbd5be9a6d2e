"""What the module sends for settings and rules has the types of Cloudflare's SDK."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.cloudflare import permissions, rules, zone_settings
from ansible_collections.vise.platform.plugins.modules import cloudflare_zone
from cloudflare.types.dns import DNSSECEditParams
from cloudflare.types.origin_tls_client_auth import SettingUpdateParams
from cloudflare.types.rulesets.phase_update_params import PhaseUpdateParams
from cloudflare.types.zones import SettingEditResponse
from kit.cloudflare.api import Api

from tests.unit.plugins import sdk_types
from tests.unit.plugins.cloudflare import Double, run, running
from tests.unit.plugins.modules.test_cloudflare_zone_rules import REFUSED

# The types of each setting's value, by its name in the API.
SETTINGS: dict[str, Any] = {
    name: model.model_fields["value"].annotation
    for model in typing.get_args(SettingEditResponse)
    if "value" in model.model_fields
    for name in typing.get_args(model.model_fields["id"].annotation)
}
# Each setting with each value, or each kind of value.
VALUES: dict[str, list[Any]] = {
    name: option.get("choices", [True, False])
    for name, option in cloudflare_zone.SETTINGS.items()
    if option["type"] != "dict"
} | {
    "hsts": [
        {"max_age": 31536000, "include_subdomains": True, "preload": True, "nosniff": True},
        {"max_age": 300},
        {"max_age": 0},
    ]
}
EVERY: dict[str, list[dict[str, Any]]] = {
    "http_request_firewall_managed": [
        {
            "description": "Exceptions",
            "expression": "true",
            "action": "skip",
            "action_parameters": {"rules": {"efb7b8c949ac4650a09736fc376e9aee": ["1", "2"]}},
            "logging": {"enabled": False},
        },
        {
            "expression": "true",
            "action": "execute",
            "action_parameters": {
                "id": "efb7b8c949ac4650a09736fc376e9aee",
                "overrides": {
                    "action": "log",
                    "categories": [{"category": "wordpress", "enabled": False}],
                    "rules": [{"id": "1", "action": "block", "score_threshold": 40}],
                },
            },
        },
    ],
    "http_request_firewall_custom": [
        {
            "expression": "true",
            "action": "skip",
            "action_parameters": {"phases": ["http_ratelimit"], "products": ["waf"]},
        },
        {
            "expression": "true",
            "action": "block",
            "action_parameters": {"response": {"status_code": 403, "content": "no", "content_type": "text/plain"}},
            "enabled": False,
            "ref": "own",
        },
        *(
            {"expression": "true", "action": action}
            for action in ("challenge", "js_challenge", "managed_challenge", "log")
        ),
    ],
    "http_ratelimit": [
        {
            "expression": "true",
            "action": "managed_challenge",
            "ratelimit": {
                "characteristics": ["cf.colo.id", "ip.src"],
                "period": 60,
                "requests_per_period": 100,
                "mitigation_timeout": 0,
                "counting_expression": "http.response.code eq 401",
                "requests_to_origin": True,
            },
        }
    ],
    "http_request_cache_settings": [
        {
            "expression": "true",
            "action": "set_cache_settings",
            "action_parameters": {
                "cache": True,
                "edge_ttl": {"mode": "override_origin", "default": 7200},
                "browser_ttl": {"mode": "respect_origin"},
                "cache_key": {"ignore_query_strings_order": True},
            },
        }
    ],
    "http_request_dynamic_redirect": [
        {
            "expression": "true",
            "action": "redirect",
            "action_parameters": {
                "from_value": {
                    "target_url": {"value": "https://example.org/"},
                    "status_code": 301,
                    "preserve_query_string": True,
                }
            },
        }
    ],
}


@pytest.fixture
def double() -> Iterator[Double]:
    with running() as one:
        one.zones.plans["example.test"] = "enterprise"
        one.zones.state["example.test"]["certificates"] = [{"id": "1", "status": "active"}]
        yield one


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return the list of the requests with a body."""
    requests: list[Any] = []
    answer = Api.answer

    def record(api: Api, *arguments: Any) -> Any:
        if arguments[-1].get("body") is not None:
            requests.append(arguments[-1])
        return answer(api, *arguments)

    monkeypatch.setattr(Api, "answer", record)
    return requests


def manage(capsys: Any, double: Double, **options: Any) -> dict[str, Any]:
    return run(cloudflare_zone, capsys, double, zone="example.test", **options)


def check_setting(request: Any) -> list[str]:
    """Return where a request for a setting differs from the types of the SDK."""
    part, _, name = request["path"].split("/", 3)[-1].partition("/")
    body = request["body"]
    if part == "dnssec":
        return sdk_types.problems({"zone_id": "1", **body}, DNSSECEditParams)
    if part == "origin_tls_client_auth":
        return sdk_types.problems({"zone_id": "1", **body}, SettingUpdateParams)
    return [*(set(body) - {"value"}), *sdk_types.problems(body["value"], SETTINGS[name], name)]


def test_every_setting_is_sent_with_the_types_of_the_sdk(capsys: Any, double: Double, sent: list[Any]) -> None:
    assert set(VALUES) == set(cloudflare_zone.SETTINGS)
    for name, values in VALUES.items():
        mode = {} if name == "ssl" else {"ssl": "strict"}
        for value in [*values, values[0]]:
            assert "failed" not in manage(capsys, double, settings={**mode, name: value})
            # Cloudflare returns what was sent, so a second run changes nothing.
            assert not manage(capsys, double, settings={**mode, name: value})["changed"]
    # Without the calls by which permissions are checked
    changes = [one for one in sent if one["body"].get("value") != permissions.INVALID]
    requests = [one for one in changes if "/dns_records/" not in one["path"]]
    names = {one["path"].split("/", 3)[-1].removeprefix("settings/") for one in requests}
    assert names == {*zone_settings.NAMES.values(), "dnssec", "origin_tls_client_auth/settings"}
    assert [problem for one in requests for problem in check_setting(one)] == []


def check_rules(request: Any) -> list[str]:
    """Return where a request for rules differs from the types of the SDK."""
    return sdk_types.problems({"zone_id": "1", **request["body"]}, PhaseUpdateParams)


def test_rules_of_every_phase_are_sent_with_the_types_of_the_sdk(capsys: Any, double: Double, sent: list[Any]) -> None:
    assert set(EVERY) == set(rules.PHASES)
    assert manage(capsys, double, rules=EVERY)["changed"]
    assert not manage(capsys, double, rules=EVERY)["changed"]
    requests = [one for one in sent if "/rulesets/" in one["path"]]
    # Each phase is validated, then written.
    assert len(requests) == 2 * len(EVERY)
    assert [problem for one in requests for problem in check_rules(one)] == []


@pytest.mark.parametrize("wanted", [case[2] for case in REFUSED])
def test_rules_of_the_tests_have_the_types_of_the_sdk(wanted: list[dict[str, Any]]) -> None:
    assert sdk_types.problems({"rules": wanted}, PhaseUpdateParams) == []


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ({"action": "block", "expresion": "true"}, "expresion: the SDK has no such field"),
        ({"action": "ban", "expression": "true"}, "'ban' is not one of"),
        ({"action": "block", "expression": True}, "True is not <class 'str'>"),
        ({"action": "execute", "action_parameters": {}}, "action_parameters.id: missing"),
        ({"action": "block", "ratelimit": {"characteristics": "ip.src", "period": 10}}, "'ip.src' is not a list"),
        ({"action": "block", "ratelimit": {"characteristics": [], "period": "10"}}, "'10' is not <class 'int'>"),
        ({"action": "skip", "action_parameters": {"rules": ["1"]}}, "['1'] is not an object"),
        ({"action": "skip", "action_parameters": {"rules": {"1": "2"}}}, "'2' is not a list"),
    ],
)
def test_rule_that_differs_from_the_types_of_the_sdk_is_found(rule: dict[str, Any], problem: str) -> None:
    found = sdk_types.problems({"rules": [rule]}, PhaseUpdateParams)
    assert any(problem in one for one in found), found


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ssl", "full_strict"),
        ("http3", True),
        ("min_tls_version", 1.2),
        ("security_header", {"enabled": True}),
        ("security_header", {"strict_transport_security": {"max_age": "1"}}),
    ],
)
def test_setting_that_differs_from_the_types_of_the_sdk_is_found(name: str, value: Any) -> None:
    assert sdk_types.problems(value, SETTINGS[name]) != []
