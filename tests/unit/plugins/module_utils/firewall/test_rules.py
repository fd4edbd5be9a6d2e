"""Wanted rules are compared with live rules; the cases are tables of rules."""

from __future__ import annotations

import pytest
from ansible_collections.vise.platform.plugins.module_utils.firewall import rules

WANTED = """\
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER-USER - [0:0]
:ufw-user-input - [0:0]
-A INPUT -j ufw-before-input
-A INPUT -j ufw-after-input
-A FORWARD -j ufw-before-forward
-A DOCKER-USER -j DROP
-A ufw-user-input -p tcp -m tcp --dport 22 -j ACCEPT
COMMIT
"""
DOCKER = "-A FORWARD -j DOCKER-USER\n-A FORWARD -o docker0 -j DOCKER\n-A FORWARD -i docker0 -j ACCEPT\n"
WITH_DOCKER = WANTED.replace("-A FORWARD -j ufw", DOCKER + "-A FORWARD -j ufw")
BAN = "-A INPUT -p tcp -j f2b-sshd\n"
BANS = ":f2b-sshd - [0:0]\n-A f2b-sshd -s 192.0.2.1/32 -j REJECT --reject-with tcp-reset\n-A f2b-sshd -j RETURN\n"
MINE = ":MINE - [0:0]\n:DEEPER - [0:0]\n-A MINE -p tcp -g DEEPER\n-A DEEPER -p tcp -m tcp --dport 8080 -j ACCEPT\n"
OPEN = "-A INPUT -p tcp -m tcp --dport 8080 -j ACCEPT\n"
EMPTY = ":INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"


@pytest.mark.parametrize(
    ("live", "expected"),
    [
        pytest.param(WANTED, [], id="as wanted"),
        pytest.param(WANTED.replace("[0:0]", "[7:420]"), [], id="counters do not matter"),
        pytest.param(WITH_DOCKER, [], id="next to Docker's rules"),
        pytest.param(BANS + WANTED.replace("-A INPUT -j ufw-b", BAN + "-A INPUT -j ufw-b"), [], id="a ban stays"),
        pytest.param(
            MINE + WANTED.replace("-A INPUT -j ufw-before", "-A INPUT -j MINE\n-A INPUT -j ufw-before"),
            ["-D INPUT -j MINE"],
            id="a port opened in another chain",
        ),
        pytest.param(
            MINE + WITH_DOCKER.replace("-A FORWARD -j DOCKER-USER", "-A FORWARD -j MINE\n-A FORWARD -j DOCKER-USER"),
            ["-D FORWARD -j DOCKER-USER", "-I FORWARD 1 -j DOCKER-USER"],
            id="packets accepted in another chain before Docker's jump",
        ),
        pytest.param(
            EMPTY,
            [
                ":DOCKER-USER - [0:0]",
                ":ufw-user-input - [0:0]",
                "-A DOCKER-USER -j DROP",
                "-A ufw-user-input -p tcp -m tcp --dport 22 -j ACCEPT",
                ":INPUT DROP [0:0]",
                "-A INPUT -j ufw-before-input",
                "-A INPUT -j ufw-after-input",
                ":FORWARD DROP [0:0]",
                "-A FORWARD -j ufw-before-forward",
            ],
            id="everything, chains before the rules that jump to them",
        ),
        pytest.param(
            WANTED.replace("-A DOCKER-USER -j DROP\n", ""),
            [":DOCKER-USER - [0:0]", "-A DOCKER-USER -j DROP"],
            id="a chain that was flushed",
        ),
        pytest.param(WANTED.replace("INPUT DROP", "INPUT ACCEPT"), [":INPUT DROP [0:0]"], id="a policy"),
        pytest.param(
            WANTED.replace("-A INPUT -j ufw-before-input\n", ""),
            ["-D INPUT -j ufw-after-input", "-A INPUT -j ufw-before-input", "-A INPUT -j ufw-after-input"],
            id="a lost jump, all jumps in order again",
        ),
        pytest.param(
            WANTED.replace("-A INPUT -j ufw-before", OPEN + "-A INPUT -j ufw-before"),
            ["-D INPUT -p tcp -m tcp --dport 8080 -j ACCEPT"],
            id="an open port that is not in the list",
        ),
        pytest.param(
            WITH_DOCKER.replace("-A FORWARD -j DOCKER-USER\n", ""),
            ["-I FORWARD 1 -j DOCKER-USER"],
            id="Docker's jump lost",
        ),
        pytest.param(
            WITH_DOCKER.replace("-A FORWARD -j DOCKER-USER", "-A FORWARD -j ACCEPT\n-A FORWARD -j DOCKER-USER"),
            ["-D FORWARD -j DOCKER-USER", "-I FORWARD 1 -j DOCKER-USER"],
            id="packets accepted before Docker's jump",
        ),
    ],
)
def test_plan_has_only_the_differences(live: str, expected: list[str]) -> None:
    assert rules.plan(rules.parse_chains(WANTED), rules.parse_chains(live)) == expected


def test_plan_makes_the_wanted_rules_live() -> None:
    chains = rules.parse_chains(WANTED)
    lines = rules.plan(chains, rules.parse_chains(EMPTY))
    assert rules.plan(chains, rules.parse_chains("\n".join(lines) + "\n:OUTPUT ACCEPT [0:0]\n")) == []


def test_kernel_without_an_ip_version_needs_no_change() -> None:
    assert rules.plan({}, rules.parse_chains(EMPTY)) == []


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("-A INPUT -p tcp -j ACCEPT", True),
        ("-A INPUT -j MINE", True),
        ("-A INPUT -g DEEPER", True),
        ("-A INPUT -j DROP", False),
        ("-A INPUT -j f2b-sshd", False),
        ("-A INPUT -j ufw-user-input", False),
        ("-A INPUT -j ufw-user-limit-accept", True),
        ('-A INPUT -p tcp -m comment --comment "-j DROP" -j ACCEPT', True),
        ("-A INPUT -p tcp -m comment --comment -j -j ACCEPT", True),
        ('-A INPUT -p tcp -m comment --comment "not -j ACCEPT" -j DROP', False),
        ("-A INPUT -p tcp", False),
    ],
)
def test_rule_that_accepts_packets_is_recognized(rule: str, expected: bool) -> None:
    live = rules.parse_chains(MINE + BANS)
    wanted = rules.parse_chains(
        WANTED.replace(
            "COMMIT", "-A INPUT -j ufw-user-input\n:ufw-user-limit-accept - [0:0]\n-A ufw-user-limit-accept -j ACCEPT"
        )
    )
    assert rules.accepts_packets(rule, wanted, live) is expected


@pytest.mark.parametrize(
    "live", [EMPTY, WANTED, WITH_DOCKER, MINE + WANTED.replace("-A INPUT -j ufw-b", OPEN + "-A INPUT -j ufw-b")]
)
def test_applied_lines_make_the_wanted_rules_live(live: str) -> None:
    chains, before = rules.parse_chains(WANTED), rules.parse_chains(live)
    after = rules.apply_lines(before, rules.plan(chains, before))
    assert rules.plan(chains, after) == []
    assert before == rules.parse_chains(live)
