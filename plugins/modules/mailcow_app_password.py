#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: mailcow_app_password
short_description: Keep passwords by which programs get into mailcow's mailboxes
version_added: 0.1.0
description:
  - A program gets in by a password of its own, for the protocols that it needs, so that the mailbox's password stays
    with its user. All of them are kept in one execution; others of the same mailbox are left alone.
  - mailcow keeps a hash, which cannot be compared. So a password is set when it is new, and anew only with
    O(update_password=always), which then changes something in each run.
extends_documentation_fragment: [vise.platform.mailcow]
options:
  app_passwords:
    description: The passwords.
    type: list
    elements: dict
    default: []
    suboptions:
      mailbox:
        description: The mailbox's address.
        type: str
        required: true
      name:
        description: What it is for; unique in the mailbox.
        type: str
        required: true
      state:
        description: Whether it is there.
        type: str
        choices: [present, absent]
        default: present
      password:
        description: The password; required for a new one.
        type: str
      protocols:
        description: What it opens; nothing for a new one that is given none.
        type: list
        elements: str
        choices: [imap, smtp, pop3, sieve, dav, eas]
      active:
        description: Whether it works.
        type: bool
  update_password:
    description: When passwords are set.
    type: str
    choices: [on_create, always]
    default: on_create
"""

EXAMPLES = r"""
- name: Let the app send
  vise.platform.mailcow_app_password:
    api_key: "{{ vault_mail_api_key }}"
    app_passwords:
      - {mailbox: app@example.org, name: app, protocols: [smtp], password: "{{ vault_mail_app }}"}
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be, in order.
  returned: always
  type: list
  elements: str
  sample: [add app-passwd app@example.org app]
"""

import html
import re
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils.mailcow import sync
from ansible_collections.vise.platform.plugins.module_utils.mailcow.client import Client, Row

PROTOCOLS = ("imap", "smtp", "pop3", "sieve", "dav", "eas")
APP = {
    "mailbox": sync.NAME,
    "name": sync.NAME,
    "password": sync.PASSWORD,
    "protocols": {**sync.STRINGS, "choices": list(PROTOCOLS)},
    "active": sync.FLAG,
}


def attributes(options: Row) -> Row:
    """Return options in the API's words."""
    found: Row = {"active": sync.plain(options["active"])} if "active" in options else {}
    if "password" in options:
        found.update(app_passwd=options["password"], app_passwd2=options["password"])
    if "protocols" in options:
        found["protocols"] = [f"{name}_access" for name in options["protocols"]]
    return found


def create(options: Row) -> Row:
    """Return the API's attributes of a new one."""
    return {"username": options["mailbox"], "app_name": options["name"], "active": 1, **attributes(options)}


def update(changes: Row, found: sync.Found) -> Row:
    """Return the API's attributes of a change.

    Without the mailbox it would become one of the API's own user; without its name, that would be escaped once more.
    """
    return {"username": found.values["mailbox"], "app_name": found.values["name"], **attributes(changes)}


KIND = sync.Kind("app-passwd", "key", create, update, ("password",))


def key(mailbox: str, name: str) -> str:
    """Return what names a password."""
    return f"{mailbox} {name}"


def plain(name: str) -> str:
    """Return a name unescaped; mailcow escapes it for HTML when it stores it, when it shows it, and at some edits."""
    return re.sub(r"&(?:amp;)*(amp|lt|gt|quot|#0*39);", lambda match: html.unescape(f"&{match[1]};"), name).strip()


def read(row: Row) -> Row:
    """Return an app password in the module's words."""
    name = plain(row["name"])
    return {
        "key": key(row["mailbox"], name),
        "mailbox": row["mailbox"],
        "name": name,
        "protocols": [one for one in PROTOCOLS if sync.flag(row.get(f"{one}_access"))],
        "active": sync.flag(row.get("active")),
    }


def problems(wanted: t.Sequence[Row], found: t.Mapping[str, sync.Found]) -> list[str]:
    """Return why mailcow would refuse, before it is asked."""
    new = [e["key"] for e in wanted if e["state"] == "present" and e["key"] not in found and not e["password"]]
    return sync.doubles(KIND, wanted) + [f"app-passwd {name} is new and has no password" for name in new]


def planned(client: Client, params: dict[str, t.Any]) -> list[sync.Step]:
    """Return what has to be done."""
    wanted = [
        {
            **entry,
            "name": plain(entry["name"]),
            "key": key(entry["mailbox"], plain(entry["name"])),
            "protocols": entry["protocols"] and [name for name in PROTOCOLS if name in entry["protocols"]],
        }
        for entry in params["app_passwords"]
    ]
    mailboxes = sorted({entry["mailbox"] for entry in wanted})
    there = {row["username"] for row in client.rows("mailbox", "all")} if mailboxes else set()
    missing = [name for name in mailboxes if name not in there]
    sync.unknown(params, [f"mailbox {name} is unknown: describe it with mailcow_mailbox first" for name in missing])
    rows = [row for name in mailboxes if name in there for row in client.rows("app-passwd", "all", name)]
    found = {value["key"]: sync.Found(row["id"], value) for row in rows for value in [read(row)]}
    sync.refuse(problems(wanted, found))
    return sync.plan(KIND, wanted, found, always=params["update_password"] == sync.ALWAYS)


def main() -> None:
    """Run as a module."""
    # Its name is no secret; the passwords in it are.
    options = {"app_passwords": {**sync.entries(APP), "no_log": False}, "update_password": sync.UPDATE_PASSWORD}
    sync.run(AnsibleModule({**sync.CONNECTION, **options}, supports_check_mode=True), planned)


if __name__ == "__main__":
    main()
