#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: dns_lookup_wait
short_description: Wait until every authoritative name server of a zone answers as wanted
version_added: 0.1.0
description:
  - Finds the zone's name servers and asks each of their addresses directly, so that no cache is in between.
  - A record is there when the answer holds it. What else the answer holds does not matter.
  - Reads only. What is still missing after the time is told for each server.
author:
  - vise.platform contributors (@vise-platform)
options:
  zone:
    description: The zone's name.
    type: str
    required: true
  records:
    description:
      - What must be answered, as M(vise.platform.cloudflare_dns) takes records. Records with C(proxied) are not asked
        for, since Cloudflare answers with addresses of its own.
    type: list
    elements: dict
    required: true
  resolvers:
    description: Addresses of the resolvers that find the name servers; the system's when empty.
    type: list
    elements: str
    default: []
  seconds:
    description: How long to wait in all.
    type: int
    default: 120
  timeout:
    description: Seconds for each answer.
    type: float
    default: 3
attributes:
  check_mode:
    description: It only reads, and does not wait for what was only planned. It asks nothing in check mode.
    support: full
  diff_mode:
    description: It changes nothing.
    support: none
  platform:
    description: Where it runs, which is best the controller.
    support: full
    platforms: posix
requirements:
  - dnspython (Python)
"""

EXAMPLES = r"""
- name: Wait until the key is seen everywhere
  vise.platform.dns_lookup_wait:
    zone: example.org
    records:
      - {type: TXT, name: 2026a._domainkey, value: "v=DKIM1; k=rsa; p=MIIB..."}
"""

RETURN = r"""
servers:
  description: The addresses that were asked.
  returned: always
  type: list
  elements: str
  sample: [192.0.2.53, "2001:db8::53"]
passed_over:
  description: The addresses to which this machine has no way.
  returned: always
  type: list
  elements: str
  sample: ["2001:db8::53"]
seconds:
  description: How long it took.
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
    "zone": {"type": "str", "required": True},
    "records": {"type": "list", "elements": "dict", "required": True},
    "resolvers": {"type": "list", "elements": "str", "default": []},
    "seconds": {"type": "int", "default": 120},
    "timeout": {"type": "float", "default": 3},
}

# By name and type, the data that must be in the answer, as it is compared.
Wanted = dict[tuple[str, str], set[str]]
# Asks a server for a name and a type; returns all data, or raises OSError when there is no way to it.
Ask = Callable[[str, str, str], set[str]]


class LookupFailed(Exception):
    """The name servers cannot be found."""


def comparable(kind: str, text: str) -> str:
    """Return data in a form in which equal data is equal text, however it was written."""
    if kind == "TXT":
        return records.plain_text(text)
    return dns.rdata.from_text("IN", kind, text).to_text().lower() if kind != "CAA" else text


def wanted_of(options: Sequence[Mapping[str, t.Any]], zone: str) -> Wanted:
    """Return what must be answered."""
    found: Wanted = {}
    for one in options:
        if one.get("proxied"):
            continue
        record = records.from_options(one, zone, "")
        found.setdefault((record.name, record.type), set()).add(comparable(record.type, data(record)))
    return found


def data(record: records.Record) -> str:
    """Return the data of a record with complete names."""
    if record.type not in records.HOSTS or record.type == "HTTPS":
        return record.content if record.type != "TXT" else records.quoted_text(record.content)
    return f"{record.content.rstrip('.')}."


def name_servers(zone: str, resolvers: Sequence[str], seconds: float) -> list[str]:
    """Return the addresses of all name servers of a zone."""
    resolver = dns.resolver.Resolver(configure=not resolvers)
    if resolvers:
        resolver.nameservers = list(resolvers)
    resolver.lifetime = seconds
    try:
        names = [str(answer.target) for answer in resolver.resolve(zone, "NS")]
        found = [
            str(answer)
            for name in sorted(names)
            for kind in ("A", "AAAA")
            for answer in resolver.resolve(name, kind, raise_on_no_answer=False)
        ]
    except dns.exception.DNSException as error:
        raise LookupFailed(f"{zone}: its name servers cannot be found: {error}") from error
    if not found:
        raise LookupFailed(f"{zone}: its name servers have no addresses: {', '.join(names)}")
    return found


def asker(timeout: float) -> Ask:
    """Return how a server is asked: by UDP, and by TCP for what is too long for it."""

    def ask(server: str, name: str, kind: str) -> set[str]:
        query = dns.message.make_query(name, kind, flags=0)
        answer, _by_tcp = dns.query.udp_with_fallback(query, server, timeout=timeout)
        # Who gives a name away to other servers says so beside the answer.
        sections = [*answer.answer, *(answer.authority if kind == "NS" else [])]
        rows = [row for rrset in sections if rrset.rdtype == dns.rdatatype.from_text(kind) for row in rrset]
        return {comparable(kind, row.to_text()) for row in rows}

    return ask


def missing(server: str, wanted: Wanted, ask: Ask) -> tuple[Wanted, list[str]]:
    """Return what a server does not answer yet, and what it answers instead, a line each."""
    left: Wanted = {}
    lines = []
    for (name, kind), values in wanted.items():
        try:
            got = ask(server, name, kind)
        # A long answer comes by TCP, which a server may refuse or end early
        except (dns.exception.DNSException, OSError, EOFError) as error:
            got, reason = set(), f"no answer ({type(error).__name__})"
        else:
            reason = f"it answers {', '.join(map(records.short, sorted(got))) or 'nothing'}"
        if not values <= got:
            left[name, kind] = values
            lines.append(f"{kind} {name} at {server}: {reason}")
    return left, lines


def reachable(servers: Sequence[str], zone: str, ask: Ask) -> tuple[list[str], list[str]]:
    """Return the servers to which this machine has a way, and the others; who does not answer is not one of these."""
    found: tuple[list[str], list[str]] = ([], [])
    for server in servers:
        try:
            ask(server, zone, "SOA")
        except OSError:
            found[1].append(server)
        except (dns.exception.DNSException, EOFError):
            found[0].append(server)
        else:
            found[0].append(server)
    return found


def wait(servers: Sequence[str], wanted: Wanted, ask: Ask, seconds: float) -> list[str]:
    """Ask until everything is answered or the time is over; return what is missing."""
    end = time.monotonic() + seconds
    left = dict.fromkeys(servers, wanted)
    while True:
        lines: list[str] = []
        for server, values in left.items():
            # What a server has answered once it is not asked again.
            left[server], more = missing(server, values, ask)
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
    zone, begin = params["zone"].lower().rstrip("."), time.monotonic()
    if module.check_mode:
        module.exit_json(changed=False, servers=[], passed_over=[], seconds=0.0)
    ask = asker(params["timeout"])
    try:
        servers, passed_over = reachable(name_servers(zone, params["resolvers"], params["timeout"]), zone, ask)
    except LookupFailed as error:
        module.fail_json(msg=str(error))
    if not servers:
        module.fail_json(msg=f"{zone}: there is no way from here to any of its name servers: {', '.join(passed_over)}")
    lines = wait(servers, wanted_of(params["records"], zone), ask, params["seconds"])
    result = {"servers": servers, "passed_over": passed_over, "seconds": round(time.monotonic() - begin, 1)}
    if lines:
        module.fail_json(msg="\n".join([f"not answered after {result['seconds']} s:", *lines]), **result)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
