# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read the rule sets and the addresses of this host from the kernel."""

from __future__ import annotations

import ipaddress
import json
import re
import typing as t

from ..host import files, programs
from . import iptables, nftables
from .packets import FAMILY_NAMES, Host, Table
from .paths import Interface

LEGACY_NAMES = {4: "/proc/net/ip_tables_names", 6: "/proc/net/ip6_tables_names"}
COMMANDS = {4: "iptables", 6: "ip6tables"}
INCOMPATIBLE = re.compile(r"^# Table [`'](\w+)' is incompatible", re.MULTILINE)


def read_other_tables() -> list[Table]:
    """Return all tables except the table filter of iptables with the backend that ufw uses."""
    is_legacy = "legacy" in programs.run(["iptables", "-V"]).out
    found: list[Table] = []
    skip: set[tuple[str, str]] = set()
    for family, command in COMMANDS.items():
        saved = programs.run([f"{command}-save"]).out
        found += iptables.parse_save(saved, family, without=("filter",))
        # The other backend decides about the same packets.
        if is_legacy:
            saved = programs.run([f"{command}-nft-save"]).out
            found += iptables.parse_save(saved, family, "iptables-nft")
        elif tables := files.read_text(LEGACY_NAMES[family]).split():
            found += iptables.parse_save(_read_legacy(command, tables), family, "iptables-legacy")
        names = set(re.findall(r"^\*(\w+)$", saved, re.MULTILINE)) - set(INCOMPATIBLE.findall(saved))
        skip |= {(FAMILY_NAMES[family], name) for name in names}
    return found + read_nft_tables(skip)


def _read_legacy(command: str, names: t.Sequence[str]) -> str:
    """Return the tables of the legacy backend; raises ProgramError when they exist and cannot be read."""
    argv = [f"{command}-legacy-save"]
    saved = programs.run(argv)
    missing = [name for name in names if f"*{name}\n" not in saved.out]
    if not (saved.failed or missing):
        return saved.out
    reason = f"it does not show {', '.join(missing)}" if not saved.failed else programs.describe_failure(argv, saved)
    raise programs.ProgramError(
        f"the legacy tables of {command} ({', '.join(names)}) decide too, and only `{argv[0]}` shows them: {reason}; "
        "run `apt-get install iptables`, or remove these tables and reboot"
    )


def read_nft_tables(skip: t.Container[tuple[str, str]]) -> list[Table]:
    """Return the tables of nft; those that iptables shows better are in `skip`."""
    listed = programs.run(["nft", "-j", "list", "ruleset"])
    if listed.code == programs.NOT_FOUND:
        return []  # before the first installation
    if listed.failed:
        raise programs.ProgramError(programs.describe_failure(["nft", "-j", "list", "ruleset"], listed))
    texts = nftables.parse_texts(programs.call(["nft", "-a", "list", "ruleset"]))
    return nftables.parse_ruleset(listed.out, texts, skip)


def read_host(container_interfaces: t.Iterable[str]) -> tuple[list[Interface], Host]:
    """Return the interfaces to which packets come from outside, and what decides about local delivery."""
    entries = json.loads(programs.call(["ip", "-j", "address"]) or "[]")
    patterns = [iptables.match_name(pattern) for pattern in container_interfaces]
    addresses, networks, interfaces = set(), [], []
    for entry in entries:
        name = entry["ifname"]
        outside = "LOOPBACK" not in entry["flags"] and not any(pattern(name) for pattern in patterns)
        seen: set[int] = set()
        for one in entry.get("addr_info", []):
            if "local" not in one:
                continue
            address = ipaddress.ip_interface(f"{one['local']}/{one['prefixlen']}")
            addresses.add(address.ip)
            networks.append((address.network, name))
            if outside and one.get("scope") == "global" and address.version not in seen:
                seen.add(address.version)
                interfaces.append(Interface(name, address.ip))
    networks.sort(key=lambda pair: -pair[0].prefixlen)
    return interfaces, Host(frozenset(addresses), tuple(networks))
