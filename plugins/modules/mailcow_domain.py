#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: mailcow_domain
short_description: Keep mailcow's mail domains and their limits, all in one execution
version_added: 0.1.0
description:
  - Compares the domains that mailcow holds with the described ones, and changes what differs. Others are left alone.
  - An option that is not given is left as it is; for a new domain mailcow's own default holds.
  - A new domain gets no DKIM key; M(vise.platform.mailcow_dkim) gives it one.
extends_documentation_fragment: [vise.platform.mailcow]
options:
  domains:
    description: The domains.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The domain.
        type: str
        required: true
      state:
        description: V(absent) removes it; mailcow refuses while it has mailboxes.
        type: str
        choices: [present, absent]
        default: present
      description:
        description: What it is for.
        type: str
      mailboxes:
        description: Most mailboxes.
        type: int
      aliases:
        description: Most aliases.
        type: int
      default_quota:
        description: MiB of a new mailbox that is given no quota.
        type: int
      max_quota:
        description: MiB of the largest mailbox.
        type: int
      quota:
        description: MiB of all mailboxes together.
        type: int
      active:
        description: Whether it takes mail.
        type: bool
      global_address_list:
        description: Whether its users see each other in SOGo's address book.
        type: bool
      relay:
        description: Whether mail is passed on to the domain's next exchanger (a backup MX).
        type: bool
      relay_host:
        description: A relay host of M(vise.platform.mailcow_transport) that sends its mail; an empty text for none.
        type: str
"""

EXAMPLES = r"""
- name: Keep the mail domains
  vise.platform.mailcow_domain:
    api_key: "{{ vault_mail_api_key }}"
    domains:
      - {name: example.org, mailboxes: 50, max_quota: 10240, quota: 102400}
      - {name: old.example.org, state: absent}
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be, in order.
  returned: always
  type: list
  elements: str
  sample: ["add domain example.org", "edit domain example.net: quota"]
"""

import itertools
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils.mailcow import sync
from ansible_collections.vise.platform.plugins.module_utils.mailcow.client import Client, Row

DOMAIN = {
    "name": sync.NAME,
    "description": sync.TEXT,
    "mailboxes": sync.NUMBER,
    "aliases": sync.NUMBER,
    "default_quota": sync.NUMBER,
    "max_quota": sync.NUMBER,
    "quota": sync.NUMBER,
    "active": sync.FLAG,
    "global_address_list": sync.FLAG,
    "relay": sync.FLAG,
    "relay_host": sync.TEXT,
}
WORDS = {
    "default_quota": "defquota",
    "max_quota": "maxquota",
    "global_address_list": "gal",
    "relay": "backupmx",
    "relay_host": "relayhost",
}


def attributes(options: Row) -> Row:
    """Return options in the API's words."""
    return {WORDS.get(key, key): sync.plain(value) for key, value in options.items() if key != "name"}


def create(options: Row) -> Row:
    """Return the API's attributes of a new domain: without a DKIM key, and SOGo hears of it."""
    return {"domain": options["name"], "active": 1, "key_size": 0, "restart_sogo": 1, **attributes(options)}


KIND = sync.Kind("domain", "name", create, lambda changes, _found: attributes(changes))


def read(row: Row) -> Row:
    """Return a domain in the module's words."""
    return {
        "name": row["domain_name"],
        "description": row.get("description") or "",
        "mailboxes": sync.number(row.get("max_num_mboxes_for_domain")),
        "aliases": sync.number(row.get("max_num_aliases_for_domain")),
        "default_quota": sync.megabytes(row.get("def_quota_for_mbox")),
        "max_quota": sync.megabytes(row.get("max_quota_for_mbox")),
        "quota": sync.megabytes(row.get("max_quota_for_domain")),
        "active": sync.flag(row.get("active")),
        "global_address_list": sync.flag(row.get("gal")),
        "relay": sync.flag(row.get("backupmx")),
        "relay_host": sync.number(row.get("relayhost")),
    }


def problems(wanted: t.Sequence[Row], found: t.Mapping[str, sync.Found]) -> list[str]:
    """Return why mailcow would refuse, before it is asked."""
    wrong = sync.doubles(KIND, wanted)
    for entry in (entry for entry in wanted if entry["state"] == "present"):
        current = found[entry["name"]].values if entry["name"] in found else {}
        levels = [(key, {**current, **sync.given(entry)}.get(key)) for key in ("default_quota", "max_quota", "quota")]
        known = [(key, value) for key, value in levels if value]
        for (lower, small), (upper, large) in itertools.pairwise(known):
            if small > large:
                wrong.append(f"domain {entry['name']}: {lower} ({small}) is over {upper} ({large})")
    return wrong


def relays(client: Client, params: dict[str, t.Any]) -> dict[str, int]:
    """Return the API's numbers of the relay hosts by name; an empty name is none."""
    if not any(entry["relay_host"] for entry in params["domains"]):
        return {"": 0}
    found = {"": 0, **{row["hostname"]: sync.number(row["id"]) for row in client.rows("relayhost", "all")}}
    missing = [entry["relay_host"] for entry in params["domains"] if entry["relay_host"] not in (None, *found)]
    sync.unknown(
        params, [f"relay host {name} is unknown: describe it with mailcow_transport first" for name in missing]
    )
    return found


def planned(client: Client, params: dict[str, t.Any]) -> list[sync.Step]:
    """Return what has to be done."""
    found = {row["domain_name"]: sync.Found(row["domain_name"], read(row)) for row in client.rows("domain", "all")}
    numbers = relays(client, params)
    wanted = [{**entry, "relay_host": numbers.get(entry["relay_host"])} for entry in params["domains"]]
    sync.refuse(problems(wanted, found))
    return sync.plan(KIND, wanted, found)


def main() -> None:
    """Run as a module."""
    module = AnsibleModule({**sync.CONNECTION, "domains": sync.entries(DOMAIN)}, supports_check_mode=True)
    sync.run(module, planned)


if __name__ == "__main__":
    main()
