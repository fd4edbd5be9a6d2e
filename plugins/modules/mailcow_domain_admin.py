#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: mailcow_domain_admin
short_description: Keep the administrators of mailcow's domains, all in one execution
version_added: 0.1.0
description:
  - Compares the domain administrators that mailcow holds with the described ones, and changes what differs.
  - mailcow keeps a hash of a password, which cannot be compared. So a password is set when the administrator is made,
    and anew only with O(update_password=always), which then changes something in each run.
extends_documentation_fragment: [vise.platform.mailcow]
options:
  admins:
    description: The domain administrators.
    type: list
    elements: dict
    default: []
    suboptions:
      username:
        description: The login; letters, digits, C(_), C(.) and C(-).
        type: str
        required: true
      state:
        description: Whether there is one.
        type: str
        choices: [present, absent]
        default: present
      domains:
        description: The domains that are administered; required for a new one.
        type: list
        elements: str
      password:
        description: The password; required for a new one.
        type: str
      active:
        description: Whether the login works.
        type: bool
  update_password:
    description: When passwords are set.
    type: str
    choices: [on_create, always]
    default: on_create
  purge:
    description: Whether domain administrators who are not described are removed.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Keep who administers which domain
  vise.platform.mailcow_domain_admin:
    api_key: "{{ vault_mail_api_key }}"
    admins:
      - {username: alice, domains: [example.org], password: "{{ vault_mail_admin_alice }}"}
    purge: true
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be, in order.
  returned: always
  type: list
  elements: str
  sample: [add domain-admin alice]
"""

import re
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils.mailcow import sync
from ansible_collections.vise.platform.plugins.module_utils.mailcow.client import Client, Row

ADMIN = {
    "username": sync.NAME,
    "domains": sync.STRINGS,
    "password": sync.PASSWORD,
    "active": sync.FLAG,
}


def attributes(options: Row) -> Row:
    """Return options in the API's words."""
    found = {key: sync.plain(value) for key, value in options.items()}
    if "password" in found:
        found["password2"] = found["password"]
    return found


def update(changes: Row, found: sync.Found) -> Row:
    """Return the API's attributes of a change; what it is not told of these two, mailcow sets to no."""
    has = found.row.get("attributes") or {}
    return {**{key: sync.number(has.get(key)) for key in ("force_tfa", "force_pw_update")}, **attributes(changes)}


KIND = sync.Kind(
    "domain-admin", "username", lambda options: {"active": 1, **attributes(options)}, update, ("password",)
)


def read(row: Row) -> Row:
    """Return an administrator in the module's words."""
    return {
        "username": row["username"],
        "domains": sorted(row.get("selected_domains") or []),
        "active": sync.flag(row.get("active")),
    }


def problems(wanted: t.Sequence[Row], found: t.Mapping[str, sync.Found]) -> list[str]:
    """Return why mailcow would refuse, before it is asked."""
    wrong = sync.doubles(KIND, wanted)
    for entry in (entry for entry in wanted if entry["state"] == "present"):
        name = entry["username"]
        if not re.fullmatch(r"[a-z0-9._-]+", name):
            wrong.append(f"domain-admin {name}: a login is of small letters, digits, _, . and -")
        if entry["domains"] == [] or (entry["domains"] is None and name not in found):
            wrong.append(f"domain-admin {name}: domains are missing")
        if name not in found and not entry["password"]:
            wrong.append(f"domain-admin {name} is new and has no password")
    return wrong


def planned(client: Client, params: dict[str, t.Any]) -> list[sync.Step]:
    """Return what has to be done."""
    rows = client.rows("domain-admin", "all")
    found = {row["username"]: sync.Found(row["username"], read(row), row) for row in rows}
    wanted = [{**entry, "domains": entry["domains"] and sorted(set(entry["domains"]))} for entry in params["admins"]]
    sync.refuse(problems(wanted, found))
    named = {name for entry in wanted if entry["state"] == "present" for name in entry["domains"] or []}
    missing = sorted(named - {row["domain_name"] for row in client.rows("domain", "all")}) if named else []
    sync.unknown(params, [f"domain {name} is unknown: describe it with mailcow_domain first" for name in missing])
    purge = list(found) if params["purge"] else []
    return sync.plan(KIND, wanted, found, purge, params["update_password"] == sync.ALWAYS)


def main() -> None:
    """Run as a module."""
    options = {
        "admins": sync.entries(ADMIN),
        "purge": {"type": "bool", "default": False},
        "update_password": sync.UPDATE_PASSWORD,
    }
    sync.run(AnsibleModule({**sync.CONNECTION, **options}, supports_check_mode=True), planned)


if __name__ == "__main__":
    main()
