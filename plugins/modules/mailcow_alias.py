#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: mailcow_alias
short_description: Keep mailcow's aliases, all in one execution
version_added: 0.1.0
description:
  - Compares the aliases that mailcow holds with the described ones, and changes what differs. Others are left alone,
    but in the domains of O(purge).
extends_documentation_fragment: [vise.platform.mailcow]
options:
  aliases:
    description: The aliases.
    type: list
    elements: dict
    default: []
    suboptions:
      address:
        description: The address, or C(@example.org) for every address that the domain does not have.
        type: str
        required: true
      state:
        description: Whether it is there.
        type: str
        choices: [present, absent]
        default: present
      goto:
        description:
          - Addresses that get its mail; required unless it is to go.
          - Alone, C(null@localhost) drops it, and C(spam@localhost) or C(ham@localhost) teaches the filter by it.
        type: list
        elements: str
      active:
        description: Whether it works.
        type: bool
      internal:
        description: Whether only users of this server may write to it.
        type: bool
      sender_allowed:
        description: Whether those who get its mail may send under its name; for a new one they may.
        type: bool
      webmail:
        description: Whether SOGo offers it as a sender; for a new one it does.
        type: bool
      comment:
        description: A note for administrators, up to 160 characters.
        type: str
  purge:
    description: Domains in which every alias that is not described is removed.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Keep the aliases of a domain, and no others
  vise.platform.mailcow_alias:
    api_key: "{{ vault_mail_api_key }}"
    aliases:
      - {address: postmaster@example.org, goto: [alice@example.org]}
      - {address: team@example.org, goto: [alice@example.org, bob@example.org], internal: true}
    purge: [example.org]
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be, in order.
  returned: always
  type: list
  elements: str
  sample: [add alias postmaster@example.org, "edit alias team@example.org: goto"]
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils.mailcow import sync
from ansible_collections.vise.platform.plugins.module_utils.mailcow.client import Client, Row

ALIAS = {
    "address": sync.NAME,
    "goto": sync.STRINGS,
    "active": sync.FLAG,
    "internal": sync.FLAG,
    "sender_allowed": sync.FLAG,
    "webmail": sync.FLAG,
    "comment": sync.TEXT,
}
WORDS = {"webmail": "sogo_visible", "comment": "private_comment"}
SPECIAL = {f"{name}@localhost": f"goto_{name}" for name in ("null", "spam", "ham")}


def attributes(options: Row) -> Row:
    """Return options in the API's words; its special targets are attributes of their own."""
    found = {WORDS.get(k, k): sync.plain(v) for k, v in options.items() if k not in ("address", "goto")}
    goto = options.get("goto", [])
    if len(goto) == 1 and goto[0] in SPECIAL:
        return {**found, SPECIAL[goto[0]]: 1}
    return {**found, "goto": ",".join(goto)} if goto else found


def create(options: Row) -> Row:
    """Return the API's attributes of a new alias."""
    return {"address": options["address"], "active": 1, "sender_allowed": 1, "sogo_visible": 1, **attributes(options)}


def update(changes: Row, found: sync.Found) -> Row:
    """Return the API's attributes of a change; without its targets, a special one would be read as an address."""
    return attributes({"goto": found.values["goto"], **changes})


KIND = sync.Kind("alias", "address", create, update)


def read(row: Row) -> Row:
    """Return an alias in the module's words."""
    return {
        "address": row["address"],
        "goto": sorted(part.strip() for part in str(row.get("goto") or "").split(",") if part.strip()),
        "active": sync.flag(row.get("active")),
        "internal": sync.flag(row.get("internal")),
        "sender_allowed": sync.flag(row.get("sender_allowed")),
        "webmail": sync.flag(row.get("sogo_visible")),
        "comment": row.get("private_comment") or "",
    }


def problems(wanted: t.Sequence[Row]) -> list[str]:
    """Return why mailcow would refuse, before it is asked."""
    wrong = sync.doubles(KIND, wanted)
    for entry in (entry for entry in wanted if entry["state"] == "present"):
        name, goto = f"alias {entry['address']}", entry["goto"] or []
        if entry["address"].count("@") != 1 or entry["address"].endswith("@"):
            wrong.append(f"{name}: an address is name@domain, or @domain for all of it")
        if not goto:
            wrong.append(f"{name}: goto is missing")
        if len(goto) > 1 and set(goto) & SPECIAL.keys():
            wrong.append(f"{name}: {', '.join(sorted(set(goto) & SPECIAL.keys()))} stands alone or not at all")
        wrong += [f"{name}: {target} is no address" for target in goto if not all(target.partition("@"))]
    return wrong


def planned(client: Client, params: dict[str, t.Any]) -> list[sync.Step]:
    """Return what has to be done."""
    rows = [row for row in client.rows("alias", "all") if row.get("id")]
    found = {row["address"]: sync.Found(row["id"], read(row)) for row in rows}
    wanted = [{**entry, "goto": entry["goto"] and sorted(set(entry["goto"]))} for entry in params["aliases"]]
    sync.refuse(problems(wanted))
    new = {e["address"].split("@")[1] for e in wanted if e["state"] == "present" and e["address"] not in found}
    if new:
        domains = {row["domain_name"] for row in client.rows("domain", "all")}
        domains |= {row["alias_domain"] for row in client.rows("alias-domain", "all") if row.get("alias_domain")}
        missing = sorted(new - domains)
        sync.unknown(params, [f"domain {name} is unknown: describe it with mailcow_domain first" for name in missing])
    purge = [address for address in found if address.split("@")[1] in params["purge"]]
    return sync.plan(KIND, wanted, found, purge)


def main() -> None:
    """Run as a module."""
    options = {"aliases": sync.entries(ALIAS), "purge": {**sync.STRINGS, "default": []}}
    sync.run(AnsibleModule({**sync.CONNECTION, **options}, supports_check_mode=True), planned)


if __name__ == "__main__":
    main()
