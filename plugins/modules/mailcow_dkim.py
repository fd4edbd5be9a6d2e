#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: mailcow_dkim
short_description: Have mailcow sign by given DKIM keys
version_added: 0.1.0
description:
  - Imports a private key that lies on the host, and sets the selector under which mailcow signs a domain's mail. What
    is compared is the public key and the selector, so an import happens when one of them differs.
  - mailcow signs by one key a domain, and by RSA alone. Keys are made by M(vise.platform.dkim_key).
  - The private key goes from the file to mailcow; no parameter, output or diff holds it.
extends_documentation_fragment: [vise.platform.mailcow]
options:
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
        description: With V(absent) mailcow signs no more for the domain.
        type: str
        choices: [present, absent]
        default: present
      selector:
        description: The selector; required unless it is to go.
        type: str
      key_file:
        description: The private key on the host, PEM; required unless it is to go.
        type: path
"""

EXAMPLES = r"""
- name: Sign by this month's key
  vise.platform.mailcow_dkim:
    api_key: "{{ vault_mail_api_key }}"
    keys:
      - {domain: example.org, selector: s202603, key_file: /etc/vise/dkim/example.org/s202603.pem}
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be, in order.
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
from ansible_collections.vise.platform.plugins.module_utils.mailcow import sync
from ansible_collections.vise.platform.plugins.module_utils.mailcow.client import Client, MailcowError, Row

KEY = {
    "domain": sync.NAME,
    "selector": sync.TEXT,
    # The name of a file, not what is in it.
    "key_file": {"type": "path", "no_log": False},
}
RSA = bytes.fromhex("06092a864886f70d010101")  # the object identifier rsaEncryption, in DER
Openssl = t.Callable[[list[str]], tuple[int, str, str]]


def public_key(openssl: Openssl, path: str) -> str:
    """Return the public half of a key file as mailcow has it: base64 of its DER."""
    if not os.path.isfile(path):
        raise MailcowError(f"{path} is not there: make it with dkim_key first")
    status, text, _error = openssl(["openssl", "pkey", "-in", path, "-passin", "pass:", "-pubout"])
    found = "".join(line for line in text.splitlines() if not line.startswith("-"))
    if status or not found:
        raise MailcowError(f"{path} is no private key in PEM without a passphrase")
    if RSA not in base64.b64decode(found):
        raise MailcowError(f"{path} is no RSA key, and mailcow signs by no other")
    return found


def problems(wanted: t.Sequence[Row]) -> list[str]:
    """Return what is missing or wrong in the description."""
    names = [entry["domain"] for entry in wanted]
    wrong = [f"dkim {name} is listed twice" for name in sorted({name for name in names if names.count(name) > 1})]
    for entry in (entry for entry in wanted if entry["state"] == "present"):
        if not entry["selector"] or not entry["key_file"]:
            wrong.append(f"dkim {entry['domain']}: selector and key_file are required")
        elif not re.fullmatch(r"[A-Za-z0-9._-]+", entry["selector"]):
            wrong.append(f"dkim {entry['domain']}: {entry['selector']} is no selector")
    return wrong


def step(entry: Row, row: Row, public: str) -> sync.Step | None:
    """Return what has to be done for one domain."""
    domain = entry["domain"]
    keys = ("selector", "public_key")
    before = dict(zip(keys, (row["dkim_selector"], row["pubkey"]), strict=True)) if row.get("pubkey") else {}
    if entry["state"] == "absent":
        return sync.Step("delete", "dkim", domain, domain, {}, before) if before else None
    after = dict(zip(keys, (entry["selector"], public), strict=True))
    # An import replaces what there is, in one call; its private key is read at the last moment.
    return sync.Step("edit" if before else "add", "dkim", domain, entry, {}, before, after) if before != after else None


def planned(client: Client, params: dict[str, t.Any], openssl: Openssl) -> list[sync.Step]:
    """Return what has to be done."""
    sync.refuse(problems(params["keys"]))
    wanted = [e for e in params["keys"] if e["state"] == "present"]
    domains = {row["domain_name"] for row in client.rows("domain", "all")} if wanted else set()
    missing = sorted({entry["domain"] for entry in wanted} - domains)
    sync.unknown(params, [f"domain {name} is unknown: describe it with mailcow_domain first" for name in missing])
    steps = []
    for entry in params["keys"]:
        public = ""
        if entry["state"] == "present" and not (params.get("lenient") and not os.path.exists(entry["key_file"])):
            public = public_key(openssl, entry["key_file"])
        steps.append(step(entry, client.row("dkim", entry["domain"]), public))
    return [found for found in steps if found]


def importing(found: sync.Step) -> sync.Step:
    """Return a step with the call that does it: to add and to change a key is to import it."""
    if found.verb == "delete":
        return found
    with open(found.item["key_file"], encoding="ascii") as handle:
        private = handle.read()
    attributes = {
        "domain": found.name,
        "dkim_selector": found.item["selector"],
        "private_key_file": private,
        "overwrite_existing": 1,
    }
    return found._replace(verb="add", path="dkim_import", attributes=attributes)


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(
        {**sync.CONNECTION, "keys": {**sync.entries(KEY), "no_log": False}}, supports_check_mode=True
    )
    sync.run(module, functools.partial(planned, openssl=module.run_command), importing)


if __name__ == "__main__":
    main()
