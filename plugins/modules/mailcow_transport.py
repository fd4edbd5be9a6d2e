#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: mailcow_transport
short_description: Keep the servers through which mailcow sends, by sender and by recipient
version_added: 0.1.0
description:
  - A relay host takes the mail of the domains that name it as C(relay_host) (M(vise.platform.mailcow_domain)).
  - A transport takes the mail to a destination, and beats relay hosts.
  - mailcow tells the passwords of both to its administrators, so that they are compared as well.
extends_documentation_fragment: [vise.platform.mailcow]
options:
  relay_hosts:
    description: Servers by sender.
    type: list
    elements: dict
    default: []
    suboptions:
      host:
        description: The server, as in C([smtp.example.net]:587).
        type: str
        required: true
      state:
        description: Whether it is there.
        type: str
        choices: [present, absent]
        default: present
      username:
        description: Login at the server.
        type: str
      password:
        description: Its password.
        type: str
      active:
        description: Whether it is used.
        type: bool
  transports:
    description: Servers by recipient.
    type: list
    elements: dict
    default: []
    suboptions:
      destination:
        description: A domain, C(.domain) for those below it, an address, or C(*) for everything.
        type: str
        required: true
      state:
        description: Whether it is there.
        type: str
        choices: [present, absent]
        default: present
      host:
        description: The server, as in C([smtp.example.net]:587); required unless it is to go.
        type: str
      username:
        description: Login at the server, the same for each transport by this server.
        type: str
      password:
        description: Its password.
        type: str
      active:
        description: Whether it is used.
        type: bool
"""

EXAMPLES = r"""
- name: Send to a partner through a server of theirs
  vise.platform.mailcow_transport:
    api_key: "{{ vault_mail_api_key }}"
    transports:
      - {destination: example.com, host: "[mx.example.com]:25"}

- name: Have a provider deliver what a domain sends
  vise.platform.mailcow_transport:
    api_key: "{{ vault_mail_api_key }}"
    relay_hosts:
      - {host: "[smtp.example.net]:587", username: example, password: "{{ vault_mail_relay }}"}
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be, in order.
  returned: always
  type: list
  elements: str
  sample: ["add transport example.com"]
"""

import ipaddress
import re
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils.mailcow import sync
from ansible_collections.vise.platform.plugins.module_utils.mailcow.client import Client, Row

RELAY = {"host": sync.NAME, "username": sync.TEXT, "password": sync.PASSWORD, "active": sync.FLAG}
TRANSPORT = {**RELAY, "destination": sync.NAME, "host": sync.TEXT}


def relay_attributes(options: Row) -> Row:
    """Return a relay host's options in the API's words."""
    words = {"host": "hostname"}
    return {words.get(key, key): sync.plain(value) for key, value in options.items()}


def transport_attributes(options: Row) -> Row:
    """Return a transport's options in the API's words."""
    words = {"host": "nexthop"}
    return {words.get(key, key): sync.plain(value) for key, value in options.items()}


def next_hop(host: str | None) -> str | None:
    """Return where a transport leads, as mailcow keeps it: a bare address in brackets, a relay host's as it is."""
    try:
        ipaddress.ip_address(host or "")
    except ValueError:
        return host
    return f"[{host}]"


def update_relay(changes: Row, _found: sync.Found) -> Row:
    """Return the API's attributes of a change."""
    return relay_attributes(changes)


def update_transport(changes: Row, found: sync.Found) -> Row:
    """Return the API's attributes of a change; it takes the login as one."""
    login = {key: found.values[key] for key in ("username", "password")}
    return transport_attributes({**login, **changes})


BLANK = {"username": "", "password": "", "active": 1}
RELAYS = sync.Kind(
    "relayhost", "host", lambda options: {**BLANK, **relay_attributes(options)}, update_relay, secret=("password",)
)
TRANSPORTS = sync.Kind(
    "transport",
    "destination",
    lambda options: {**BLANK, "is_mx_based": 0, **transport_attributes(options)},
    update_transport,
    secret=("password",),
)


def login(row: Row) -> Row:
    """Return what relay hosts and transports share; mailcow puts backslashes before colons, some more than once."""
    texts = {key: re.sub(r"\\+:", ":", row.get(key) or "") for key in ("username", "password")}
    return {**texts, "active": sync.flag(row.get("active"))}


def problems(relays: t.Sequence[Row], transports: t.Sequence[Row]) -> list[str]:
    """Return why mailcow would refuse, before it is asked."""
    wrong = sync.doubles(RELAYS, relays) + sync.doubles(TRANSPORTS, transports)
    logins: dict[str, set[tuple[str, str]]] = {}
    for entry in (entry for entry in transports if entry["state"] == "present"):
        if not entry["host"]:
            wrong.append(f"transport {entry['destination']}: host is missing")
        else:
            logins.setdefault(entry["host"], set()).add((entry["username"] or "", entry["password"] or ""))
    return wrong + [f"transports by {host} must share one login" for host, all_of in logins.items() if len(all_of) > 1]


def planned(client: Client, params: dict[str, t.Any]) -> list[sync.Step]:
    """Return what has to be done."""
    ways = [{**entry, "host": next_hop(entry["host"])} for entry in params["transports"]]
    sync.refuse(problems(params["relay_hosts"], ways))
    steps = []
    if params["relay_hosts"]:
        relays = {
            row["hostname"]: sync.Found(row["id"], {"host": row["hostname"], **login(row)})
            for row in client.rows("relayhost", "all")
        }
        steps += sync.plan(RELAYS, params["relay_hosts"], relays)
    if params["transports"]:
        transports = {
            row["destination"]: sync.Found(
                row["id"], {"destination": row["destination"], "host": row["nexthop"], **login(row)}
            )
            for row in client.rows("transport", "all")
        }
        steps += sync.plan(TRANSPORTS, ways, transports)
    return steps


def main() -> None:
    """Run as a module."""
    options = {"relay_hosts": sync.entries(RELAY), "transports": sync.entries(TRANSPORT)}
    sync.run(AnsibleModule({**sync.CONNECTION, **options}, supports_check_mode=True), planned)


if __name__ == "__main__":
    main()
