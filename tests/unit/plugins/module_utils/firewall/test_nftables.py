"""Rules of nft, as its JSON shows them, match a new packet, do not match it, or have an unknown result."""

from __future__ import annotations

import ipaddress
import json
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.firewall import nftables
from ansible_collections.vise.platform.plugins.module_utils.firewall.packets import Host, Packet, send

ADDRESS = ipaddress.ip_address("192.0.2.9")
HOST = Host(frozenset({ADDRESS}))
WEB = Packet("tcp", ipaddress.ip_address("198.51.100.4"), ADDRESS, 443, "eth0", HOST)
NEIGHBOUR = {"prefix": {"addr": "198.51.100.0", "len": 24}}


def field(protocol: str, name: str) -> dict[str, Any]:
    """Return a field of a header."""
    return {"payload": {"protocol": protocol, "field": name}}


def match(left: Any, right: Any, operator: str = "==") -> dict[str, Any]:
    """Return a match."""
    return {"match": {"op": operator, "left": left, "right": right}}


def ruleset(*rules: list[dict[str, Any]], **chain: Any) -> str:
    """Return a rule set with one base chain."""
    place = {"family": "inet", "table": "fw"}
    base = {"name": "input", "type": "filter", "hook": "input", "prio": 0, "policy": "accept", **place, **chain}
    sets = {"set": {"name": "bad", "elem": ["203.0.113.9", NEIGHBOUR], **place}}
    bans = {"set": {"name": "bans", "elem": [{"elem": {"val": "203.0.113.9", "expires": 9}}], **place}}
    verdicts = {"map": {"name": "m", "elem": [[443, {"drop": None}]], **place}}
    entries: list[dict[str, Any]] = [
        {"metainfo": {}},
        {"chain": base},
        {"chain": {"name": "x", **place}},
        sets,
        bans,
        verdicts,
    ]
    for number, expressions in enumerate(rules, 1):
        entries.append({"rule": {**place, "chain": base["name"], "handle": number, "expr": expressions}})
    return json.dumps({"nftables": entries})


@pytest.mark.parametrize(
    ("matches", "expected"),
    [
        ([], True),
        ([match(field("tcp", "dport"), 443)], True),
        ([match(field("tcp", "dport"), {"set": [22, {"range": [400, 500]}]})], True),
        ([match(field("tcp", "dport"), {"range": [80, 90]})], False),
        ([match(field("tcp", "dport"), 1000, ">")], False),
        ([match(field("tcp", "dport"), 443, "!=")], False),
        ([match(field("udp", "dport"), 443, "!=")], False),
        ([match(field("th", "dport"), 443)], True),
        ([match(field("ip", "saddr"), NEIGHBOUR)], True),
        ([match(field("ip", "saddr"), "@bad")], True),
        ([match(field("ip", "saddr"), "@bans")], False),
        ([match(field("ip", "saddr"), "@missing")], None),
        ([match(field("ip", "saddr"), {"set": ["1.2.3.4", NEIGHBOUR]}, "!=")], False),
        ([match(field("ip6", "saddr"), "fd00::1", "!=")], False),
        ([match(field("ip", "protocol"), "icmp")], False),
        ([match(field("icmpv6", "type"), {"set": ["nd-router-advert"]})], False),
        ([match(field("udp", "length"), 9)], False),
        ([match(field("ip6", "hoplimit"), 255)], False),
        ([match(field("ip", "ttl"), 255)], None),
        ([match(field("tcp", "window"), 9)], None),
        ([match({"meta": {"key": "l4proto"}}, {"set": ["icmp", "ipv6-icmp"]})], False),
        ([match({"meta": {"key": "iifname"}}, {"set": ["br*", "lo"]})], False),
        ([match({"meta": {"key": "iifname"}}, "eth*")], True),
        ([match({"meta": {"key": "nfproto"}}, "ipv6")], False),
        ([match({"meta": {"key": "mark"}}, 1)], None),
        ([match({"ct": {"key": "state"}}, ["established", "related"], "in")], False),
        ([match({"ct": {"key": "state"}}, "new", "in")], True),
        ([match({"ct": {"key": "status"}}, "dnat", "in")], False),
        ([match({"fib": {"result": "type", "flags": ["daddr"]}}, "local")], True),
        ([match({"&": [field("tcp", "flags"), {"|": ["fin", "syn", "rst", "ack"]}]}, "syn")], True),
        (
            [match({"concat": [field("ip", "saddr"), field("tcp", "dport")]}, {"set": [{"concat": ["1.2.3.4", 55]}]})],
            None,
        ),
        ([{"limit": {"rate": 3, "per": "minute"}}], None),
        ([{"xt": {"type": "match", "name": "geoip"}}], None),
        ([{"limit": {"rate": 3, "per": "minute"}}, match(field("udp", "dport"), 53)], False),
        ([{"counter": {"packets": 0, "bytes": 0}}, {"log": {"prefix": "x"}}], True),
    ],
)
def test_rule_matches_a_new_packet(matches: list[dict[str, Any]], expected: bool | None) -> None:
    (table,) = nftables.parse_ruleset(ruleset([*matches, {"drop": None}]), {})
    assert table.chains["input"].rules[0].applies(WEB) is expected


@pytest.mark.parametrize(
    ("expressions", "verdict"),
    [
        ([{"accept": None}], "accept"),
        ([{"reject": {"type": "icmpx", "expr": "admin-prohibited"}}], "drop"),
        ([{"jump": {"target": "x"}}], "drop"),
        ([{"vmap": {"key": {"ct": {"key": "state"}}, "data": {"set": [["established", {"accept": None}]]}}}], "drop"),
        (
            [{"vmap": {"key": field("tcp", "dport"), "data": {"set": [[{"range": [1, 999]}, {"accept": None}]]}}}],
            "accept",
        ),
        ([{"vmap": {"key": field("tcp", "dport"), "data": "@m"}}], "drop"),
        ([{"log": {"prefix": "x"}}], "drop"),
    ],
)
def test_verdict_of_a_rule_or_else_of_the_policy(expressions: list[dict[str, Any]], verdict: str) -> None:
    assert send(nftables.parse_ruleset(ruleset(expressions, policy="drop"), {}), WEB).verdict == verdict


@pytest.mark.parametrize(
    ("expression", "destination", "port"),
    [
        ({"redirect": {"port": 8443}}, "192.0.2.9", 8443),
        ({"dnat": {"family": "ip", "addr": "10.1.1.1", "port": {"range": [1, 5]}}}, "10.1.1.1", 1),
        ({"dnat": {"family": "ip", "addr": "10.1.1.1"}}, "10.1.1.1", 443),
        ({"redirect": None}, "192.0.2.9", 443),
    ],
)
def test_translation_changes_the_packet(expression: dict[str, Any], destination: str, port: int) -> None:
    tables = nftables.parse_ruleset(ruleset([expression], hook="prerouting", type="nat", prio=-100), {})
    packet = send(tables, WEB).packet
    assert (str(packet.destination), packet.port, packet.client_port) == (destination, port, 443)


def test_rule_is_shown_as_nft_prints_it() -> None:
    texts = nftables.parse_texts(
        "table inet fw { # handle 7\n\tchain input { # handle 1\n\t\ttcp dport 443 drop # handle 1\n\t}\n}\n"
    )
    (table,) = nftables.parse_ruleset(ruleset([match(field("tcp", "dport"), 443), {"drop": None}]), texts)
    (rule,) = table.chains["input"].rules
    assert (rule.place, rule.text) == ("nft: table inet fw, chain input", "tcp dport 443 drop")
    assert rule.removal == "nft delete rule inet fw input handle 1"


def test_table_that_iptables_shows_is_left_out() -> None:
    assert nftables.parse_ruleset(ruleset([]), {}, skip={("inet", "fw")}) == []


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("9.255.255.255", False),
        ("10.0.0.0", True),
        ("10.0.255.255", True),
        ("10.1.0.0", False),
        ("10.3.0.9", True),
        ("10.3.0.10", False),
        ("fd00::1", True),
        ("fd00::2", False),
        ("::1", False),
    ],
)
def test_address_is_found_in_a_set_of_networks_ranges_and_addresses(address: str, expected: bool) -> None:
    contains = nftables.build_lookup(
        [
            {"range": ["10.3.0.1", "10.3.0.9"]},
            "10.0.0.7",
            "fd00::1",
            {"prefix": {"addr": "10.0.0.0", "len": 16}},
        ]
    )
    assert contains(ipaddress.ip_address(address)) is expected
