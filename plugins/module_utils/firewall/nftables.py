# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Parse the JSON of `nft -j list ruleset` into chains of packets: pure functions."""

from __future__ import annotations

import bisect
import ipaddress
import json
import re
import typing as t

from .iptables import unknown
from .packets import Action, Chain, Match, Packet, Rule, Table

FAMILIES = {"ip": (4,), "ip6": (6,), "inet": (4, 6), "netdev": (4, 6)}
HOOKS = ("ingress", "prerouting", "input", "forward")
VERDICTS = {"accept": "accept", "drop": "drop", "reject": "drop", "return": "return"}
# Statements after which the next one follows.
CONTINUING = frozenset(
    {"counter", "log", "mangle", "set", "map", "notrack", "dup", "flow", "secmark", "comment", "continue", "snat"}
    | {"masquerade", "ct helper", "ct timeout", "ct expectation"}
)
UNKNOWN_MATCHES = frozenset({"limit", "quota", "ct count", "meter", "numgen"})
TRANSLATIONS = ("dnat", "redirect")
PROTOCOLS = {"icmpv6": "ipv6-icmp", 6: "tcp", 17: "udp", 1: "icmp", 58: "ipv6-icmp"}
# Headers that a packet of TCP or UDP does not have.
OTHER_HEADERS = frozenset({"icmp", "icmpv6", "igmp", "sctp", "dccp", "udplite", "esp", "ah", "comp", "arp"})
# The value of a field that a packet does not have.
MISSING = object()
PORT_OPERATORS: dict[str, t.Callable[[int, int], bool]] = {
    "<": lambda left, right: left < right,
    ">": lambda left, right: left > right,
    "<=": lambda left, right: left <= right,
    ">=": lambda left, right: left >= right,
}
RULE = re.compile(r"^\t\t(?P<text>.*) # handle (?P<handle>\d+)$")
TABLE = re.compile(r"^table (?P<family>\S+) (?P<name>\S+) \{")

Data = dict[str, t.Any]
Sets = t.Mapping[tuple[str, str, str], t.Any]
Read = t.Callable[[Packet], t.Any]


def parse_texts(text: str) -> dict[tuple[str, str, int], str]:
    """Return the rules of `nft -a list ruleset` as text, by family, table and handle."""
    texts: dict[tuple[str, str, int], str] = {}
    family = name = ""
    for line in text.splitlines():
        if table := TABLE.match(line):
            family, name = table["family"], table["name"]
        elif rule := RULE.match(line):
            texts[family, name, int(rule["handle"])] = rule["text"]
    return texts


def parse_ruleset(
    text: str, texts: t.Mapping[tuple[str, str, int], str], skip: t.Container[tuple[str, str]] = ()
) -> list[Table]:
    """Return the tables of a rule set in JSON, without those of `skip` (family and name)."""
    entries: list[Data] = json.loads(text).get("nftables", []) if text.strip() else []
    sets = _collect_sets(entries)
    tables: dict[tuple[str, str], dict[str, Chain]] = {}
    for entry in entries:
        if "chain" in entry:
            chain = entry["chain"]
            key = chain["family"], chain["table"]
            if chain["family"] in FAMILIES and key not in skip:
                tables.setdefault(key, {})[chain["name"]] = _build_chain(chain)
    for entry in entries:
        rule = entry.get("rule", {})
        chains = tables.get((rule.get("family", ""), rule.get("table", "")), {})
        if rule and rule["chain"] in chains:
            chain = chains[rule["chain"]]
            more = _build_rules(rule, texts, sets, chain.place)
            chains[chain.name] = Chain(**{**chain.__dict__, "rules": (*chain.rules, *more)})
    return [Table(chains) for chains in tables.values()]


def _collect_sets(entries: t.Iterable[Data]) -> dict[tuple[str, str, str], t.Any]:
    found: dict[tuple[str, str, str], t.Any] = {}
    for entry in entries:
        one = entry.get("set") or entry.get("map")
        if one:
            found[one["family"], one["table"], one["name"]] = one.get("elem", [])
    return found


def _build_chain(chain: Data) -> Chain:
    family, table, name = chain["family"], chain["table"], chain["name"]
    hook = chain.get("hook", "")
    return Chain(
        name,
        f"nft: table {family} {table}, chain {name}",
        (),
        hook if hook in HOOKS else "",
        int(chain.get("prio", 0)),
        chain.get("policy", "accept"),
        FAMILIES[family],
        f"nft delete table {family} {table}",
    )


def _first_item(mapping: Data) -> tuple[str, t.Any]:
    """Return the only entry of a statement: its kind and its value."""
    return next(iter(mapping.items()))


def _build_rules(rule: Data, texts: t.Mapping[tuple[str, str, int], str], sets: Sets, place: str) -> t.Iterator[Rule]:
    """Yield a rule; one with a verdict map becomes one rule for each entry of the map."""
    family, table, handle = rule["family"], rule["table"], rule["handle"]
    text = texts.get((family, table, handle)) or f"handle {handle}"
    removal = f"nft delete rule {family} {table} {rule['chain']} handle {handle}"
    resolve = _resolver(family, table, sets)
    matches: list[Match] = []
    for statement in rule.get("expr", []):
        kind, value = _first_item(statement)
        if kind == "match":
            matches.append(build_match(value["left"], value.get("op", "=="), resolve(value["right"])))
        elif kind == "vmap":
            for key, verdict in _expand_map(value["data"], resolve):
                match = build_match(value["key"], "==", key)
                yield Rule(text, (*matches, match), _build_action(*_first_item(verdict)), place, removal, "nft")
            return
        elif kind in UNKNOWN_MATCHES or (kind == "xt" and value.get("type") == "match"):
            matches.append(unknown)
        elif (action := _build_action(kind, value)).kind != "continue":
            yield Rule(text, tuple(matches), action, place, removal, "nft")
            return


def _resolver(family: str, table: str, sets: Sets) -> t.Callable[[t.Any], t.Any]:
    """Return a function that replaces the name of a set by its elements."""

    def resolve(value: t.Any) -> t.Any:
        if isinstance(value, str) and value.startswith("@"):
            elements = sets.get((family, table, value[1:]))
            return value if elements is None else {"set": elements}
        return value

    return resolve


def _expand_map(data: t.Any, resolve: t.Callable[[t.Any], t.Any]) -> t.Iterator[tuple[t.Any, Data]]:
    resolved = resolve(data)
    elements = resolved.get("set", []) if isinstance(resolved, dict) else []
    for key, verdict in elements:
        yield key, verdict if isinstance(verdict, dict) else {"unknown": verdict}
    if not elements and isinstance(resolved, str):
        yield None, {"unknown": resolved}


def _build_action(kind: str, value: t.Any) -> Action:
    if kind in VERDICTS:
        return Action(VERDICTS[kind])
    if kind in ("jump", "goto"):
        return Action(kind, value["target"])
    if kind in TRANSLATIONS:
        return _build_translation(value or {})
    if kind in CONTINUING:
        return Action("continue")
    return Action("unknown")


def _build_translation(value: Data) -> Action:
    address, port = value.get("addr"), value.get("port", 0)
    if isinstance(port, dict) and "range" in port:
        port = port["range"][0]
    try:
        return Action("translate", "", ipaddress.ip_address(address) if address else None, int(port or 0))
    except (TypeError, ValueError):
        return Action("unknown")


def build_match(left: t.Any, operator: str, right: t.Any) -> Match:
    """Return the match of one expression."""
    read = build_reader(left)
    values = list_values(right)
    if read is None or values is None:
        return unknown
    if operator in PORT_OPERATORS:
        compare = PORT_OPERATORS[operator]
        return _of_field(read, lambda found: compare(found, values[0]) if _are_numbers(found, values[0]) else None)
    contains = build_lookup(values)

    def differs(found: t.Any) -> bool | None:
        result = contains(found)
        return None if result is None else not result

    return _of_field(read, differs if operator == "!=" else contains)


def build_lookup(values: t.Sequence[t.Any]) -> t.Callable[[t.Any], bool | None]:
    """Return a function that finds a field in the values; a set of banned addresses can have many thousands."""
    intervals = [interval for value in values if (interval := read_interval(value))]
    if len(intervals) < len(values):
        return lambda found: is_any(found, values)
    lows, highs, highest = sorted(intervals), list[tuple[int, int]](), (0, -1)
    for version, _low, high in lows:
        # Intervals may overlap: the highest end so far decides.
        highest = max(highest, (version, high))
        highs.append(highest)

    def contains(found: t.Any) -> bool | None:
        if not isinstance(found, ipaddress.IPv4Address | ipaddress.IPv6Address):
            return is_any(found, values)
        at = bisect.bisect_right(lows, (found.version, int(found), 1 << 129)) - 1
        return at >= 0 and highs[at] >= (found.version, int(found)) and lows[at][0] == found.version

    return contains


def read_interval(value: t.Any) -> tuple[int, int, int] | None:
    """Return IP version, first and last address of an element of a set; None when it has no addresses."""
    try:
        if isinstance(value, str):
            network = ipaddress.ip_network(value, strict=False)
        elif isinstance(value, dict) and "prefix" in value:
            network = ipaddress.ip_network(f"{value['prefix']['addr']}/{value['prefix']['len']}", strict=False)
        elif isinstance(value, dict) and "range" in value:
            first, last = map(ipaddress.ip_address, value["range"])
            return first.version, int(first), int(last)
        else:
            return None
    except (TypeError, ValueError):
        return None
    return network.version, int(network.network_address), int(network.broadcast_address)


def _of_field(read: Read, judge: t.Callable[[t.Any], bool | None]) -> Match:
    """Return a match of a field; a packet without the field never matches, whatever the operator is."""

    def match(packet: Packet) -> bool | None:
        found = read(packet)
        return False if found is MISSING else judge(found)

    return match


def _are_numbers(*values: t.Any) -> bool:
    return all(isinstance(value, int) for value in values)


def is_any(found: t.Any, values: t.Sequence[t.Any]) -> bool | None:
    """Return whether a field is one of the values; None when that is unknown."""
    results = [equals(found, value) for value in values]
    return True if True in results else (None if None in results else False)


def list_values(right: t.Any) -> list[t.Any] | None:
    """Return the values of the right side; None when they cannot be read."""
    if isinstance(right, dict) and "set" in right:
        right = right["set"]
        right = right if isinstance(right, list) else [right]
    if isinstance(right, dict) and not {"prefix", "range"} & right.keys():
        return None
    if isinstance(right, str) and right.startswith("@"):
        return None
    found = right if isinstance(right, list) else [right]
    return [value["elem"]["val"] if isinstance(value, dict) and "elem" in value else value for value in found]


def equals(found: t.Any, value: t.Any) -> bool | None:
    """Return whether a field of a packet is a value, in a range or in a network; None when that is unknown."""
    if found is None:
        return None
    if isinstance(value, dict):
        if "prefix" in value:
            network = ipaddress.ip_network(f"{value['prefix']['addr']}/{value['prefix']['len']}", strict=False)
            return found in network
        if "range" in value:
            first, last = value["range"]
            return _in_range(found, first, last)
        return None
    if isinstance(found, (ipaddress.IPv4Address, ipaddress.IPv6Address)):
        return _is_address(found, value)
    if isinstance(value, str) and value.endswith("*") and isinstance(found, str):
        return found.startswith(value[:-1])
    if isinstance(found, frozenset):
        return value in found
    if isinstance(found, str):
        return bool(found == PROTOCOLS.get(value, value))
    return bool(found == value) if isinstance(value, int) else None


def _is_address(found: t.Any, value: t.Any) -> bool | None:
    try:
        return bool(found in ipaddress.ip_network(value, strict=False))
    except (TypeError, ValueError):
        return None


def _in_range(found: t.Any, first: t.Any, last: t.Any) -> bool | None:
    if isinstance(found, int):
        return bool(first <= found <= last) if isinstance(first, int) and isinstance(last, int) else None
    try:
        low, high = ipaddress.ip_address(first), ipaddress.ip_address(last)
    except ValueError:
        return None
    return low.version == found.version and int(low) <= int(found) <= int(high)


def build_reader(left: t.Any) -> Read | None:
    """Return the function that reads a field of a packet; None for a field that this code does not know."""
    if not isinstance(left, dict):
        return None
    kind, value = next(iter(left.items()))
    if kind == "payload" and "field" in value:
        return _build_payload_reader(value["protocol"], value["field"])
    if kind == "meta":
        return METAS.get(value["key"])
    if kind == "ct" and "dir" not in value:
        return CONNECTIONS.get(value["key"])
    if kind == "fib" and value.get("result") == "type" and value.get("flags") == ["daddr"]:
        return lambda packet: "local" if packet.is_local else "unicast"
    if kind == "&":
        return _build_flags_reader(value)
    return None


def _build_payload_reader(protocol: str, name: str) -> Read | None:
    """Return the reader of a header's field; a header that the packet does not have is missing, not unknown."""
    if (protocol, name) in PAYLOADS:
        return PAYLOADS[protocol, name]
    if protocol in OTHER_HEADERS:
        return lambda _packet: MISSING
    if protocol in ("tcp", "udp"):
        return _of_protocol(protocol, lambda _packet: None)
    if protocol in ("ip", "ip6"):
        return _of_family(4 if protocol == "ip" else 6, lambda _packet: None)
    return None


def _build_flags_reader(value: t.Sequence[t.Any]) -> Read | None:
    """Return the reader of the TCP flags under a mask: the first packet of a connection has only SYN."""
    field, mask = value
    if build_reader(field) is not _flags or not isinstance(mask, dict) or "|" not in mask:
        return None
    return lambda packet: "syn" if packet.proto == "tcp" and "syn" in mask["|"] else MISSING


def _flags(packet: Packet) -> t.Any:
    return frozenset({"syn"}) if packet.proto == "tcp" else MISSING


def _of_protocol(proto: str, read: Read) -> Read:
    return lambda packet: read(packet) if packet.proto == proto else MISSING


def _of_family(family: int, read: Read) -> Read:
    return lambda packet: read(packet) if packet.family == family else MISSING


PAYLOADS: dict[tuple[str, str], Read] = {
    ("tcp", "flags"): _flags,
    ("th", "dport"): lambda packet: packet.port,
    ("th", "sport"): lambda packet: packet.source_port,
    ("ip", "protocol"): _of_family(4, lambda packet: packet.proto),
    ("ip6", "nexthdr"): _of_family(6, lambda packet: packet.proto),
    **{(proto, "dport"): _of_protocol(proto, lambda packet: packet.port) for proto in ("tcp", "udp")},
    **{(proto, "sport"): _of_protocol(proto, lambda packet: packet.source_port) for proto in ("tcp", "udp")},
    ("ip", "saddr"): _of_family(4, lambda packet: packet.source),
    ("ip", "daddr"): _of_family(4, lambda packet: packet.destination),
    ("ip6", "saddr"): _of_family(6, lambda packet: packet.source),
    ("ip6", "daddr"): _of_family(6, lambda packet: packet.destination),
}
METAS: dict[str, Read] = {
    "iifname": lambda packet: packet.interface,
    "iif": lambda packet: packet.interface,
    "l4proto": lambda packet: packet.proto,
    "nfproto": lambda packet: f"ipv{packet.family}",
    "protocol": lambda packet: "ip" if packet.family == 4 else "ip6",
    "pkttype": lambda _packet: "host",
    "oifname": lambda packet: "" if packet.is_local else packet.out_interface or None,
    "oif": lambda packet: "" if packet.is_local else packet.out_interface or None,
}
CONNECTIONS: dict[str, Read] = {
    "state": lambda _packet: frozenset({"new"}),
    "status": lambda packet: frozenset({"dnat"}) if packet.original_port else frozenset(),
    "direction": lambda _packet: "original",
}
