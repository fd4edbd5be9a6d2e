# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Judge the rule sets of a host by sample packets: pure functions.

A packet to each open port must be accepted from its sources. A packet to any other port must not be accepted.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import shlex
import typing as t

from .packets import Address, Doubt, Host, Journey, Network, Packet, Rule, Table, send

ANYWHERE = {4: ipaddress.ip_network("0.0.0.0/0"), 6: ipaddress.ip_network("::/0")}
# Public addresses of different networks, which stand for any source.
SAMPLES = {
    4: ("5.45.99.7", "23.90.4.11", "81.2.69.160", "146.70.3.9", "203.0.112.77"),
    6: ("2001:67c:2e8::7", "2400:cb00::11", "2600:1f16::9", "2a01:4f8:c2c::3", "2c0f:fb50::5"),
}
# Ports that no rule needs to name.
OTHER_PORTS = (1, 8080, 41943)
PORTS = re.compile(r"\b(?:dports?|th dport)\b\s+(?:(?:!=|==|vmap)\s+)?(\{[^}]*\}|[\d:,-]+)")
MOST_PORTS = 400


@dataclasses.dataclass(frozen=True)
class Opening:
    """Ports that are open to a network."""

    proto: str
    first: int
    last: int
    source: Network

    def covers(self, packet: Packet) -> bool:
        """Return whether the client's port is open to the packet's source."""
        return (
            packet.proto == self.proto
            and self.first <= packet.client_port <= self.last
            and packet.source in self.source
        )


@dataclasses.dataclass(frozen=True)
class Interface:
    """An interface to which packets arrive from outside, and its address."""

    name: str
    address: Address


@dataclasses.dataclass(frozen=True)
class Problem:
    """A foreign rule that decides against the list of open ports."""

    rule: Rule
    opens: bool
    ports: tuple[str, ...]

    def __str__(self) -> str:
        """Return what the rule does, and what to do."""
        many = ", ".join(self.ports[:8]) + (" …" if len(self.ports) > 8 else "")
        effect = "opens, although it is not an open port" if self.opens else "drops, although it is an open port"
        return f"{self.rule.place}: `{self.rule.text}` {effect}: {many}. Remove the rule: `{self.rule.removal}`"


@dataclasses.dataclass(frozen=True)
class Judgement:
    """What the sample packets have shown."""

    problems: tuple[Problem, ...]
    doubts: tuple[str, ...]  # rules whose result is unknown, and rules that drop a part of the sources


def parse_openings(line: str, family: int) -> list[Opening]:
    """Return the openings of a rule in the chain ufw-user-input; none of a rule that has no protocol or port."""
    words = shlex.split(line)
    values = {word: words[at + 1] for at, word in enumerate(words[:-1]) if word.startswith("-")}
    ports = values.get("--dport") or values.get("--dports")
    if not ports or "!" in words or "-p" not in values:
        return []
    source = ipaddress.ip_network(values["-s"], strict=False) if "-s" in values else ANYWHERE[family]
    ranges = [part.partition(":") for part in ports.split(",")]
    return [Opening(values["-p"], int(first), int(last or first), source) for first, _colon, last in ranges]


def choose_sources(network: Network) -> list[Address]:
    """Return sample addresses of a network."""
    if network == ANYWHERE[network.version]:
        return [ipaddress.ip_address(text) for text in SAMPLES[network.version]]
    size = network.num_addresses
    offsets = {size * part // 7 + (1 if size > 2 else 0) for part in (0, 1, 3, 4, 6)}
    return sorted({network[min(offset, size - 1)] for offset in offsets})


def choose_ports(tables: t.Iterable[Table]) -> list[int]:
    """Return ports that rules name, and some that no rule names."""
    found: dict[int, None] = dict.fromkeys(OTHER_PORTS)
    for table in tables:
        for chain in table.chains.values():
            for rule in chain.rules:
                for numbers in PORTS.findall(rule.text):
                    found.update(dict.fromkeys(int(number) for number in re.findall(r"\d+", numbers)))
    return [port for port in found if 0 < port < 65536][:MOST_PORTS]


def judge(
    openings: t.Sequence[Opening],
    tables: t.Sequence[Table],
    interfaces: t.Sequence[Interface],
    host: Host,
    own: t.Container[tuple[str, str]],
) -> Judgement:
    """Send sample packets through the tables; `own` has place and text of each rule of the firewall itself."""
    found: dict[tuple[Rule, bool], dict[str, None]] = {}
    doubts: dict[str, None] = {}
    ports = choose_ports(tables)
    for interface in interfaces:
        for opening in openings:
            if opening.source.version == interface.address.version:
                _judge_opening(opening, interface, host, tables, own, found, doubts)
        for packet in choose_closed_packets(openings, ports, interface, host):
            journey = send(tables, packet)
            for rule in _find_openers(journey, own):
                found.setdefault((rule, True), {})[describe_port(packet)] = None
            doubts.update((describe_doubt(doubt), None) for doubt in journey.doubts if doubt.verdict == "translate")
    problems = tuple(Problem(rule, opens, tuple(many)) for (rule, opens), many in found.items())
    return Judgement(problems, tuple(doubts))


def _judge_opening(
    opening: Opening,
    interface: Interface,
    host: Host,
    tables: t.Sequence[Table],
    own: t.Container[tuple[str, str]],
    found: dict[tuple[Rule, bool], dict[str, None]],
    doubts: dict[str, None],
) -> None:
    sources = choose_sources(opening.source)
    for port in sorted({opening.first, opening.last}):
        packets = [Packet(opening.proto, source, interface.address, port, interface.name, host) for source in sources]
        journeys = [send(tables, packet) for packet in packets]
        foreign = [one for one in journeys if one.verdict == "drop" and one.rule and not is_own(one.rule, own)]
        for journey in foreign:
            rule = t.cast(Rule, journey.rule)
            partial = len(foreign) < len(journeys) or is_ban(rule, packets)
            if partial or may_pass(journey):
                what = "drops a part of the sources of open ports" if partial else "may drop packets to open ports"
                doubts[f"{rule.place}: `{rule.text}` {what}"] = None
            else:
                found.setdefault((rule, False), {})[describe_port(packets[0])] = None
        for journey in journeys:
            doubts.update(
                (describe_doubt(doubt), None)
                for doubt in journey.doubts
                if doubt.verdict != "accept" and not is_own(doubt.rule, own)
            )


def choose_closed_packets(
    openings: t.Sequence[Opening], ports: t.Iterable[int], interface: Interface, host: Host
) -> t.Iterator[Packet]:
    """Yield packets to ports that are not open to their source."""
    sources = choose_sources(ANYWHERE[interface.address.version])[:2]
    for port in sorted({*ports, *(opening.first for opening in openings)}):
        for proto in ("tcp", "udp"):
            for source in sources:
                packet = Packet(proto, source, interface.address, port, interface.name, host)
                if not any(opening.covers(packet) for opening in openings):
                    yield packet


def _find_openers(journey: Journey, own: t.Container[tuple[str, str]]) -> t.Iterator[Rule]:
    """Yield the foreign rules that open a closed port; none when it stays closed."""
    if journey.verdict == "accept":
        rule = journey.translation or journey.rule
        if rule and (journey.translation or not is_own(rule, own)):
            yield rule
        return
    # The program behind a queue can accept a packet before this firewall's rules see it.
    for doubt in journey.last_doubts:
        if doubt.verdict in ("accept", "unknown") and not is_own(doubt.rule, own):
            yield doubt.rule


def is_own(rule: Rule, own: t.Container[tuple[str, str]]) -> bool:
    """Return whether a rule, or a policy, belongs to the firewall itself."""
    return (rule.place, rule.text) in own


def is_ban(rule: Rule, packets: t.Sequence[Packet]) -> bool:
    """Return whether a rule drops only the one address from which a port is open, but not the addresses next to it."""
    if len(packets) != 1:
        return False
    near = [dataclasses.replace(packets[0], source=packets[0].source + step) for step in (1, 2)]
    return not any(rule.applies(packet) for packet in near)


def may_pass(journey: Journey) -> bool:
    """Return whether a rule with an unknown result may accept or translate a packet before it is dropped."""
    return any(doubt.verdict in ("accept", "unknown") for doubt in journey.last_doubts) or any(
        doubt.verdict == "translate" for doubt in journey.doubts
    )


def describe_port(packet: Packet) -> str:
    """Return protocol, port and IP version."""
    return f"{packet.proto}/{packet.client_port} over IPv{packet.family}"


def describe_doubt(doubt: Doubt) -> str:
    """Return a rule whose result is unknown."""
    return f"{doubt.rule.place}: `{doubt.rule.text}` has a match or target whose result is unknown"
