# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filter: which certificates of all hosts are renewed, and why they must not be."""

from __future__ import annotations

DOCUMENTATION = r"""
name: rotation_plan
short_description: Plan the renewal of certificates of all hosts
version_added: 0.1.0
description:
  - An ACME server limits the certificates for the same domains, whichever host orders them. The plan adds what all
    hosts have ordered in the last seven days and what this run orders, the rehearsals included if the server is not
    Let's Encrypt, which has a staging environment for them.
author:
  - vise.platform contributors (@vise-platform)
positional: hosts, names, limit
options:
  _input:
    description:
      - The inventory's C(hostvars), in which C(rotation) is the result of M(vise.platform.certificate_rotation).
    type: dict
    required: true
  hosts:
    description: The hosts of the run.
    type: list
    elements: str
    required: true
  names:
    description: The certificates to renew; C(all) means all, and an empty list none.
    type: list
    elements: str
    required: true
  limit:
    description: How many certificates for the same domains the ACME server issues in seven days.
    type: int
    default: 5
  new_key:
    description: Whether the certificates get new keys.
    type: bool
    default: false
  tlsa:
    description: The hashes of the published TLSA records of the mail server.
    type: list
    elements: str
    default: []
  mail_host:
    description: The name of the mail server.
    type: str
    default: ""
  mail_hosts:
    description: The hosts whose certificate for O(mail_host) port 25 presents.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Plan the renewal
  ansible.builtin.debug:
    msg: "{{ (hostvars | vise.platform.rotation_plan(ansible_play_hosts, ['docs'])).lines }}"
"""

RETURN = r"""
_value:
  description: C(lines), one for each certificate; C(problems), why nothing may be changed; and C(renewed), by host.
  type: dict
"""

import datetime
import typing as t
from urllib.parse import urlsplit

WEEK = 7 * 86400
ALL = "all"
STAGED = "letsencrypt.org"
Certificates = t.Mapping[str, t.Sequence[t.Mapping[str, t.Any]]]


def rotation_plan(
    hostvars: t.Mapping[str, t.Mapping[str, t.Any]],
    hosts: t.Sequence[str],
    names: t.Sequence[str],
    limit: int = 5,
    *,
    new_key: bool = False,
    tlsa: t.Sequence[str] = (),
    mail_host: str = "",
    mail_hosts: t.Sequence[str] = (),
) -> dict[str, t.Any]:
    """Return the plan."""
    found = {host: hostvars[host]["rotation"]["certificates"] for host in hosts}
    lines = [_describe(host, one, _is_chosen(one, names)) for host, listed in found.items() for one in listed]
    chosen = {host: [one for one in listed if _is_chosen(one, names)] for host, listed in found.items()}
    pinned = [
        (host, one) for host in mail_hosts for one in chosen.get(host, ()) if tlsa and mail_host in one["domains"]
    ]
    problems = [
        *_find_unknown(found, names),
        *_find_limits(found, chosen, limit),
        *(text for host, one in pinned if (text := _explain_pinned(host, one, mail_host, tlsa, new_key))),
    ]
    return {
        "lines": lines or ["no host has a certificate of an ACME server"],
        "problems": problems,
        "renewed": {host: [one["name"] for one in listed] for host, listed in chosen.items() if listed},
    }


def _is_chosen(one: t.Mapping[str, t.Any], names: t.Sequence[str]) -> bool:
    return one["name"] in names or ALL in names


def _describe(host: str, one: t.Mapping[str, t.Any], chosen: bool) -> str:
    step = "is not part of this run"
    if chosen:
        step = "stays, because it is young" if one["young"] else "is renewed"
    served = one["problem"] or f"since {one['begin']}, until {one['end']}, serial {one['serial']}"
    return f"{host}: {one['name']} ({', '.join(one['domains'])}): {served}; {step}"


def _find_unknown(found: Certificates, names: t.Sequence[str]) -> t.Iterator[str]:
    known = sorted({one["name"] for listed in found.values() for one in listed})
    for name in names:
        if name not in (*known, ALL):
            yield f"no host of this run has a certificate {name}; they have {', '.join(known) or 'none'}"


def _find_limits(found: Certificates, chosen: Certificates, limit: int) -> t.Iterator[str]:
    sets = {(one["directory"], tuple(sorted(one["domains"]))) for listed in chosen.values() for one in listed}
    for directory, domains in sorted(sets):
        same = [
            (host, one)
            for host, listed in found.items()
            for one in listed
            if (one["directory"], tuple(sorted(one["domains"]))) == (directory, domains)
        ]
        issued = sorted(moment for _host, one in same for moment in one["issued"])
        ordered = [host for host, one in same if one in chosen[host] and not one["young"]]
        # Without a staging environment a rehearsal counts, too.
        new = len(ordered) * (1 if (urlsplit(directory).hostname or "").endswith(STAGED) else 2)
        if new and len(issued) + new > limit:
            yield (
                f"{', '.join(ordered)}: this run would order {new} certificates for {', '.join(domains)}, and "
                f"{len(issued)} were issued in the last 7 days; {urlsplit(directory).hostname} issues {limit} "
                f"(rotate_limit); {_advise(issued, new, limit)}"
            )


def _advise(issued: t.Sequence[float], new: int, limit: int) -> str:
    if new > limit:
        return "renew on fewer hosts in one week, by --limit, or set rotate_limit if the server permits more"
    moment = datetime.datetime.fromtimestamp(issued[len(issued) + new - limit - 1] + WEEK, datetime.UTC)
    return f"wait until {moment:%Y-%m-%d %H:%M} UTC, or set rotate_limit if the server permits more"


def _explain_pinned(host: str, one: t.Mapping[str, t.Any], mail_host: str, tlsa: t.Sequence[str], new_key: bool) -> str:
    if new_key:
        return (
            f"{host}: {one['name']}: dns_tlsa contains the key of port 25 of {mail_host}, and servers that verify it "
            "would not deliver mail to a new key. Set `dns_tlsa: []`, run publish_dns.yml, and wait an hour until "
            "resolvers no longer cache the record. Then run this again; it prints the new hash for dns_tlsa"
        )
    if one["key"] not in [value.lower() for value in tlsa]:
        return (
            f"{host}: {one['name']}: dns_tlsa does not contain the key of port 25 of {mail_host}, {one['key']}; "
            "servers that verify it do not deliver mail now. Add this hash to dns_tlsa and run publish_dns.yml first"
        )
    return ""


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filters by name."""
        return {"rotation_plan": rotation_plan}
