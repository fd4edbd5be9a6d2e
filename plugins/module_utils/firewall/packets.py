# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Send a new packet through the rule sets of a kernel: pure functions on parsed chains.

A rule that contains a match or a target that this code does not know has an unknown result. It is neither taken as a
proof nor ignored: it becomes a doubt of the journey.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import typing as t

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
FAMILY_NAMES = {4: "ip", 6: "ip6"}
# Priorities that the kernel gives to the tables of iptables, for each hook.
PRIORITIES = {"raw": -300, "mangle": -150, "nat": -100, "filter": 0, "security": 50}


@dataclasses.dataclass(frozen=True)
class Host:
    """What decides about local delivery and the outgoing interface."""

    addresses: frozenset[Address] = frozenset()
    networks: tuple[tuple[Network, str], ...] = ()  # directly connected networks and their interfaces


@dataclasses.dataclass(frozen=True)
class Packet:
    """The first packet of a connection from outside."""

    proto: str  # tcp | udp
    source: Address
    destination: Address
    port: int
    interface: str
    host: Host = dataclasses.field(default_factory=Host, compare=False, repr=False)
    source_port: int = 49327
    original_port: int = 0  # the port to which the client connected; 0 while it was not translated

    @property
    def family(self) -> int:
        """The IP version."""
        return self.destination.version

    @property
    def is_local(self) -> bool:
        """Whether a program of the host receives it."""
        return self.destination in self.host.addresses or self.destination.is_loopback

    @property
    def out_interface(self) -> str:
        """The interface through which a forwarded packet leaves; empty for a local or unknown destination."""
        if self.is_local:
            return ""
        return next((name for network, name in self.host.networks if self.destination in network), "")

    @property
    def client_port(self) -> int:
        """The port to which the client connected."""
        return self.original_port or self.port


# Whether a packet matches; None when that is unknown.
Match = t.Callable[[Packet], bool | None]


@dataclasses.dataclass(frozen=True)
class Action:
    """What a rule does with a packet that matches."""

    kind: str  # accept | drop | return | continue | jump | goto | translate | unknown
    target: str = ""  # the chain of jump and goto
    address: Address | None = None  # of translate; None: the host's own address
    port: int = 0  # of translate; 0: the port stays


@dataclasses.dataclass(frozen=True)
class Rule:
    """One rule of a chain."""

    text: str
    matches: tuple[Match, ...] = dataclasses.field(compare=False)  # functions: the text is the identity
    action: Action
    place: str = ""  # table and chain, for the operator
    removal: str = ""  # the command that removes it
    program: str = "iptables"  # which program shows it: iptables | iptables-legacy | nft

    def applies(self, packet: Packet) -> bool | None:
        """Return whether the packet matches; None when that is unknown."""
        unknown = False
        for match in self.matches:
            result = match(packet)
            if result is False:
                return False
            unknown = unknown or result is None
        return None if unknown else True


@dataclasses.dataclass(frozen=True)
class Chain:
    """One chain; a base chain has a hook."""

    name: str
    place: str
    rules: tuple[Rule, ...] = ()
    hook: str = ""  # ingress | prerouting | input | forward
    priority: int = 0
    policy: str = "accept"
    families: tuple[int, ...] = (4, 6)
    removal: str = ""  # the command that removes its table

    def end(self) -> Rule:
        """Return the policy as a rule."""
        return Rule(f"policy {self.policy}", (), Action(self.policy), self.place, self.removal)


@dataclasses.dataclass(frozen=True)
class Table:
    """The chains of one table by name."""

    chains: t.Mapping[str, Chain]


@dataclasses.dataclass(frozen=True)
class Doubt:
    """A rule whose result is unknown, and what it may do: accept, drop, translate or unknown."""

    rule: Rule
    verdict: str


@dataclasses.dataclass(frozen=True)
class Step:
    """The result of a chain: accept, drop, or end when no rule decided."""

    verdict: str
    packet: Packet
    rule: Rule | None = None
    doubts: tuple[Doubt, ...] = ()


@dataclasses.dataclass(frozen=True)
class Journey:
    """The result of all base chains: accept or drop, with the rule that decided and the rule that translated."""

    verdict: str
    packet: Packet
    rule: Rule | None
    translation: Rule | None
    doubts: tuple[Doubt, ...]
    last_doubts: tuple[Doubt, ...] = ()  # those of the base chain that dropped it


def translate(packet: Packet, action: Action) -> Packet:
    """Return the packet with the destination of a translation."""
    own = next((address for address in packet.host.addresses if address.version == packet.family), packet.destination)
    address = action.address or (packet.destination if packet.is_local else own)
    return dataclasses.replace(
        packet, destination=address, port=action.port or packet.port, original_port=packet.client_port
    )


def walk_chain(table: Table, name: str, packet: Packet) -> Step:
    """Send a packet through a chain and the chains to which it jumps."""
    doubts: list[Doubt] = []
    chain = table.chains.get(name)
    for rule in chain.rules if chain else ():
        applies = rule.applies(packet)
        if applies is False or rule.action.kind == "continue":
            continue
        step = _perform(table, rule, packet)
        doubts += step.doubts
        if applies is None or step.verdict == "unknown":
            if step.verdict not in ("end", "return"):
                doubts.append(Doubt(rule, "translate" if step.packet != packet else step.verdict))
            continue
        if step.verdict == "return":
            break
        if step.verdict != "end":
            return dataclasses.replace(step, doubts=tuple(doubts))
        if rule.action.kind == "goto":
            break
    return Step("end", packet, None, tuple(doubts))


def _perform(table: Table, rule: Rule, packet: Packet) -> Step:
    action = rule.action
    if action.kind in ("jump", "goto"):
        return walk_chain(table, action.target, packet)
    if action.kind == "translate":
        return Step("accept", translate(packet, action), rule)
    return Step(action.kind, packet, rule)


def send(tables: t.Iterable[Table], packet: Packet) -> Journey:
    """Send a packet through all base chains, in the kernel's order, to a program or through the host."""
    bases = [(chain, table) for table in tables for chain in table.chains.values() if chain.hook]
    bases = sorted((pair for pair in bases if packet.family in pair[0].families), key=lambda pair: pair[0].priority)
    doubts: list[Doubt] = []
    translation: Rule | None = None
    rule: Rule | None = None
    for hooks in (("ingress",), ("prerouting",), ("input", "forward")):
        wanted = hooks if len(hooks) == 1 else (("input",) if packet.is_local else ("forward",))
        for chain, table in bases:
            if chain.hook not in wanted:
                continue
            step = walk_chain(table, chain.name, packet)
            doubts += step.doubts
            verdict = chain.policy if step.verdict == "end" else step.verdict
            if verdict == "drop":
                return Journey("drop", packet, step.rule or chain.end(), translation, tuple(doubts), step.doubts)
            rule = step.rule or rule
            if step.packet != packet:
                translation, packet = translation or step.rule, step.packet
    return Journey("accept", packet, rule, translation, tuple(doubts))
