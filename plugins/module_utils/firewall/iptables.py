# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Parse the text of iptables-save into chains of packets: pure functions."""

from __future__ import annotations

import ipaddress
import shlex
import typing as t

from .packets import PRIORITIES, Action, Chain, Match, Network, Packet, Rule, Table

HOOKS = {"PREROUTING": "prerouting", "INPUT": "input", "FORWARD": "forward"}
# Targets after which the next rule follows.
CONTINUING = frozenset(
    [
        "AUDIT",
        "CHECKSUM",
        "CLASSIFY",
        "CONNMARK",
        "CONNSECMARK",
        "CT",
        "DSCP",
        "ECN",
        "HL",
        "HMARK",
        "IDLETIMER",
        "LED",
        "LOG",
        "MARK",
        "NFLOG",
        "NOTRACK",
        "RATEEST",
        "SECMARK",
        "SET",
        "TCPMSS",
        "TCPOPTSTRIP",
        "TEE",
        "TOS",
        "TRACE",
        "TTL",
        "ULOG",
    ]
)
VERDICTS = {"ACCEPT": "accept", "DROP": "drop", "REJECT": "drop", "RETURN": "return"}
PROTOCOLS = {"1": "icmp", "6": "tcp", "17": "udp", "58": "ipv6-icmp", "icmpv6": "ipv6-icmp"}
# Extensions whose options follow; each option decides by itself.
EXTENSIONS = frozenset(["tcp", "udp", "multiport", "conntrack", "state", "comment", "addrtype"])


class Options:
    """The options of a rule, read one after another."""

    def __init__(self, text: str) -> None:
        self.words = shlex.split(text)[2:]
        self.matches: list[Match] = []
        self.target = ""
        self.jump = ""
        self.parameters: dict[str, str] = {}

    def values(self) -> list[str]:
        """Remove and return the words up to the next option."""
        found = []
        while self.words and not (self.words[0].startswith("-") or self.words[0] == "!"):
            found.append(self.words.pop(0))
        return found


def unknown(_packet: Packet) -> None:
    """Match nothing that this code knows."""


def negate(match: Match) -> Match:
    """Return the opposite of a match; unknown stays unknown."""

    def opposite(packet: Packet) -> bool | None:
        result = match(packet)
        return None if result is None else not result

    return opposite


def match_name(pattern: str) -> t.Callable[[str], bool]:
    """Return a match of an interface's name; a + at the end matches any suffix."""
    if pattern.endswith("+"):
        return lambda name: name.startswith(pattern[:-1])
    return lambda name: name == pattern


def match_interface(pattern: str) -> Match:
    """Return a match of the incoming interface."""
    matches = match_name(pattern)
    return lambda packet: matches(packet.interface)


def match_out_interface(pattern: str) -> Match:
    """Return a match of the outgoing interface, which is unknown for a destination behind a router."""
    matches = match_name(pattern)

    def match(packet: Packet) -> bool | None:
        if packet.out_interface:
            return matches(packet.out_interface)
        return False if packet.is_local else None

    return match


def match_protocol(name: str) -> Match:
    """Return a match of the transport protocol, by name or number."""
    wanted = PROTOCOLS.get(name, name)
    return lambda packet: wanted in ("all", "0") or packet.proto == wanted


def match_ports(text: str, read: t.Callable[[Packet], int]) -> Match:
    """Return a match of a port, a range such as 80:90, or several of them."""
    try:
        ranges = [parse_range(part) for part in text.split(",")]
    except ValueError:
        return unknown  # a name of /etc/services that iptables-save did not translate
    return lambda packet: any(first <= read(packet) <= last for first, last in ranges)


def parse_range(text: str) -> tuple[int, int]:
    """Return the first and the last port of a range in iptables' format."""
    first, colon, last = text.partition(":")
    return int(first or 0), int((last or 65535) if colon else first)


def parse_networks(text: str) -> list[Network]:
    """Return the networks of a list; a mask that is not a prefix raises ValueError."""
    return [ipaddress.ip_network(part, strict=False) for part in text.split(",")]


def match_address(text: str, read: t.Callable[[Packet], t.Any]) -> Match:
    """Return a match of an address by networks."""
    try:
        networks = parse_networks(text)
    except ValueError:
        return unknown
    return lambda packet: any(read(packet) in network for network in networks)


def match_states(text: str) -> Match:
    """Return a match of the states of a connection: the packet is new, and DNAT after a translation."""
    names = set(text.split(","))
    return lambda packet: "NEW" in names or ("DNAT" in names and packet.original_port != 0)


def match_type(text: str, local: bool | None) -> Match:
    """Return a match of the type of the destination (local is None) or of the source."""
    names = set(text.split(","))

    def match(packet: Packet) -> bool:
        is_local = packet.is_local if local is None else local
        return ("LOCAL" if is_local else "UNICAST") in names

    return match


def match_flags(values: t.Sequence[str]) -> Match:
    """Return a match of TCP flags: the first packet of a connection has only SYN."""
    mask, wanted = (set() if value == "NONE" else set(value.split(",")) for value in values)
    flags = {"SYN"} if mask == {"ALL"} else mask & {"SYN"}
    return lambda packet: packet.proto == "tcp" and flags == wanted


# One function for each option with one value.
MATCHES: dict[str, t.Callable[[str], Match]] = {
    "-i": match_interface,
    "-o": match_out_interface,
    "-p": match_protocol,
    "-s": lambda value: match_address(value, lambda packet: packet.source),
    "-d": lambda value: match_address(value, lambda packet: packet.destination),
    "--dport": lambda value: match_ports(value, lambda packet: packet.port),
    "--dports": lambda value: match_ports(value, lambda packet: packet.port),
    "--sport": lambda value: match_ports(value, lambda packet: packet.source_port),
    "--sports": lambda value: match_ports(value, lambda packet: packet.source_port),
    "--state": match_states,
    "--ctstate": match_states,
    "--ctproto": match_protocol,
    "--ctorigdstport": lambda value: match_ports(value, lambda packet: packet.client_port),
    "--ctdir": lambda value: lambda _packet: value == "ORIGINAL",
    "--dst-type": lambda value: match_type(value, None),
    "--src-type": lambda value: match_type(value, False),
    "--comment": lambda _value: lambda _packet: True,
}


def parse_rule(text: str) -> Options:
    """Return matches and target of one line of iptables-save; an option that is not known matches nothing known."""
    options = Options(text)
    negated = False
    while options.words:
        word = options.words.pop(0)
        if word == "!":
            negated = True
            continue
        _read_option(options, word, negated)
        negated = False
    return options


def _read_option(options: Options, word: str, negated: bool) -> None:
    if word in ("-j", "-g"):
        options.jump, options.target = word, options.words.pop(0)
    elif options.target:
        options.parameters[word] = " ".join(options.values())
    elif word == "-m":
        if options.words.pop(0) not in EXTENSIONS:
            options.matches.append(unknown)
    elif word == "--tcp-flags":
        match = match_flags([options.words.pop(0), options.words.pop(0)])
        options.matches.append(negate(match) if negated else match)
    elif word in MATCHES:
        match = MATCHES[word](options.words.pop(0))
        options.matches.append(negate(match) if negated else match)
    else:
        options.values()
        options.matches.append(unknown)


def build_action(options: Options, chains: t.Container[str]) -> Action:
    """Return what a rule does."""
    name = options.target
    if not name or name in CONTINUING:
        return Action("continue")
    if name in VERDICTS:
        return Action(VERDICTS[name])
    if name in chains:
        return Action("goto" if options.jump == "-g" else "jump", name)
    if name == "REDIRECT":
        return _build_translation("", options.parameters.get("--to-ports", ""))
    if name == "DNAT":
        return parse_destination(options.parameters.get("--to-destination", ""))
    return Action("unknown")


def parse_destination(text: str) -> Action:
    """Return the translation to an address, to [address]:port, or to :port."""
    if text.startswith("["):
        address, _bracket, port = text[1:].partition("]")
        return _build_translation(address, port.lstrip(":"))
    if text.count(":") > 1:
        return _build_translation(text, "")
    address, _colon, port = text.partition(":")
    return _build_translation(address, port)


def _build_translation(address: str, port: str) -> Action:
    first = port.partition("-")[0]
    try:
        return Action("translate", "", ipaddress.ip_address(address) if address else None, int(first or 0))
    except ValueError:
        return Action("unknown")


def parse_save(text: str, family: int, program: str = "iptables", without: t.Container[str] = ()) -> list[Table]:
    """Return the tables of iptables-save's output; `program` is the command that shows them."""
    tables: dict[str, dict[str, tuple[str, list[str]]]] = {}
    chains: dict[str, tuple[str, list[str]]] = {}
    for line in text.splitlines():
        if line.startswith("*"):
            chains = tables.setdefault(line[1:], {})
        elif line.startswith(":"):
            name, policy = line[1:].split()[:2]
            chains[name] = (policy, [])
        elif line.startswith("-A "):
            chains[line.split()[1]][1].append(line)
    return [build_table(name, chains, family, program) for name, chains in tables.items() if name not in without]


def build_table(
    table: str, chains: t.Mapping[str, tuple[str, list[str]]], family: int, program: str = "iptables"
) -> Table:
    """Return one table; chains have a policy and lines."""
    built = {}
    command = program if family == 4 else program.replace("iptables", "ip6tables")
    for name, (policy, lines) in chains.items():
        place = f"{command}: table {table}, chain {name}"
        parsed = []
        for line in lines:
            options = parse_rule(line)
            removal = f"{command} -t {table} -D {line.removeprefix('-A ')}"
            parsed.append(Rule(line, tuple(options.matches), build_action(options, chains), place, removal, program))
        # The chains of nat see the first packet only, and INPUT of nat changes the source only.
        hook = "" if (table, name) == ("nat", "INPUT") else HOOKS.get(name, "")
        built[name] = Chain(
            name,
            place,
            tuple(parsed),
            hook if policy != "-" else "",
            PRIORITIES.get(table, 0),
            VERDICTS.get(policy, "accept"),
            (family,),
            f"{command} -t {table} -P {name} ACCEPT",
        )
    return Table(built)
