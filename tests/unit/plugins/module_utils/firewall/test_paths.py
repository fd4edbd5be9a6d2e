"""Sample packets show which foreign rule closes an open port or opens a closed one."""

from __future__ import annotations

import ipaddress
import json
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.firewall import iptables, nftables, paths, rules
from ansible_collections.vise.platform.plugins.module_utils.firewall.packets import Host

ADDRESS = ipaddress.ip_address("192.0.2.9")
INTERFACES = [paths.Interface("eth0", ADDRESS), paths.Interface("eth0", ipaddress.ip_address("2001:db8::9"))]
OWN = """\
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:ufw-user-input - [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -j ufw-user-input
-A ufw-user-input -p tcp -m tcp --dport 22 -j ACCEPT
-A ufw-user-input -p tcp -m multiport --dports 5000:5010 -s 10.0.0.0/8 -j ACCEPT
-A ufw-user-input -p tcp -m tcp --dport 5432 -s 10.0.0.11 -j ACCEPT
"""
CHAINS = rules.parse_chains(OWN)
OPENINGS = [one for line in CHAINS["ufw-user-input"][1] for one in paths.parse_openings(line, 4)]
OWN_RULES = {
    (rule.place, rule.text)
    for chain in iptables.build_table("filter", CHAINS, 4).chains.values()
    for rule in (*chain.rules, chain.end())
}


def judge(before: str = "", after: str = "", others: str = "", native: str = "") -> paths.Judgement:
    """Judge a host with foreign rules before and after the own ones, and in other tables."""
    chains = {**CHAINS, **rules.parse_chains(f":INPUT DROP\n{before}{after}")}
    lines = [*before.splitlines(), *CHAINS["INPUT"][1], *after.splitlines()]
    chains["INPUT"] = ("DROP", [line for line in lines if line.startswith("-A INPUT")])
    tables = [
        iptables.build_table("filter", chains, 4),
        *iptables.parse_save(others, 4),
        *nftables.parse_ruleset(native, {}),
    ]
    host = Host(frozenset(interface.address for interface in INTERFACES))
    return paths.judge(OPENINGS, tables, INTERFACES[:1], host, OWN_RULES)


def native(*expressions: dict[str, Any], policy: str = "accept", hook: str = "input", prio: int = -10) -> str:
    """Return a rule set of nft with one chain."""
    place = {"family": "inet", "table": "fw"}
    chain = {"name": "c", "type": "filter", "hook": hook, "prio": prio, "policy": policy, **place}
    rule = {"rule": {**place, "chain": "c", "handle": 1, "expr": [*expressions]}}
    return json.dumps({"nftables": [{"chain": chain}, rule]})


PORT: dict[str, Any] = {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 22}}
NAT = "*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING {}\nCOMMIT\n"
RAW = "*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING {}\nCOMMIT\n"


@pytest.mark.parametrize(
    "foreign",
    [
        pytest.param({}, id="no foreign rules"),
        pytest.param({"after": "-A INPUT -j REJECT\n"}, id="a rejection after the own rules"),
        pytest.param(
            {"before": ":f2b-sshd -\n-A INPUT -p tcp -j f2b-sshd\n-A f2b-sshd -s 192.0.2.1/32 -j REJECT\n"},
            id="a ban",
        ),
        pytest.param({"before": "-A INPUT -i wg0 -j DROP\n"}, id="another interface"),
        pytest.param(
            {"others": NAT.format("-p tcp -m tcp --dport 8080 -j REDIRECT --to-ports 81")}, id="a closed port"
        ),
        pytest.param(
            {"others": NAT.format("-i docker0 -p tcp --dport 8080 -j REDIRECT --to-ports 22")}, id="from inside"
        ),
        pytest.param({"native": native(PORT, {"accept": None})}, id="a table that accepts"),
        pytest.param({"native": native(PORT, {"drop": None}, hook="output")}, id="outgoing packets"),
    ],
)
def test_rules_that_do_not_decide_are_no_problem(foreign: dict[str, str]) -> None:
    assert judge(**foreign) == paths.Judgement((), ())


@pytest.mark.parametrize(
    ("foreign", "place", "ports"),
    [
        pytest.param(
            {"before": "-A INPUT -j REJECT\n"},
            "iptables: table filter, chain INPUT",
            {"tcp/22 over IPv4", "tcp/5000 over IPv4", "tcp/5010 over IPv4", "tcp/5432 over IPv4"},
            id="a provider's rejection",
        ),
        pytest.param(
            {"before": "-A INPUT ! -s 10.0.0.0/8 -p tcp -m tcp --dport 22 -j DROP\n"},
            "iptables: table filter, chain INPUT",
            {"tcp/22 over IPv4"},
            id="all sources but one network",
        ),
        pytest.param(
            {"before": ":MINE -\n-A INPUT -j MINE\n-A MINE -p tcp -m tcp --dport 5432 -j DROP\n"},
            "iptables: table filter, chain MINE",
            {"tcp/5432 over IPv4"},
            id="a chain",
        ),
        pytest.param(
            {"others": RAW.format("-p tcp -m multiport --dports 20:22 -j DROP")},
            "iptables: table raw, chain PREROUTING",
            {"tcp/22 over IPv4"},
            id="an earlier table",
        ),
        pytest.param(
            {"native": native(PORT, {"accept": None}, policy="drop")},
            "nft: table inet fw, chain c",
            {"tcp/5000 over IPv4", "tcp/5010 over IPv4", "tcp/5432 over IPv4"},
            id="the policy of a table of nft",
        ),
        pytest.param(
            {"native": native(PORT, {"drop": None}, hook="prerouting", prio=-400)},
            "nft: table inet fw, chain c",
            {"tcp/22 over IPv4"},
            id="a table of nft before all others",
        ),
    ],
)
def test_rule_that_closes_open_ports_is_a_problem(foreign: dict[str, str], place: str, ports: set[str]) -> None:
    (problem,) = judge(**foreign).problems
    assert (problem.rule.place, set(problem.ports), problem.opens) == (place, ports, False)


@pytest.mark.parametrize(
    ("foreign", "ports"),
    [
        pytest.param(
            {"others": NAT.format("-p tcp -m tcp --dport 2222 -j REDIRECT --to-ports 22")},
            {"tcp/2222 over IPv4"},
            id="a redirection to an open port",
        ),
        pytest.param(
            {"others": NAT.format("-p tcp -m tcp --dport 2223 -j DNAT --to-destination 192.0.2.9:22")},
            {"tcp/2223 over IPv4"},
            id="a translation to an open port",
        ),
        pytest.param(
            {
                "native": native(
                    {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 8080}},
                    {"redirect": {"port": 22}},
                    hook="prerouting",
                    prio=-100,
                )
            },
            {"tcp/8080 over IPv4"},
            id="a redirection of nft",
        ),
        pytest.param(
            {"before": "-A INPUT -p tcp -m tcp --dport 81 -j NFQUEUE --queue-num 0\n"},
            {"tcp/81 over IPv4"},
            id="a queue",
        ),
        pytest.param(
            {"before": "-A INPUT -p udp -m udp --dport 53 -j ACCEPT\n"}, {"udp/53 over IPv4"}, id="an accepted port"
        ),
        pytest.param(
            {"before": "-A INPUT -p tcp -m tcp --dport 5000 -j ACCEPT\n"}, {"tcp/5000 over IPv4"}, id="more sources"
        ),
    ],
)
def test_rule_that_opens_a_port_is_a_problem(foreign: dict[str, str], ports: set[str]) -> None:
    (problem,) = judge(**foreign).problems
    assert (set(problem.ports), problem.opens) == (ports, True)


@pytest.mark.parametrize(
    ("foreign", "text"),
    [
        pytest.param({"before": "-A INPUT -m geoip --source-country XX -j DROP\n"}, "unknown", id="a match"),
        pytest.param({"others": RAW.format("-j NFQUEUE --queue-num 0")}, "unknown", id="a queue in another table"),
        pytest.param(
            {"others": NAT.format("-m recent --rcheck -p tcp --dport 99 -j REDIRECT --to-ports 22")},
            "unknown",
            id="knocking",
        ),
        pytest.param({"before": "-A INPUT -s 64.0.0.0/2 -j DROP\n"}, "drops a part of the sources", id="some sources"),
        pytest.param(
            {"before": "-A INPUT -s 10.0.0.11/32 -j DROP\n"}, "drops a part of the sources", id="a banned client"
        ),
        pytest.param(
            {"before": "-A INPUT -m mark --mark 0x1 -j ACCEPT\n-A INPUT -p tcp -m tcp --dport 22 -j DROP\n"},
            "may drop packets to open ports",
            id="an acceptance that is unknown",
        ),
    ],
)
def test_unknown_result_is_reported_and_decides_nothing(foreign: dict[str, str], text: str) -> None:
    judgement = judge(**foreign)
    assert text in judgement.doubts[0]
    assert not [problem for problem in judgement.problems if not problem.opens]


def test_ports_in_rules_become_samples() -> None:
    tables = iptables.parse_save(NAT.format("-p tcp -m multiport --dports 81,90:95 -j REDIRECT --to-ports 22"), 4)
    assert {81, 90, 95} < set(paths.choose_ports(tables))


def test_message_names_the_rule_and_the_command_that_removes_it() -> None:
    (problem,) = judge(before="-A INPUT -p tcp -m tcp --dport 22 -j DROP\n").problems
    assert str(problem) == (
        "iptables: table filter, chain INPUT: `-A INPUT -p tcp -m tcp --dport 22 -j DROP` drops, although it is an open"
        " port: tcp/22 over IPv4. Remove the rule: `iptables -t filter -D INPUT -p tcp -m tcp --dport 22 -j DROP`"
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("-p tcp -m tcp --dport 22", [("tcp", 22, 22, "0.0.0.0/0")]),
        (
            "-s 10.0.0.0/8 -p udp -m multiport --dports 80,90:95",
            [("udp", 80, 80, "10.0.0.0/8"), ("udp", 90, 95, "10.0.0.0/8")],
        ),
        ("-s 203.0.113.9/32", []),
        ("-p tcp -m tcp ! --dport 22", []),
    ],
)
def test_openings_of_a_rule(options: str, expected: list[tuple[str, int, int, str]]) -> None:
    openings = paths.parse_openings(f"-A ufw-user-input {options} -j ACCEPT", 4)
    assert [(one.proto, one.first, one.last, str(one.source)) for one in openings] == expected
