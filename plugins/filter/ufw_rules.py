# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Convert the allowed ports of a host into rules for ufw and iptables."""

from __future__ import annotations

DOCUMENTATION = r"""
name: ufw_rules
short_description: Convert allowed ports into firewall rules
version_added: 0.1.0
description:
  - Converts a list of allowed ports into rules of one IP version, in the format of ufw's rule files, and into iptables
    matches for ports that containers publish.
  - A port that is allowed twice from the same network becomes one rule.
positional: family
options:
  _input:
    description:
      - Entries with C(port) (a number, or a range such as C(5000:5010)), C(proto) (C(tcp) or C(udp), by default
        C(tcp)), C(from) (a list of networks or addresses; by default any address, an empty list allows no address) and
        C(comment).
    type: list
    elements: dict
    required: true
  family:
    description: IP version. Networks of the other version are ignored.
    type: int
    choices: [4, 6]
    default: 4
author:
  - vise.platform contributors (@vise-platform)
"""

EXAMPLES = r"""
- name: Show the IPv4 rules for a web server that only the office may reach
  ansible.builtin.debug:
    msg: "{{ [{'port': 443, 'from': ['192.0.2.0/24', '2001:db8::/32']}] | vise.platform.ufw_rules(4) }}"
"""

RETURN = r"""
_value:
  description: One mapping for each rule.
  type: list
  elements: dict
  contains:
    tuple:
      description: The comment by which ufw identifies its rule.
      type: str
      sample: allow tcp 443 0.0.0.0/0 any 192.0.2.0/24 in
    input:
      description: The iptables match for connections to the host itself.
      type: str
      sample: -p tcp --dport 443 -s 192.0.2.0/24
    published:
      description: The iptables match for the same port when a container publishes it.
      type: str
      sample: -s 192.0.2.0/24 -m conntrack --ctstate DNAT --ctdir ORIGINAL --ctproto tcp --ctorigdstport 443
"""

import ipaddress
import typing as t

from ansible.errors import AnsibleFilterError

ANYWHERE = {4: "0.0.0.0/0", 6: "::/0"}
PROTOCOLS = ("tcp", "udp")


def parse_ports(value: t.Any, where: str) -> str:
    """Return a port or a range in the format of iptables."""
    first, colon, last = str(value).partition(":")
    numbers = [first, last] if colon else [first]
    valid = all(number.isdecimal() and 1 <= int(number) <= 65535 for number in numbers)
    if not valid or (colon and int(first) >= int(last)):
        raise AnsibleFilterError(f"{where}: {value!r} is neither a port (1 to 65535) nor a range such as 5000:5010")
    return ":".join(str(int(number)) for number in numbers)


def parse_network(value: t.Any, where: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """Return a network; a single address becomes a network of one address."""
    try:
        return ipaddress.ip_network(str(value))
    except ValueError as error:
        msg = f"{where}: from: {error}; use a network such as 192.0.2.0/24 or 2001:db8::/32"
        raise AnsibleFilterError(msg) from error


def list_sources(entry: dict[str, t.Any], family: int, where: str) -> list[str]:
    """Return the networks from which a port is allowed, in the format of ufw."""
    given = entry.get("from")
    if given is None:
        return [ANYWHERE[family]]
    if isinstance(given, str):
        raise AnsibleFilterError(f"{where}: from must be a list of networks, not {given!r}")
    networks = [net for net in (parse_network(value, where) for value in given) if net.version == family]
    return [str(n.network_address) if n.prefixlen == n.max_prefixlen else str(n) for n in networks]


def encode_comment(entry: dict[str, t.Any], where: str) -> str:
    """Return a comment in the format of ufw's rule files."""
    text = str(entry.get("comment") or "")
    if "'" in text or not text.isprintable():
        raise AnsibleFilterError(f"{where}: comment {text!r} contains a quote or a line break, which ufw rejects")
    return f" comment={text.encode().hex()}" if text else ""


def build_rule(port: str, proto: str, source: str, family: int, comment: str) -> dict[str, str]:
    """Return one rule in its three formats."""
    anywhere = source == ANYWHERE[family]
    dport = f"-m multiport --dports {port}" if ":" in port else f"--dport {port}"
    return {
        "tuple": f"allow {proto} {port} {ANYWHERE[family]} any {source} in{comment}",
        "input": f"-p {proto} {dport}" + ("" if anywhere else f" -s {source}"),
        # The port that the client connected to, not the container's port after DNAT.
        "published": ("" if anywhere else f"-s {source} ")
        + f"-m conntrack --ctstate DNAT --ctdir ORIGINAL --ctproto {proto} --ctorigdstport {port}",
    }


def ufw_rules(allow: list[dict[str, t.Any]], family: int = 4) -> list[dict[str, str]]:
    """Return the rules of one IP version; raises AnsibleFilterError for an invalid entry."""
    if family not in ANYWHERE:
        raise AnsibleFilterError(f"family must be 4 or 6, not {family!r}")
    rules: dict[tuple[str, str, str], dict[str, str]] = {}
    for number, entry in enumerate(allow):
        where = f"allowed port {number + 1} ({entry.get('comment') or entry.get('port')})"
        proto = entry.get("proto", "tcp")
        if proto not in PROTOCOLS:
            raise AnsibleFilterError(f"{where}: proto {proto!r} is not one of {', '.join(PROTOCOLS)}")
        port = parse_ports(entry.get("port"), where)
        comment = encode_comment(entry, where)
        for source in list_sources(entry, family, where):
            rules.setdefault((port, proto, source), build_rule(port, proto, source, family, comment))
    return list(rules.values())


class FilterModule:
    """Registers the filter of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filters of this file."""
        return {"ufw_rules": ufw_rules}
