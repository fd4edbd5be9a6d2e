#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: mail_probe
short_description: Send a message as a user does, fetch it, and verify its signature
version_added: 0.1.0
description:
  - Connects to port 25 with STARTTLS and verifies the certificate, submits a message with a login, fetches it with
    IMAPS, and verifies its DKIM signatures against the DNS. The mailbox sends the message to itself; the module deletes
    it.
  - The module stops at the first step that fails, and reports this step.
extends_documentation_fragment: [vise.platform.attributes.controller]
author:
  - vise.platform contributors (@vise-platform)
requirements: [dkimpy, dnspython]
options:
  host:
    description: Name of the mail server, which its certificate must contain.
    type: str
    required: true
  address:
    description: IP address to connect to; by default the address of the name.
    type: str
    default: ""
  user:
    description: Address of the mailbox.
    type: str
    required: true
  password:
    description: Password of the mailbox.
    type: str
    required: true
  selector:
    description: The selector with which the message must be signed; by default any.
    type: str
    default: ""
  resolvers:
    description: IP addresses of the name servers to query; by default those of the system.
    type: list
    elements: str
    default: []
  ca:
    description: Certificates in PEM to trust in addition to the system's.
    type: str
    default: ""
  smtp_port:
    description: Port for incoming mail; 0 skips its check, if the network blocks outgoing connections to this port.
    type: int
    default: 25
  submission_port:
    description: Port for submission.
    type: int
    default: 587
  imap_port:
    description: Port for IMAPS.
    type: int
    default: 993
  timeout:
    description: Timeout in seconds of a connection and of each answer.
    type: int
    default: 10
  delivery_timeout:
    description: Seconds until the message must be delivered.
    type: int
    default: 60
attributes:
  check_mode:
    description: Sends nothing and verifies nothing.
    support: partial
    details: Outside of check mode, the module deletes the message that it sent.
  diff_mode:
    description: The module changes nothing.
    support: none
"""

EXAMPLES = r"""
- name: Verify that mail flows and is signed with the new key
  vise.platform.mail_probe:
    host: mail.example.org
    user: probe@example.org
    password: "{{ vault_mail_probe }}"
    selector: s2026
  delegate_to: localhost
"""

RETURN = r"""
message_id:
  description: Value of Message-ID, to find the message in the log of the server.
  returned: when a message was sent
  type: str
  sample: <176404.1.probe@example.org>
signatures:
  description: The result of each DKIM signature; C(problem) is the reason of a failure.
  returned: when the message was delivered
  type: list
  elements: dict
  sample: [{domain: example.org, selector: s2026, result: pass, problem: ""}]
seconds:
  description: Seconds from submission to delivery.
  returned: when the message was delivered
  type: float
  sample: 1.4
step:
  description: The step that failed, one of V(resolve), V(smtp), V(submission), V(delivery), V(signature).
  returned: failure
  type: str
  sample: delivery
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils import mail_probe

ACCOUNT = ("host", "user", "password", "smtp_port", "submission_port", "imap_port", "timeout", "ca")


def probe(params: dict[str, t.Any], result: dict[str, t.Any]) -> None:
    """Send a message and verify it; add the values to the result step by step."""
    resolver = mail_probe.make_resolver(params["resolvers"], params["timeout"])
    address = params["address"] or mail_probe.resolve(params["host"], resolver)
    account = mail_probe.Account(address=address, **{name: params[name] for name in ACCOUNT})
    if account.smtp_port:
        mail_probe.check_smtp(account)
    message = mail_probe.compose(account.user, account.user)
    begin = time.monotonic()
    mail_probe.submit(account, message)
    result["message_id"] = message["Message-ID"]
    raw = mail_probe.fetch(account, message["Message-ID"], params["delivery_timeout"])
    result["seconds"] = round(time.monotonic() - begin, 2)
    result["signatures"] = mail_probe.verify_signatures(raw, resolver)
    problem = mail_probe.find_problem(result["signatures"], account.user.rpartition("@")[2], params["selector"])
    if problem:
        raise mail_probe.ProbeError("signature", problem)


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(
        {
            "host": {"type": "str", "required": True},
            "address": {"type": "str", "default": ""},
            "user": {"type": "str", "required": True},
            "password": {"type": "str", "required": True, "no_log": True},
            "selector": {"type": "str", "default": ""},
            "resolvers": {"type": "list", "elements": "str", "default": []},
            "ca": {"type": "str", "default": ""},
            "smtp_port": {"type": "int", "default": 25},
            "submission_port": {"type": "int", "default": 587},
            "imap_port": {"type": "int", "default": 993},
            "timeout": {"type": "int", "default": 10},
            "delivery_timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    if not mail_probe.HAS_LIBRARIES:
        module.fail_json(msg="dkimpy and dnspython are not installed on this host: run the module on the controller")
    result: dict[str, t.Any] = {}
    if not module.check_mode:
        try:
            probe(module.params, result)
        except mail_probe.ProbeError as error:
            module.fail_json(msg=f"mail probe: {error}", step=error.step, **result)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
