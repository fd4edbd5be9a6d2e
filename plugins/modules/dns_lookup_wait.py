#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: dns_lookup_wait
short_description: Wait until all authoritative name servers of zones return the wanted records
version_added: 0.1.0
description:
  - Resolves the name servers of each zone and queries each of their addresses directly, without a cache in between.
  - A record is present if the answer contains it; the answer may also contain other records.
  - The module only reads. After the timeout it reports the missing records of each server.
extends_documentation_fragment: [vise.platform.attributes.controller]
author:
  - vise.platform contributors (@vise-platform)
options:
  zones:
    description: The zones to query.
    type: list
    elements: dict
    required: true
    suboptions:
      zone:
        description: Name of the zone.
        type: str
        required: true
      records:
        description:
          - The wanted records, in the form of the option O(vise.platform.cloudflare_zone#module:records). Records with
            C(proxied) are skipped, since Cloudflare answers with its own addresses.
        type: list
        elements: dict
        required: true
  resolvers:
    description: Addresses of the resolvers that resolve the name servers; if empty, the resolvers of the system.
    type: list
    elements: str
    default: []
  seconds:
    description: Timeout for all zones together.
    type: int
    default: 120
  timeout:
    description: Timeout of each query in seconds.
    type: float
    default: 3
attributes:
  check_mode:
    description: Queries nothing, because planned records are not published.
    support: full
  diff_mode:
    description: The module changes nothing.
    support: none
requirements:
  - dnspython (Python)
"""

EXAMPLES = r"""
- name: Wait until all name servers return the key
  vise.platform.dns_lookup_wait:
    zones:
      - zone: example.org
        records:
          - {type: TXT, name: 2026a._domainkey, value: "v=DKIM1; k=rsa; p=MIIB..."}
"""

RETURN = r"""
servers:
  description: The addresses that were queried, by zone.
  returned: always
  type: dict
  sample: {example.org: [192.0.2.53, "2001:db8::53"]}
without_route:
  description: The addresses to which this machine has no route, by zone.
  returned: always
  type: dict
  sample: {example.org: ["2001:db8::53"]}
seconds:
  description: Duration of the queries.
  returned: always
  type: float
  sample: 4.2
"""

import time
import traceback
import typing as t
from collections.abc import Callable, Mapping, Sequence

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.vise.platform.plugins.module_utils.cloudflare import records
from ansible_collections.vise.platform.plugins.module_utils.model.domains import DomainError

try:
    import dns.exception
    import dns.message
    import dns.name
    import dns.query
    import dns.rdata
    import dns.rdataclass
    import dns.rdatatype
    import dns.resolver
except ImportError:
    IMPORT_ERROR: str | None = traceback.format_exc()
else:
    IMPORT_ERROR = None

PAUSE = 1.0
ARGUMENT_SPEC: dict[str, t.Any] = {
    "zones": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "zone": {"type": "str", "required": True},
            "records": {"type": "list", "elements": "dict", "required": True},
        },
    },
    "resolvers": {"type": "list", "elements": "str", "default": []},
    "seconds": {"type": "int", "default": 120},
    "timeout": {"type": "float", "default": 3},
}

# By name and type, the data that the answer must contain, in comparable form.
Wanted = dict[tuple[str, str], set[str]]
# Queries a server for a name and a type; returns all data, or raises OSError when there is no route to the server.
Query = Callable[[str, str, str], set[str]]


class LookupFailed(Exception):
    """The name servers cannot be resolved or reached."""


class ZoneServers(t.NamedTuple):
    """The name servers of a zone: those that can be reached, and those without a route."""

    reachable: list[str]
    without_route: list[str]


def comparable(kind: str, text: str) -> str:
    """Return data in a form in which equal data has equal text."""
    if kind == "TXT":
        return records.plain_text(text)
    return dns.rdata.from_text("IN", kind, text).to_text().lower() if kind != "CAA" else text


def expected_answers(options: Sequence[Mapping[str, t.Any]], zone: str) -> Wanted:
    """Return the data that the servers must return."""
    expected: Wanted = {}
    for one in options:
        if one.get("proxied"):
            continue
        record = records.from_options(one, zone, "")
        expected.setdefault((record.name, record.type), set()).add(comparable(record.type, data(record)))
    return expected


def data(record: records.Record) -> str:
    """Return the data of a record with complete names."""
    if record.type not in records.HOSTS or record.type == "HTTPS":
        return record.content if record.type != "TXT" else records.quoted_text(record.content)
    return f"{record.content.rstrip('.')}."


def name_servers(zone: str, resolvers: Sequence[str], seconds: float) -> list[str]:
    """Resolve the addresses of all name servers of a zone."""
    resolver = dns.resolver.Resolver(configure=not resolvers)
    if resolvers:
        resolver.nameservers = list(resolvers)
    resolver.lifetime = seconds
    try:
        names = [str(answer.target) for answer in resolver.resolve(zone, "NS")]
        addresses = [
            str(answer)
            for name in sorted(names)
            for kind in ("A", "AAAA")
            for answer in resolver.resolve(name, kind, raise_on_no_answer=False)
        ]
    except dns.exception.DNSException as error:
        raise LookupFailed(f"{zone}: the name servers cannot be resolved: {error}") from error
    if not addresses:
        raise LookupFailed(f"{zone}: the name servers have no addresses: {', '.join(names)}")
    return addresses


def make_query(timeout: float) -> Query:
    """Return a function that queries a server by UDP, and by TCP when the answer is too long."""

    def query(server: str, name: str, kind: str) -> set[str]:
        message = dns.message.make_query(name, kind, flags=0)
        answer, _by_tcp = dns.query.udp_with_fallback(message, server, timeout=timeout)
        # The server of the parent zone returns a delegation in the authority section.
        sections = [*answer.answer, *(answer.authority if kind == "NS" else [])]
        rows = [row for rrset in sections if rrset.rdtype == dns.rdatatype.from_text(kind) for row in rrset]
        return {comparable(kind, row.to_text()) for row in rows}

    return query


def missing_answers(server: str, wanted: Wanted, query: Query) -> tuple[Wanted, list[str]]:
    """Return the records that a server does not return yet, and one line for each with its answer."""
    left: Wanted = {}
    lines = []
    for (name, kind), values in wanted.items():
        try:
            answered = query(server, name, kind)
        # A long answer needs TCP, which a server may refuse or close early
        except (dns.exception.DNSException, OSError, EOFError) as error:
            answered, reason = set(), f"no answer ({type(error).__name__})"
        else:
            reason = f"the answer is {', '.join(map(records.short, sorted(answered))) or 'empty'}"
        if not values <= answered:
            left[name, kind] = values
            lines.append(f"{kind} {name} at {server}: {reason}")
    return left, lines


def sort_by_route(servers: Sequence[str], zone: str, query: Query) -> ZoneServers:
    """Sort the servers by whether this machine has a route to them; a timeout does not mean that there is no route."""
    found = ZoneServers([], [])
    for server in servers:
        try:
            query(server, zone, "SOA")
        except OSError:
            found.without_route.append(server)
        except (dns.exception.DNSException, EOFError):
            found.reachable.append(server)
        else:
            found.reachable.append(server)
    return found


def find_servers(zones: Sequence[str], params: Mapping[str, t.Any], query: Query) -> dict[str, ZoneServers]:
    """Return the name servers of each zone; a zone without any that can be reached is an error."""
    found = {}
    for zone in zones:
        found[zone] = sort_by_route(name_servers(zone, params["resolvers"], params["timeout"]), zone, query)
        if not found[zone].reachable:
            addresses = ", ".join(found[zone].without_route)
            raise LookupFailed(f"{zone}: this machine has no route to any of the name servers: {addresses}")
    return found


def wait(pending: dict[tuple[str, str], Wanted], query: Query, seconds: float) -> list[str]:
    """Query until all answers are complete or the timeout ends; return a line for each missing record.

    `pending` has the wanted records of each zone and server. A record that a server has returned is not queried again.
    """
    end = time.monotonic() + seconds
    while True:
        lines: list[str] = []
        for (zone, server), values in pending.items():
            pending[zone, server], more = missing_answers(server, values, query)
            lines += more
        if not lines or time.monotonic() >= end:
            return lines
        time.sleep(PAUSE)


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    if IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("dnspython"), exception=IMPORT_ERROR)
    begin, query = time.monotonic(), make_query(params["timeout"])
    if module.check_mode:
        module.exit_json(changed=False, servers={}, without_route={}, seconds=0.0)
    try:
        wanted = {records.normal_name(one["zone"]): one["records"] for one in params["zones"]}
        expected = {zone: expected_answers(options, zone) for zone, options in wanted.items()}
        found = find_servers(list(wanted), params, query)
    except (LookupFailed, DomainError) as error:
        module.fail_json(msg=str(error))
    pending = {(zone, server): expected[zone] for zone, servers in found.items() for server in servers.reachable}
    lines = wait(pending, query, params["seconds"])
    result: dict[str, t.Any] = {
        "servers": {zone: servers.reachable for zone, servers in found.items()},
        "without_route": {zone: servers.without_route for zone, servers in found.items()},
        "seconds": round(time.monotonic() - begin, 1),
    }
    if lines:
        module.fail_json(msg="\n".join([f"missing answers after {result['seconds']} s:", *lines]), **result)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
