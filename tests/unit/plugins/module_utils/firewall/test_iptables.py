"""Rules of iptables-save match a new packet, do not match it, or have an unknown result."""

from __future__ import annotations

import dataclasses
import ipaddress

import pytest
from ansible_collections.vise.platform.plugins.module_utils.firewall import iptables
from ansible_collections.vise.platform.plugins.module_utils.firewall.packets import Host, Packet, send

ADDRESS = ipaddress.ip_address("192.0.2.9")
BRIDGE = ipaddress.ip_network("172.17.0.0/16")
HOST = Host(frozenset({ADDRESS, BRIDGE[1]}), ((BRIDGE, "docker0"),))
WEB = Packet("tcp", ipaddress.ip_address("198.51.100.4"), ADDRESS, 443, "eth0", HOST)
TRANSLATED = dataclasses.replace(WEB, destination=BRIDGE[2], port=80, original_port=443)
DOCKER = """\
*nat
:PREROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A DOCKER -i docker0 -j RETURN
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 443 -j DNAT --to-destination 172.17.0.2:80
COMMIT
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:DOCKER-USER - [0:0]
:DOCKER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER-USER -m conntrack --ctstate DNAT --ctproto 6 --ctorigdstport 443 --ctdir ORIGINAL -j RETURN
-A DOCKER-USER -j DROP
COMMIT
"""


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", True),
        ("-i eth0", True),
        ("! -i eth+", False),
        ("-i wg0", False),
        ("-o docker0", False),
        ("-p tcp -m tcp --dport 443", True),
        ("-p tcp -m tcp --dport 400:500", True),
        ("-p tcp -m tcp ! --dport 443", False),
        ("-p udp -m udp --dport 443", False),
        ("-p icmp -m limit --limit 1/sec", False),
        ("-p tcp -m multiport --dports 22,80:90,443", True),
        ("-p tcp -m multiport ! --dports 22,443", False),
        ("-p tcp -m tcp --sport 53", False),
        ("-s 198.51.100.0/24 -d 192.0.2.9/32", True),
        ("! -s 10.0.0.0/8", True),
        ("-s 198.51.100.0/255.0.255.0", None),
        ("-m conntrack --ctstate RELATED,ESTABLISHED", False),
        ("-m state --state NEW", True),
        ("-m conntrack ! --ctstate NEW,DNAT", False),
        ("-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN", True),
        ("-p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN", False),
        ("-p tcp -m tcp --tcp-flags FIN,SYN,RST,PSH,ACK,URG NONE", False),
        ("-m addrtype --dst-type LOCAL", True),
        ("-m addrtype ! --dst-type LOCAL", False),
        ("-m addrtype --dst-type MULTICAST", False),
        ('-m comment --comment "! -p udp -j DROP"', True),
        ("-m limit --limit 3/min", None),
        ("-p tcp -m geoip ! --source-country DE,AT", None),
        ("-p udp -m set --match-set bans src", False),
        ("-m set ! --match-set bans src -m mark --mark 0x1/0x1", None),
    ],
)
def test_rule_matches_a_new_packet(options: str, expected: bool | None) -> None:
    table = iptables.build_table("filter", {"INPUT": ("ACCEPT", [f"-A INPUT {options} -j DROP"])}, 4)
    assert table.chains["INPUT"].rules[0].applies(WEB) is expected


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("-j ACCEPT", "accept"),
        ("-j REJECT --reject-with icmp-host-prohibited", "drop"),
        ('-j LOG --log-prefix "-j ACCEPT "', "continue"),
        ("-j NFQUEUE --queue-num 0 --queue-bypass", "unknown"),
        ("-j TARPIT", "unknown"),
        ("-j MINE", "jump"),
        ("-g MINE", "goto"),
        ("-j REDIRECT --to-ports 443", "translate"),
        ("", "continue"),
    ],
)
def test_target_is_recognized(target: str, kind: str) -> None:
    table = iptables.build_table("filter", {"INPUT": ("ACCEPT", [f"-A INPUT {target}"]), "MINE": ("-", [])}, 4)
    assert table.chains["INPUT"].rules[0].action.kind == kind


@pytest.mark.parametrize(
    ("text", "address", "port"),
    [
        ("10.0.0.1", "10.0.0.1", 0),
        ("10.0.0.1:80-90", "10.0.0.1", 80),
        ("[fd00::1]:80", "fd00::1", 80),
        (":443", "None", 443),
    ],
)
def test_destination_of_a_translation_is_read(text: str, address: str, port: int) -> None:
    action = iptables.parse_destination(text)
    assert (str(action.address), action.port) == (address, port)


@pytest.mark.parametrize(("port", "verdict"), [(443, "accept"), (80, "drop"), (22, "drop")])
def test_published_port_is_followed_to_the_container(port: int, verdict: str) -> None:
    journey = send(iptables.parse_save(DOCKER, 4), dataclasses.replace(WEB, port=port))
    assert journey.verdict == verdict


def test_removal_of_a_rule_is_a_command() -> None:
    (rule,) = iptables.parse_save("*mangle\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp -j DROP\n", 6)[0].chains["INPUT"].rules
    assert rule.place == "ip6tables: table mangle, chain INPUT"
    assert rule.removal == "ip6tables -t mangle -D INPUT -p tcp -j DROP"
