#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: mailcow_dkim
short_description: Import the DKIM keys with which mailcow signs
version_added: 0.1.0
description:
  - Imports a private key from a file on the host, and sets the selector with which mailcow signs a domain's mail. The
    module compares the public key and the selector, and imports the key if one of them differs.
  - mailcow signs with one key per domain, and only with RSA. M(vise.platform.dkim_key) creates keys.
  - The module reads the current keys with the API and writes a key to mailcow's Redis, from which rspamd reads it, in
    one transaction. mailcow's API would write the private key to its log of calls. The password and the port of Redis
    are read from C(mailcow.conf) on the host.
  - No parameter, output or diff contains the private key.
extends_documentation_fragment: [vise.platform.mailcow]
options:
  project:
    description: Directory of mailcow, with its C(mailcow.conf).
    type: path
    default: /opt/mailcow-dockerized
  keys:
    description: One key for each domain.
    type: list
    elements: dict
    default: []
    suboptions:
      domain:
        description: The domain.
        type: str
        required: true
      state:
        description: With V(absent), mailcow does not sign the domain's mail.
        type: str
        choices: [present, absent]
        default: present
      selector:
        description: The selector; required with O(keys[].state=present).
        type: str
      key_file:
        description: File with the private key on the host, PEM; required with O(keys[].state=present).
        type: path
"""

EXAMPLES = r"""
- name: Sign with this month's key
  vise.platform.mailcow_dkim:
    api_key: "{{ vault_mail_api_key }}"
    keys:
      - {domain: example.org, selector: s202603, key_file: /etc/vise/dkim/example.org/s202603.pem}
"""

RETURN = r"""
actions:
  description: The changes, or in check mode the planned changes, in order.
  returned: always
  type: list
  elements: str
  sample: ["edit dkim example.org: selector, public_key"]
"""

import base64
import functools
import os
import re
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils.dkim import keys, signer
from ansible_collections.vise.platform.plugins.module_utils.host import programs
from ansible_collections.vise.platform.plugins.module_utils.mailcow import sync
from ansible_collections.vise.platform.plugins.module_utils.mailcow.client import Client, MailcowError, Row

KEY = {
    "domain": sync.NAME,
    "selector": sync.TEXT,
    # The name of the file is not secret, only its content
    "key_file": {"type": "path", "no_log": False},
}
RSA = bytes.fromhex("06092a864886f70d010101")  # the object identifier rsaEncryption, in DER


def read_public_key(path: str) -> str:
    """Return the public half of a key file in mailcow's form: base64 of its DER."""
    if not os.path.isfile(path):
        raise MailcowError(f"{path} does not exist: create it with dkim_key first")
    result = programs.run(["openssl", "pkey", "-in", path, "-passin", "pass:", "-pubout"])
    public = "".join(line for line in result.out.splitlines() if not line.startswith("-"))
    if result.failed or not public:
        raise MailcowError(f"{path} is not a private key in PEM format, or has a passphrase")
    if RSA not in base64.b64decode(public):
        raise MailcowError(f"{path} is not an RSA key; mailcow signs only with RSA")
    return public


def find_problems(wanted: t.Sequence[Row]) -> list[str]:
    """Return the problems in the list."""
    names = [entry["domain"] for entry in wanted]
    problems = [f"dkim {name} is listed twice" for name in sorted({name for name in names if names.count(name) > 1})]
    for entry in (entry for entry in wanted if entry["state"] == "present"):
        if not entry["selector"] or not entry["key_file"]:
            problems.append(f"dkim {entry['domain']}: selector and key_file are required")
        elif not re.fullmatch(r"[A-Za-z0-9._-]+", entry["selector"]):
            problems.append(f"dkim {entry['domain']}: {entry['selector']} is not a valid selector")
    return problems


def plan_domain(entry: Row, row: Row, public: str) -> sync.Step | None:
    """Return the step for one domain, if it needs one."""
    domain = entry["domain"]
    keys = ("selector", "public_key")
    before = dict(zip(keys, (row["dkim_selector"], row["pubkey"]), strict=True)) if row.get("pubkey") else {}
    if entry["state"] == "absent":
        return sync.Step("delete", "dkim", domain, domain, {}, before) if before else None
    after = dict(zip(keys, (entry["selector"], public), strict=True))
    # The private key is read just before the change
    return sync.Step("edit" if before else "add", "dkim", domain, entry, {}, before, after) if before != after else None


def planned(client: Client, params: dict[str, t.Any]) -> list[sync.Step]:
    """Return the steps to the wanted keys."""
    sync.refuse(find_problems(params["keys"]))
    wanted = [e for e in params["keys"] if e["state"] == "present"]
    domains = {row["domain_name"] for row in client.rows("domain", "all")} if wanted else set()
    missing = sorted({entry["domain"] for entry in wanted} - domains)
    sync.refuse_unknown(
        params, [f"domain {name} does not exist: add it with mailcow_objects first" for name in missing]
    )
    steps = []
    for entry in params["keys"]:
        public = ""
        if entry["state"] == "present" and not (params.get("lenient") and not os.path.exists(entry["key_file"])):
            public = read_public_key(entry["key_file"])
        steps.append(plan_domain(entry, client.row("dkim", entry["domain"]), public))
    return [step for step in steps if step]


def call(client: Client, group: t.Sequence[sync.Step], project: str) -> None:
    """Make the changes of a group of steps. mailcow's API would write a private key to its log, so Redis gets it."""
    if group[0].verb == "delete":
        sync.call(client, group)
        return
    try:
        with signer.Redis(signer.read_settings(project)) as redis:
            for step in group:
                with open(step.item["key_file"], encoding="ascii") as handle:
                    new = signer.Signer(step.item["selector"], step.after["public_key"], handle.read().strip())
                old = step.before.get("selector", "")
                signer.switch(redis, step.name, new)
                signer.remove_copies(redis, step.name, [old] if old not in ("", new.selector) else [])
            signer.save(redis)
    except keys.DkimError as error:
        raise MailcowError(str(error)) from error


def main() -> None:
    """Run as a module."""
    options = {
        "keys": sync.object_list(KEY, default=[], no_log=False),
        "project": {"type": "path", "default": "/opt/mailcow-dockerized"},
    }
    module = AnsibleModule({**sync.CONNECTION, **options}, supports_check_mode=True)
    sync.run(module, planned, functools.partial(call, project=module.params["project"]))


if __name__ == "__main__":
    main()
