"""Allowed ports become the same rules that ufw itself would write."""

from __future__ import annotations

import typing as t

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.vise.platform.plugins.filter.ufw_rules import FilterModule, ufw_rules

SSH = {"port": 22, "proto": "tcp", "comment": "SSH key"}

# What `ufw allow` of Debian 13 wrote for the same ports.
LONE = ("allow tcp 80 0.0.0.0/0 any 10.0.0.5 in", "-p tcp --dport 80 -s 10.0.0.5")
UFW_WROTE: list[tuple[dict[str, t.Any], int, list[tuple[str, str]]]] = [
    (SSH, 4, [("allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in comment=535348206b6579", "-p tcp --dport 22")]),
    (SSH, 6, [("allow tcp 22 ::/0 any ::/0 in comment=535348206b6579", "-p tcp --dport 22")]),
    (
        {"port": "5000:5010", "from": ["10.0.0.0/8"], "comment": "range"},
        4,
        [
            (
                "allow tcp 5000:5010 0.0.0.0/0 any 10.0.0.0/8 in comment=72616e6765",
                "-p tcp -m multiport --dports 5000:5010 -s 10.0.0.0/8",
            )
        ],
    ),
    (
        {"port": 51820, "proto": "udp", "from": ["fd00::/8"]},
        6,
        [("allow udp 51820 ::/0 any fd00::/8 in", "-p udp --dport 51820 -s fd00::/8")],
    ),
    ({"port": 80, "from": ["10.0.0.5/32"]}, 4, [LONE]),
    ({"port": 80, "from": ["10.0.0.5"]}, 4, [LONE]),
]


@pytest.mark.parametrize(("entry", "family", "expected"), UFW_WROTE)
def test_rules_equal_those_of_ufw(entry: dict[str, t.Any], family: int, expected: list[tuple[str, str]]) -> None:
    assert [(rule["tuple"], rule["input"]) for rule in ufw_rules([entry], family)] == expected


@pytest.mark.parametrize(
    ("entry", "family", "expected"),
    [
        ({"port": 80}, 4, ["-m conntrack --ctstate DNAT --ctdir ORIGINAL --ctproto tcp --ctorigdstport 80"]),
        (
            {"port": "1:9", "proto": "udp", "from": ["fd00::1", "10.0.0.0/8"]},
            6,
            ["-s fd00::1 -m conntrack --ctstate DNAT --ctdir ORIGINAL --ctproto udp --ctorigdstport 1:9"],
        ),
    ],
)
def test_published_ports_are_matched_by_the_port_that_the_client_connected_to(
    entry: dict[str, t.Any], family: int, expected: list[str]
) -> None:
    assert [rule["published"] for rule in ufw_rules([entry], family)] == expected


def test_networks_of_the_other_family_are_ignored() -> None:
    entry = {"port": 80, "from": ["10.0.0.0/8"]}
    assert len(ufw_rules([entry], 4)) == 1
    assert ufw_rules([entry], 6) == []


def test_empty_list_of_networks_opens_nothing() -> None:
    assert ufw_rules([{"port": 80, "from": []}], 4) == []


def test_port_allowed_twice_is_one_rule() -> None:
    allow: list[dict[str, t.Any]] = [
        SSH,
        {"port": "22"},
        {"port": 22, "proto": "udp"},
        {"port": 22, "from": ["10.0.0.1"]},
    ]
    assert [rule["input"] for rule in ufw_rules(allow, 4)] == [
        "-p tcp --dport 22",
        "-p udp --dport 22",
        "-p tcp --dport 22 -s 10.0.0.1",
    ]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"port": "ssh"}, "'ssh' is neither a port"),
        ({"port": 0}, "0 is neither a port"),
        ({"port": 65536}, "65536 is neither a port"),
        ({"port": "10:5"}, "'10:5' is neither a port"),
        ({"port": "5:5"}, "'5:5' is neither a port"),
        ({"port": "1:2:3"}, "'1:2:3' is neither a port"),
        ({"port": "22 -j ACCEPT"}, "is neither a port"),
        ({}, "None is neither a port"),
        ({"port": 1, "proto": "icmp"}, "proto 'icmp' is not one of tcp, udp"),
        ({"port": 1, "from": ["10.0.0.1/8"]}, "has host bits set"),
        ({"port": 1, "from": ["office"]}, "does not appear to be an IPv4 or IPv6 network"),
        ({"port": 1, "from": "10.0.0.0/8"}, "from must be a list of networks"),
        ({"port": 1, "comment": "it's"}, "contains a quote or a line break"),
        ({"port": 1, "comment": "a\nb"}, "contains a quote or a line break"),
    ],
)
def test_invalid_entry_is_named_in_the_error(entry: dict[str, t.Any], message: str) -> None:
    with pytest.raises(AnsibleFilterError, match="allowed port 2 ") as refusal:
        ufw_rules([SSH, entry], 4)
    assert message in str(refusal.value)


def test_unknown_family_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="family must be 4 or 6, not 5"):
        FilterModule().filters()["ufw_rules"]([SSH], 5)
