#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: mailcow_info
short_description: Read mailcow's objects, state and queue
version_added: 0.1.0
description:
  - Returns the rows of mailcow's API without passwords and private keys. Numbers and booleans have the type that the
    API returns, which can be a string.
extends_documentation_fragment: [vise.platform.mailcow]
options:
  gather:
    description: The lists to read.
    type: list
    elements: str
    choices:
      - version
      - containers
      - domains
      - mailboxes
      - aliases
      - dkim
      - domain_admins
      - rate_limits
      - relay_hosts
      - transports
      - queue
    default: [version, domains, mailboxes, aliases]
"""

EXAMPLES = r"""
- name: Read the DKIM keys and the queue
  vise.platform.mailcow_info:
    api_key: "{{ vault_mail_api_key }}"
    gather: [dkim, queue]
  register: mail

- name: Verify that the queue is empty
  ansible.builtin.assert:
    that: mail.queue | length == 0
"""

RETURN = r"""
version:
  description: The release.
  returned: when gathered
  type: str
  sample: 2026-07a
containers:
  description: State of each container, by name.
  returned: when gathered
  type: dict
  sample: {postfix-mailcow: running}
domains:
  description: The domains.
  returned: when gathered
  type: list
  elements: dict
mailboxes:
  description: The mailboxes.
  returned: when gathered
  type: list
  elements: dict
aliases:
  description: The aliases.
  returned: when gathered
  type: list
  elements: dict
dkim:
  description: Selector, public key and TXT record of each domain that has a key, by domain.
  returned: when gathered
  type: dict
  sample: {example.org: {selector: dkim, public_key: MIIB, txt: "v=DKIM1;k=rsa;p=MIIB", length: "2048"}}
domain_admins:
  description: The domain administrators.
  returned: when gathered
  type: list
  elements: dict
rate_limits:
  description: The rate limits of domains and mailboxes.
  returned: when gathered
  type: list
  elements: dict
relay_hosts:
  description: The relay hosts.
  returned: when gathered
  type: list
  elements: dict
transports:
  description: The transports.
  returned: when gathered
  type: list
  elements: dict
queue:
  description: The messages in the queue.
  returned: when gathered
  type: list
  elements: dict
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils.mailcow import sync
from ansible_collections.vise.platform.plugins.module_utils.mailcow.client import Client, MailcowError, Row

LISTS = {
    "domains": ["domain"],
    "mailboxes": ["mailbox"],
    "aliases": ["alias"],
    "domain_admins": ["domain-admin"],
    "rate_limits": ["rl-domain", "rl-mbox"],
    "relay_hosts": ["relayhost"],
    "transports": ["transport"],
    "queue": ["mailq"],
}
SECRET = ("password", "password_short", "privkey")


def remove_secrets(row: Row) -> Row:
    """Return a row without its secrets."""
    return {key: value for key, value in row.items() if key not in SECRET}


def read_dkim(client: Client) -> dict[str, Row]:
    """Return the DKIM keys by domain."""
    names = [row["domain_name"] for row in client.rows("domain", "all")]
    rows = {name: client.row("dkim", name) for name in names}
    return {
        name: {
            "selector": row["dkim_selector"],
            "public_key": row["pubkey"],
            "txt": row.get("dkim_txt", ""),
            "length": row.get("length", ""),
        }
        for name, row in rows.items()
        if row.get("pubkey")
    }


def gather(client: Client, wanted: t.Sequence[str]) -> dict[str, t.Any]:
    """Return the requested lists."""
    answer: dict[str, t.Any] = {}
    for name in wanted:
        if name == "version":
            answer[name] = client.row("status", "version").get("version", "")
        elif name == "containers":
            rows = client.row("status", "containers")
            answer[name] = {key: row.get("state") for key, row in rows.items() if isinstance(row, dict)}
        elif name == "dkim":
            answer[name] = read_dkim(client)
        else:
            answer[name] = [remove_secrets(row) for path in LISTS[name] for row in client.rows(path, "all")]
    return answer


def main() -> None:
    """Run as a module."""
    choices = ["version", "containers", "domains", "mailboxes", "aliases", "dkim", "domain_admins", "rate_limits"]
    choices += ["relay_hosts", "transports", "queue"]
    default = ["version", "domains", "mailboxes", "aliases"]
    options = {"gather": {"type": "list", "elements": "str", "choices": choices, "default": default}}
    module = AnsibleModule({**sync.CONNECTION, **options}, supports_check_mode=True)
    try:
        client = Client(module.params["url"], module.params["api_key"], module.params["timeout"])
        answer = gather(client, module.params["gather"])
    except MailcowError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **answer)


if __name__ == "__main__":
    main()
