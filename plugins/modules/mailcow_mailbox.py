#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: mailcow_mailbox
short_description: Keep mailcow's mailboxes, all in one execution
version_added: 0.1.0
description:
  - Compares the mailboxes that mailcow holds with the described ones, and changes what differs. Others are left alone,
    but in the domains of O(purge).
  - An option that is not given is left as it is; for a new mailbox mailcow's own default holds.
  - mailcow keeps a hash of a password, which cannot be compared. So a password is set when the mailbox is made, and
    anew only with O(update_password=always), which then changes something in each run.
extends_documentation_fragment: [vise.platform.mailcow]
options:
  mailboxes:
    description: The mailboxes.
    type: list
    elements: dict
    default: []
    suboptions:
      address:
        description: The address, which is also the login.
        type: str
        required: true
      state:
        description: V(absent) removes it; mailcow keeps the mails in its garbage for C(MAILDIR_GC_TIME) minutes.
        type: str
        choices: [present, absent]
        default: present
      name:
        description: The person's full name; for a new one the part before the C(@).
        type: str
      password:
        description: The password; required for a new mailbox.
        type: str
      quota:
        description: MiB that it may hold; C(0) for no limit.
        type: int
      active:
        description: Whether it takes mail and lets its user in.
        type: bool
      protocols:
        description: By which its user gets in.
        type: list
        elements: str
        choices: [imap, pop3, smtp, sieve, eas, dav]
      webmail:
        description: Whether its user may use SOGo.
        type: bool
      force_password_change:
        description: Whether its user must choose a new password at the next login.
        type: bool
  update_password:
    description: When passwords are set.
    type: str
    choices: [on_create, always]
    default: on_create
  purge:
    description: Domains in which every mailbox that is not described is removed.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Keep the mailboxes
  vise.platform.mailcow_mailbox:
    api_key: "{{ vault_mail_api_key }}"
    mailboxes:
      - {address: alice@example.org, name: Alice Example, password: "{{ vault_mailbox_alice }}", quota: 5120}
      - {address: bob@example.org, state: absent}

- name: Give a new password
  vise.platform.mailcow_mailbox:
    api_key: "{{ vault_mail_api_key }}"
    mailboxes: [{address: alice@example.org, password: "{{ vault_mailbox_alice }}"}]
    update_password: always
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be, in order.
  returned: always
  type: list
  elements: str
  sample: [add mailbox alice@example.org, "edit mailbox bob@example.org: quota"]
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils.mailcow import sync
from ansible_collections.vise.platform.plugins.module_utils.mailcow.client import Client, Row

PROTOCOLS = ("imap", "pop3", "smtp", "sieve", "eas", "dav")
MAILBOX = {
    "address": sync.NAME,
    "name": sync.TEXT,
    "password": sync.PASSWORD,
    "quota": sync.NUMBER,
    "active": sync.FLAG,
    "protocols": {**sync.STRINGS, "choices": list(PROTOCOLS)},
    "webmail": sync.FLAG,
    # Not a secret, whatever its name says.
    "force_password_change": {**sync.FLAG, "no_log": False},
}
WORDS = {"webmail": "sogo_access", "force_password_change": "force_pw_update"}


def attributes(options: Row) -> Row:
    """Return options in the API's words; each protocol is one of its attributes."""
    found = {WORDS.get(k, k): sync.plain(v) for k, v in options.items() if k not in ("address", "protocols")}
    if "password" in found:
        found["password2"] = found["password"]
    if "protocols" in options:
        found.update({f"{name}_access": int(name in options["protocols"]) for name in PROTOCOLS})
    return found


def create(options: Row) -> Row:
    """Return the API's attributes of a new mailbox."""
    local, domain = options["address"].split("@")
    # mailcow's template would have everybody choose a new password before the first mail.
    first = {"local_part": local, "domain": domain, "name": local, "active": 1, "force_pw_update": 0}
    return {**first, **attributes(options)}


KIND = sync.Kind("mailbox", "address", create, lambda changes, _found: attributes(changes), ("password",))


def read(row: Row) -> Row:
    """Return a mailbox in the module's words."""
    has = row.get("attributes") or {}
    return {
        "address": row["username"],
        "name": row.get("name") or "",
        "quota": sync.megabytes(row.get("quota")),
        "active": sync.flag(row.get("active")),
        "protocols": [name for name in PROTOCOLS if sync.flag(has.get(f"{name}_access"))],
        "webmail": sync.flag(has.get("sogo_access")),
        "force_password_change": sync.flag(has.get("force_pw_update")),
    }


def problems(wanted: t.Sequence[Row], found: t.Mapping[str, sync.Found]) -> list[str]:
    """Return why mailcow would refuse, before it is asked."""
    wrong = sync.doubles(KIND, wanted)
    for entry in wanted:
        address = entry["address"]
        if not all(address.partition("@")) or address.count("@") != 1 or address != address.lower():
            wrong.append(f"mailbox {address}: an address is name@domain, in small letters")
        elif entry["state"] == "present" and address not in found and not entry["password"]:
            wrong.append(f"mailbox {address} is new and has no password")
    return wrong


def planned(client: Client, params: dict[str, t.Any]) -> list[sync.Step]:
    """Return what has to be done."""
    found = {row["username"]: sync.Found(row["username"], read(row)) for row in client.rows("mailbox", "all")}
    wanted = [
        {**entry, "protocols": entry["protocols"] and [name for name in PROTOCOLS if name in entry["protocols"]]}
        for entry in params["mailboxes"]
    ]
    sync.refuse(problems(wanted, found))
    new = {e["address"].split("@")[1] for e in wanted if e["state"] == "present" and e["address"] not in found}
    domains = {row["domain_name"] for row in client.rows("domain", "all")} if new else new
    missing = sorted(new - domains)
    sync.unknown(params, [f"domain {name} is unknown: describe it with mailcow_domain first" for name in missing])
    purge = [address for address in found if address.split("@")[1] in params["purge"]]
    return sync.plan(KIND, wanted, found, purge, params["update_password"] == sync.ALWAYS)


def main() -> None:
    """Run as a module."""
    options = {
        "mailboxes": sync.entries(MAILBOX),
        "purge": {**sync.STRINGS, "default": []},
        "update_password": sync.UPDATE_PASSWORD,
    }
    sync.run(AnsibleModule({**sync.CONNECTION, **options}, supports_check_mode=True), planned)


if __name__ == "__main__":
    main()
