"""Bans: the host's packet filter drops addresses with too many failed logins, until the ban ends."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import socket
import time
import uuid
from dataclasses import dataclass
from typing import Any

from stand_in import kit

TABLE = "mailcow"
DEFAULTS: dict[str, Any] = {
    "ban_time": 1800,
    "max_ban_time": 10000,
    "ban_time_increment": True,
    "max_attempts": 10,
    "retry_window": 600,
    "netban_ipv4": 32,
    "netban_ipv6": 128,
    "manage_external": 0,
}
PATTERNS = {
    "1": r"mailcow UI: Invalid password for .+ by ([0-9a-f\.:]+)",
    "2": r"warning: .*\[([0-9a-f\.:]+)\]: SASL \S+ authentication failed",
    # Dovecot logs Postfix's clients too, which Postfix has logged already.
    "3": r"(?:imap|managesieve)-login: .*\(auth failed.*rip=([0-9a-f\.:]+)",
}
# Published ports are forwarded; the input chain is for a service in the host's own network.
RULES = """
table inet {table}
delete table inet {table}
table inet {table} {{
  set banned4 {{ type ipv4_addr; flags interval; }}
  set banned6 {{ type ipv6_addr; flags interval; }}
  chain input {{ type filter hook input priority -20; ip saddr @banned4 drop; ip6 saddr @banned6 drop; }}
  chain forward {{ type filter hook forward priority -20; ip saddr @banned4 drop; ip6 saddr @banned6 drop; }}
}}
"""


@dataclass
class Count:
    """The failures and the ban of an address."""

    attempts: int = 0
    last: float = 0
    bans: int = 0


def attempt(count: Count, now: float, options: dict[str, Any]) -> int:
    """Count one failure; return the seconds of the ban, 0 without a ban."""
    if now - count.last > int(options["retry_window"]):
        count.attempts = 0
    count.attempts, count.last = count.attempts + 1, now
    if count.attempts < int(options["max_attempts"]):
        return 0
    factor = 2**count.bans if options["ban_time_increment"] else 1
    return min(int(options["ban_time"]) * factor, max(int(options["max_ban_time"]), int(options["ban_time"])))


def culprit(line: str, patterns: dict[str, str]) -> str:
    """Return the address of a failed login from a log line; empty for other lines."""
    found = next((match[1] for pattern in patterns.values() if (match := re.search(pattern, line))), "")
    return found.removeprefix("::ffff:")


def spared(address: str, allowed: list[str], own: list[str]) -> bool:
    """Return whether an address is never banned: mailcow's own networks, and those on the list."""
    ip = ipaddress.ip_address(address)
    return ip.is_loopback or any(ip in ipaddress.ip_network(net, strict=False) for net in (*own, *allowed))


def answers(host: str, port: int) -> bool:
    """Return whether a service listens."""
    try:
        socket.create_connection((host, port), 5).close()
    except OSError:
        return False
    return True


class Netfilter:
    """The bans in Redis and in the packet filter."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self.counts: dict[str, Count] = {}
        four = os.environ.get("IPV4_NETWORK", "172.22.1")
        self.own = [f"{four}.0/24", os.environ.get("IPV6_NETWORK", "fd4d:6169:6c63:6f77::/64")]
        kit.run("nft", "-f", "-", text=RULES.format(table=TABLE))
        for net in store.hkeys("F2B_ACTIVE_BANS"):
            self.filter("add", net)

    def options(self) -> dict[str, Any]:
        """Return the options from the API, with defaults."""
        found = json.loads(self.store.get("F2B_OPTIONS") or "{}")
        options = {**DEFAULTS, "banlist_id": str(uuid.uuid4()), **{k: v for k, v in found.items() if v is not None}}
        if options != found:
            self.store.set("F2B_OPTIONS", json.dumps(options))
        return options

    def patterns(self) -> dict[str, str]:
        """Return the patterns of failures."""
        found = self.store.get("F2B_REGEX")
        if not found:
            self.store.set("F2B_REGEX", json.dumps(PATTERNS))
        return json.loads(found) if found else PATTERNS

    def filter(self, verb: str, net: str) -> None:
        """Add a network to the packet filter, or delete it."""
        try:
            kit.run("nft", verb, "element", "inet", TABLE, f"banned{ipaddress.ip_network(net).version}", f"{{ {net} }}")
        except RuntimeError as problem:
            kit.log(str(problem))

    def see(self, line: str) -> None:
        """Process a line of a log."""
        address = culprit(line, self.patterns())
        if not address or spared(address, self.store.hkeys("F2B_WHITELIST"), self.own):
            return
        options = self.options()
        length = options[f"netban_ipv{ipaddress.ip_address(address).version}"]
        net = str(ipaddress.ip_network(f"{address}/{length}", strict=False))
        count = self.counts.setdefault(net, Count())
        seconds = attempt(count, time.time(), options)
        if not seconds:
            kit.log(f"{int(options['max_attempts']) - count.attempts} more attempts until {net} is banned")
            return
        kit.log(f"Banning {net} for {seconds / 60:.0f} minutes")
        self.filter("add", net)
        self.store.hset("F2B_ACTIVE_BANS", net, int(time.time()) + seconds)

    def unban(self, net: str) -> None:
        """Unban a network."""
        kit.log(f"Unbanning {net}")
        if self.store.hdel("F2B_ACTIVE_BANS", net):
            self.filter("delete", net)
        self.store.hdel("F2B_QUEUE_UNBAN", net)
        count = self.counts.setdefault(net, Count())
        count.attempts, count.bans = 0, count.bans + 1

    def tidy(self) -> None:
        """Unban networks whose ban has ended or that the API names."""
        over = [net for net, end in self.store.hgetall("F2B_ACTIVE_BANS").items() if int(end) <= time.time()]
        for net in {*over, *self.store.hkeys("F2B_QUEUE_UNBAN")}:
            self.unban(net)


def main() -> None:
    """Follow the logs of Postfix, Dovecot and the API; ends with Redis, and Docker restarts it."""
    host = f"{os.environ.get('IPV4_NETWORK', '172.22.1')}.249"
    kit.wait("Redis", lambda: answers(host, 6379))
    store = kit.connect_redis(host)
    bans = Netfilter(store)
    bans.options()
    channel = store.pubsub(ignore_subscribe_messages=True)
    channel.subscribe("F2B_CHANNEL")
    while True:
        message = channel.get_message(timeout=1)
        if message:
            bans.see(message["data"])
        bans.tidy()
