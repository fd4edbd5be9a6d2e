#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: mailcow_rate_limit
short_description: Limit how much mailcow's domains and mailboxes may send
version_added: 0.1.0
description:
  - Compares the limits that mailcow holds with the described ones, and changes what differs, all in one execution.
  - A mailbox's own limit beats its domain's.
extends_documentation_fragment: [vise.platform.mailcow]
options:
  limits:
    description: The limits.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: A domain, or the address of a mailbox.
        type: str
        required: true
      state:
        description: V(absent) takes the limit away.
        type: str
        choices: [present, absent]
        default: present
      messages:
        description: How many; required unless the limit is to go.
        type: int
      per:
        description: In which time.
        type: str
        choices: [second, minute, hour, day]
        default: hour
"""

EXAMPLES = r"""
- name: Limit what a domain and one of its mailboxes send
  vise.platform.mailcow_rate_limit:
    api_key: "{{ vault_mail_api_key }}"
    limits:
      - {name: example.org, messages: 500}
      - {name: newsletter@example.org, messages: 5000, per: day}
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be, in order.
  returned: always
  type: list
  elements: str
  sample: ["edit rl-domain example.org: messages"]
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils.mailcow import sync
from ansible_collections.vise.platform.plugins.module_utils.mailcow.client import Client, Row

LIMIT = {
    "name": sync.NAME,
    "messages": sync.NUMBER,
    "per": {"type": "str", "choices": ["second", "minute", "hour", "day"], "default": "hour"},
}
NONE = {"messages": 0, "per": ""}


def update(changes: Row, found: sync.Found) -> Row:
    """Return the API's attributes: both halves of the limit; none is zero in any time."""
    both = {**found.values, **changes}
    return {"rl_value": both["messages"], "rl_frame": both["per"][:1] or "h"}


def kind(path: str) -> sync.Kind:
    """Return the kind of limits, of domains or of mailboxes; each object has one, if only none."""
    return sync.Kind(path, "name", lambda options: options, update)


def read(rows: t.Sequence[Row], key: str, names: t.Iterable[str]) -> dict[str, sync.Found]:
    """Return the limit of each object that there is, in the module's words."""
    words = {choice[:1]: choice for choice in LIMIT["per"]["choices"]}
    values = {row[key]: {"messages": sync.number(row.get("value")), "per": words[row["frame"]]} for row in rows}
    return {name: sync.Found(name, {"name": name, **values.get(name, NONE)}) for name in names}


def problems(wanted: t.Sequence[Row]) -> list[str]:
    """Return what is missing or wrong in the description."""
    wrong = sync.doubles(kind("limit"), wanted)
    for entry in wanted:
        if entry["state"] == "present" and (entry["messages"] or 0) < 1:
            wrong.append(f"limit {entry['name']}: messages must be 1 or more")
    return wrong


def planned(client: Client, params: dict[str, t.Any]) -> list[sync.Step]:
    """Return what has to be done."""
    sync.refuse(problems(params["limits"]))
    # To take a limit away is to set it to none.
    wanted = [e if e["state"] == "present" else {**e, **NONE, "state": "present"} for e in params["limits"]]
    steps = []
    for path, objects, name, key in (
        ("rl-domain", "domain", "domain_name", "domain"),
        ("rl-mbox", "mailbox", "username", "mailbox"),
    ):
        mine = [entry for entry in wanted if ("@" in entry["name"]) == (path == "rl-mbox")]
        if mine:
            names = [row[name] for row in client.rows(objects, "all")]
            missing = sorted({entry["name"] for entry in mine} - set(names))
            sync.unknown(
                params, [f"{objects} {one} is unknown: describe it with mailcow_{objects} first" for one in missing]
            )
            found = read(client.rows(path, "all"), key, [*names, *missing])
            steps += sync.plan(kind(path), mine, found)
    return steps


def main() -> None:
    """Run as a module."""
    sync.run(AnsibleModule({**sync.CONNECTION, "limits": sync.entries(LIMIT)}, supports_check_mode=True), planned)


if __name__ == "__main__":
    main()
