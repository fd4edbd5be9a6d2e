# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Outgoing connections that mailcow's resolver needs. Without them, Docker starts no service that depends on it."""

from __future__ import annotations

import socket
import typing as t

from .commands import execute

# mailcow's resolver is healthy if two of these answer to ping.
PINGED = ("1.1.1.1", "8.8.8.8", "9.9.9.9")
NEEDED = 2
# Root servers a, k and l; one answer is sufficient.
ROOT_SERVERS = ("198.41.0.4", "193.0.14.129", "199.7.83.42")
DNS_PORT = 53
SECONDS = 3
# A query for the name servers of the root: id, flags, one question; the name, type NS, class IN.
QUERY = bytes.fromhex("7669000000010000000000000000020001")


def pings(address: str) -> bool:
    """Return whether an address answers to ping."""
    return not execute(["ping", "-q", "-c", "1", "-W", str(SECONDS), address]).failed


def answers(address: str) -> bool:
    """Return whether a name server answers."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as query:
            query.settimeout(SECONDS)
            query.connect((address, DNS_PORT))
            query.send(QUERY)
            return query.recv(512)[:2] == QUERY[:2]
    except OSError:
        return False


def find_problem(ping: t.Callable[[str], bool] = pings, ask: t.Callable[[str], bool] = answers) -> str:
    """Return what this host's network blocks; an empty text if mailcow's resolver can work."""
    if not any(map(ask, ROOT_SERVERS)):
        return (
            f"none of the DNS root servers {', '.join(ROOT_SERVERS)} answers: mailcow's resolver needs outgoing DNS, "
            "port 53 with UDP and TCP. Open it in the firewall of the provider"
        )
    found = [address for address in PINGED if ping(address)]
    if len(found) < NEEDED:
        return (
            f"fewer than {NEEDED} of {', '.join(PINGED)} answer to ping: mailcow's resolver needs outgoing ICMP. Open "
            "it, or set SKIP_UNBOUND_HEALTHCHECK: y in mailcow_settings (mail_settings)"
        )
    return ""
