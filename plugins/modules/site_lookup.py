#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: site_lookup
short_description: Query where the names of a site lead, and for how long resolvers keep the answer
version_added: 0.1.0
description:
  - Queries the authoritative name servers of each name directly, without a cache in between.
  - The module only reads.
extends_documentation_fragment: [vise.platform.attributes.controller, vise.platform.attributes.reads]
author:
  - vise.platform contributors (@vise-platform)
options:
  names:
    description: The names of the site.
    type: list
    elements: str
    required: true
  addresses:
    description: The addresses to which each name must lead.
    type: list
    elements: str
    required: true
  resolvers:
    description: Addresses of the resolvers that resolve the name servers; if empty, the resolvers of the system.
    type: list
    elements: str
    default: []
  seconds:
    description: For how long to wait until all servers return only these addresses.
    type: int
    default: 0
  timeout:
    description: Timeout of each query in seconds.
    type: float
    default: 3
"""

EXAMPLES = r"""
- name: Query the lifetime of the addresses of a site
  vise.platform.site_lookup:
    names: [docs.example.org]
    addresses: [192.0.2.10, "2001:db8::10"]
  delegate_to: localhost
"""

RETURN = r"""
lifetime:
  description: The longest time to live of the answers, in seconds.
  returned: always
  type: int
  sample: 300
pending:
  description: One line for each answer that differs; empty when all names lead to the addresses.
  returned: always
  type: list
  elements: str
  sample: ["docs.example.org at 192.0.2.53: 192.0.2.9"]
"""

import time
import traceback
import typing as t
from collections.abc import Callable, Sequence

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

try:
    import dns.exception
    import dns.message
    import dns.name
    import dns.query
    import dns.rdatatype
    import dns.resolver
except ImportError:
    IMPORT_ERROR: str | None = traceback.format_exc()
else:
    IMPORT_ERROR = None

PAUSE = 1.0
KINDS = ("A", "AAAA")


class Answer(t.NamedTuple):
    """The addresses in an answer, or the name that it leads to, and its time to live."""

    addresses: frozenset[str]
    target: str
    lifetime: int


# Queries a server for a name and a type.
Query = Callable[[str, str, str], Answer]
# Returns the addresses of the authoritative servers of a name.
Servers = Callable[[str], Sequence[str]]


class LookupFailed(Exception):
    """The name servers of a name cannot be found or reached."""


def make_servers(params: t.Mapping[str, t.Any]) -> Servers:
    """Return a function that finds the authoritative servers of a name."""
    resolver = dns.resolver.Resolver(configure=not params["resolvers"])
    if params["resolvers"]:
        resolver.nameservers = list(params["resolvers"])
    resolver.lifetime = params["timeout"]

    def find(name: str) -> list[str]:
        try:
            zone = dns.resolver.zone_for_name(name.removeprefix("*."), resolver=resolver)
            hosts = sorted(str(answer.target) for answer in resolver.resolve(zone, "NS"))
            return [
                str(answer)
                for host in hosts
                for kind in KINDS
                for answer in resolver.resolve(host, kind, raise_on_no_answer=False)
            ]
        except dns.exception.DNSException as error:
            raise LookupFailed(f"{name}: its name servers cannot be resolved: {error}") from error

    return find


def make_query(timeout: float) -> Query:
    """Return a function that queries a server."""

    def query(server: str, name: str, kind: str) -> Answer:
        message = dns.message.make_query(name, kind, flags=0)
        answer, _by_tcp = dns.query.udp_with_fallback(message, server, timeout=timeout)
        rows = [(rrset.rdtype, row, rrset.ttl) for rrset in answer.answer for row in rrset]
        wanted = dns.rdatatype.from_text(kind)
        addresses = frozenset(row.to_text() for rdtype, row, _ttl in rows if rdtype == wanted)
        targets = [str(row.target) for rdtype, row, _ttl in rows if rdtype == dns.rdatatype.CNAME]
        return Answer(
            addresses, "" if addresses else (targets or [""])[-1], max((ttl for *_row, ttl in rows), default=0)
        )

    return query


def query_name(name: str, servers: Servers, query: Query, depth: int = 8) -> dict[str, dict[str, Answer]]:
    """Return the answers of each server by type; a server to which this machine has no route is left out."""
    found: dict[str, dict[str, Answer]] = {}
    for server in servers(name):
        answers = {}
        try:
            for kind in KINDS:
                answer = query(server, name, kind)
                if answer.target and depth:
                    below = query_name(answer.target, servers, query, depth - 1)
                    others = [one[kind] for one in below.values()]
                    addresses = frozenset(address for one in others for address in one.addresses)
                    lifetime = max([answer.lifetime, *(one.lifetime for one in others)])
                    answer = Answer(addresses, "", lifetime)
                answers[kind] = answer
        except OSError:
            continue
        except (dns.exception.DNSException, EOFError) as error:
            raise LookupFailed(f"{name}: {server} does not answer: {type(error).__name__}") from error
        found[server] = answers
    if not found:
        raise LookupFailed(f"{name}: this machine has no route to any of its name servers")
    return found


def compare(name: str, found: t.Mapping[str, t.Mapping[str, Answer]], wanted: t.Collection[str]) -> list[str]:
    """Return one line for each server whose answer is not exactly the wanted addresses."""
    lines = []
    for server, answers in found.items():
        addresses = {address for answer in answers.values() for address in answer.addresses}
        if addresses != set(wanted):
            lines.append(f"{name} at {server}: {', '.join(sorted(addresses)) or 'no address'}")
    return lines


def look_up(names: Sequence[str], wanted: t.Collection[str], servers: Servers, query: Query) -> tuple[int, list[str]]:
    """Return the longest lifetime, and the answers that differ."""
    lifetime, lines = 0, []
    for name in names:
        found = query_name(name, servers, query)
        lifetime = max([lifetime, *(answer.lifetime for one in found.values() for answer in one.values())])
        lines += compare(name, found, wanted)
    return lifetime, lines


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(
        {
            "names": {"type": "list", "elements": "str", "required": True},
            "addresses": {"type": "list", "elements": "str", "required": True},
            "resolvers": {"type": "list", "elements": "str", "default": []},
            "seconds": {"type": "int", "default": 0},
            "timeout": {"type": "float", "default": 3},
        },
        supports_check_mode=True,
    )
    params = module.params
    if IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("dnspython"), exception=IMPORT_ERROR)
    servers, query = make_servers(params), make_query(params["timeout"])
    end = time.monotonic() + params["seconds"]
    try:
        while True:
            lifetime, lines = look_up(params["names"], params["addresses"], servers, query)
            if not lines or time.monotonic() >= end:
                break
            time.sleep(PAUSE)
    except LookupFailed as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, lifetime=lifetime, pending=lines)


if __name__ == "__main__":
    main()
