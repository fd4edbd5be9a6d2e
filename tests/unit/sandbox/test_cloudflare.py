"""The double of Cloudflare refuses the same requests as Cloudflare, and injects faults."""

from __future__ import annotations

from typing import Any

import pytest
from kit.cloudflare import faults, records, rulesets, tokens, zones
from kit.cloudflare.errors import Refused

from tests.unit.plugins.cloudflare import Double, running

A: dict[str, Any] = {"type": "A", "name": "a", "content": "192.0.2.1"}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({**A, "content": "192.0.2"}, 9005),
        ({**A, "type": "AAAA"}, 9005),
        ({**A, "type": "LOC"}, 9004),
        ({**A, "ttl": 30}, 9021),
        ({**A, "type": "MX", "content": "mail.test"}, 9105),
        ({**A, "type": "TXT", "content": '"open'}, 9005),
        ({**A, "type": "TXT", "content": '"x"', "proxied": True}, 9004),
        ({"type": "SRV", "name": "a", "data": {"priority": 1}}, 9101),
        ({"type": "CNAME", "name": "a", "content": "a.example.test"}, 9039),
    ],
)
def test_invalid_record_is_refused_with_the_cause_in_the_chain(body: dict[str, Any], code: int) -> None:
    with pytest.raises(Refused) as refused:
        records.record_of(body, "example.test")
    assert (refused.value.status, refused.value.error["code"]) == (400, 1004)
    assert refused.value.error["error_chain"][0]["code"] == code


@pytest.mark.parametrize(
    ("more", "code"), [({"comment": "c" * 101}, 9313), ({"tags": ["a:b"]}, 9300), ({"name": "a b"}, 9000)]
)
def test_record_above_the_limits_of_the_free_plan_is_refused(more: dict[str, Any], code: int) -> None:
    with pytest.raises(Refused) as refused:
        records.record_of({**A, **more}, "example.test")
    assert refused.value.error["code"] == code


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (A, 81058),
        ({"type": "CNAME", "name": "a", "content": "b.test"}, 81053),
        ({**A, "name": "alias"}, 81054),
        ({"type": "NS", "name": "alias", "content": "ns.test"}, 81056),
    ],
)
def test_record_that_conflicts_with_another_is_refused(body: dict[str, Any], code: int) -> None:
    alias = {"type": "CNAME", "name": "alias", "content": "b.test"}
    others = [records.record_of(one, "example.test") for one in (A, alias)]
    with pytest.raises(Refused) as refused:
        records.check_conflicts(records.record_of(body, "example.test"), others)
    assert refused.value.error["code"] == code


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (A, "192.0.2.1"),
        ({"type": "MX", "name": "@", "content": "mail.test", "priority": 10}, "10 mail.test."),
        ({"type": "CNAME", "name": "a", "content": "b.test"}, "b.test."),
        ({"type": "TXT", "name": "a", "content": 'plain "x"'}, r'"plain \"x\""'),
        ({"type": "TXT", "name": "a", "content": '"one" "two"'}, '"one" "two"'),
        ({"type": "TXT", "name": "a", "content": "x" * 300}, f'"{"x" * 255}" "{"x" * 45}"'),
        (
            {"type": "SRV", "name": "a", "data": {"priority": 0, "weight": 1, "port": 587, "target": "m.test"}},
            "0 1 587 m.test.",
        ),
        ({"type": "CAA", "name": "@", "data": {"flags": 0, "tag": "issue", "value": "ca.test"}}, '0 issue "ca.test"'),
        ({"type": "HTTPS", "name": "@", "data": {"priority": 1, "target": ".", "value": "alpn=h3"}}, "1 . alpn=h3"),
    ],
)
def test_record_is_served_in_the_form_of_a_zone_file(body: dict[str, Any], text: str) -> None:
    assert records.zone_file(records.record_of(body, "example.test")) == text


def double() -> tuple[zones.Zones, list[tuple[int, int]]]:
    published: list[tuple[int, int]] = []
    return zones.Zones(
        {"example.test": "free"}, lambda _z, went, came: published.append((len(went), len(came)))
    ), published


def test_batch_deletes_before_it_adds_and_publishes_once() -> None:
    state, published = double()
    old = state.batch("example.test", {"posts": [A]})["posts"][0]
    state.batch("example.test", {"posts": [{"type": "CNAME", "name": "a", "content": "b.test"}], "deletes": [old]})
    assert [row["type"] for row in state.records("example.test").values()] == ["CNAME"]
    assert published == [(0, 1), (1, 1)]


def test_batch_with_an_invalid_entry_changes_nothing() -> None:
    state, published = double()
    with pytest.raises(Refused):
        state.batch("example.test", {"posts": [A, {**A, "name": "b", "content": "wrong"}]})
    assert (state.records("example.test"), published) == ({}, [])


def test_batch_is_limited_by_the_plan() -> None:
    state, _published = double()
    posts = [{**A, "name": f"n{number}"} for number in range(201)]
    with pytest.raises(Refused, match="limit of 200"):
        state.batch("example.test", {"posts": posts})
    state.batch("example.test", {"posts": posts[:200]})


def test_state_is_preserved_over_a_restart(tmp_path: Any) -> None:
    file = tmp_path / "state" / "zones.json"
    first = zones.Zones({"example.test": "free"}, lambda *_: None, file)
    first.batch("example.test", {"posts": [A]})
    first.change_setting("example.test", "ssl", "strict")
    second = zones.Zones({"example.test": "free"}, lambda *_: None, file)
    assert second.state == first.state


@pytest.mark.parametrize(
    ("order", "fails"),
    [("none", []), ("500", [1, 2, 3, 4]), ("429@1", [1]), ("lost@3", [3]), ("flood", [])],
)
def test_fault_applies_to_the_requests_that_it_names(order: str, fails: list[int]) -> None:
    counted = faults.Faults(lambda _client: faults.Order(order, 1))
    seen = [counted.at_request("192.0.2.1") for _ in range(4)]
    assert [number for number, mode in enumerate(seen, 1) if mode] == fails


def test_same_fault_given_twice_restarts_the_count() -> None:
    orders = iter([faults.Order("500@1", 1), faults.Order("500@1", 1), faults.Order("500@1", 2)])
    counted = faults.Faults(lambda _client: next(orders))
    assert [counted.at_request("192.0.2.1") for _ in range(3)] == ["500", "", "500"]


def test_rules_of_a_phase_are_replaced_completely() -> None:
    rule = {"expression": "true", "action": "block"}
    first = rulesets.replaced("http_request_firewall_custom", None, {"rules": [rule]})
    second = rulesets.replaced("http_request_firewall_custom", first, {"rules": []})
    assert (first["version"], second["version"], second["rules"]) == ("1", "2", [])


@pytest.mark.parametrize(
    ("phase", "rule", "said"),
    [
        ("http_request_firewall_custom", {"action": "block"}, "expression"),
        ("http_request_firewall_custom", {"action": "redirect", "expression": "true"}, "not allowed"),
        ("http_ratelimit", {"action": "block", "expression": "true"}, "ratelimit"),
        ("nowhere", {}, "unknown phase"),
    ],
)
def test_rule_that_its_phase_does_not_allow_is_refused(phase: str, rule: dict[str, Any], said: str) -> None:
    with pytest.raises(Refused, match=said):
        rulesets.replaced(phase, None, {"rules": [rule]})


@pytest.mark.parametrize(
    ("header", "path", "code"),
    [
        (None, "/zones", 9106),
        ("Bearer short", "/zones", 6003),
        (f"Bearer {'x' * 40}", "/zones", 9109),
        (f"Bearer {'x' * 40}", "/user/tokens/verify", 1000),
    ],
)
def test_invalid_token_is_refused_with_cloudflares_code(header: str | None, path: str, code: int) -> None:
    with pytest.raises(Refused) as refused:
        tokens.authorize({}, header, path)
    assert refused.value.error["code"] == code


def test_write_permission_includes_read() -> None:
    grant = tokens.Grant("one", frozenset({"DNS Write"}))
    assert [grant.may(name) for name in ("DNS Read", "DNS Write", "Zone Settings Read")] == [True, True, False]


def test_double_needs_no_world() -> None:
    with running() as one:
        assert isinstance(one, Double)
        assert one.records() == []
