#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: mail_probe
short_description: Send a message as a user does, fetch it, and verify its signature
version_added: 0.1.0
description:
  - Asks port 25 for STARTTLS and verifies the certificate, hands a message in by submission with a login, fetches it by
    IMAPS, and verifies its DKIM signatures against the DNS. The message goes to the mailbox that sends it, and is gone
    afterwards.
  - It stops at the first step that fails, and says which one that was.
author:
  - vise.platform contributors (@vise-platform)
requirements: [dkimpy, dnspython]
options:
  host:
    description: The mail server's name, which its certificate must hold.
    type: str
    required: true
  address:
    description: IP address to ask at; what the name resolves to when empty.
    type: str
    default: ""
  user:
    description: The mailbox, by its address.
    type: str
    required: true
  password:
    description: Its password.
    type: str
    required: true
  selector:
    description: The selector by which the message must be signed; any when empty.
    type: str
    default: ""
  resolvers:
    description: IP addresses of the name servers to ask; the system's when empty.
    type: list
    elements: str
    default: []
  ca:
    description: Certificates in PEM that are trusted beside the system's.
    type: str
    default: ""
  smtp_port:
    description: Port at which other servers bring mail; 0 leaves it out, where a network blocks it on the way out.
    type: int
    default: 25
  submission_port:
    description: Port at which users hand mail in.
    type: int
    default: 587
  imap_port:
    description: Port at which users fetch it.
    type: int
    default: 993
  timeout:
    description: Seconds for a connection and for each answer.
    type: int
    default: 10
  delivery_timeout:
    description: Seconds until the message must have arrived.
    type: int
    default: 60
attributes:
  check_mode:
    description: It changes nothing that lasts.
    support: partial
    details: In check mode it sends nothing, and proves nothing.
  diff_mode:
    description: It changes nothing.
    support: none
  platform:
    description: Where it runs.
    support: full
    platforms: posix
"""

EXAMPLES = r"""
- name: Prove that mail flows, and is signed by the new key
  vise.platform.mail_probe:
    host: mail.example.org
    user: probe@example.org
    password: "{{ vault_mail_probe }}"
    selector: s2026
  delegate_to: localhost
"""

RETURN = r"""
message_id:
  description: The message's id, by which the server's log tells more.
  returned: when a message was sent
  type: str
  sample: <176404.1.probe@example.org>
signatures:
  description: What each DKIM signature is worth; C(problem) says why one failed.
  returned: when the message came back
  type: list
  elements: dict
  sample: [{domain: example.org, selector: s2026, result: pass, problem: ""}]
seconds:
  description: From the submission until the message was in the mailbox.
  returned: when the message came back
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


def probe(params: dict[str, t.Any], told: dict[str, t.Any]) -> None:
    """Send a message and verify it, and tell what was learned on the way."""
    asked = mail_probe.resolver(params["resolvers"], params["timeout"])
    address = params["address"] or mail_probe.resolve(params["host"], asked)
    account = mail_probe.Account(address=address, **{name: params[name] for name in ACCOUNT})
    if account.smtp_port:
        mail_probe.greet(account)
    message = mail_probe.compose(account.user, account.user)
    begin = time.monotonic()
    mail_probe.submit(account, message)
    told["message_id"] = message["Message-ID"]
    raw = mail_probe.fetch(account, message["Message-ID"], params["delivery_timeout"])
    told["seconds"] = round(time.monotonic() - begin, 2)
    told["signatures"] = mail_probe.signatures(raw, asked)
    wrong = mail_probe.judge(told["signatures"], account.user.rpartition("@")[2], params["selector"])
    if wrong:
        raise mail_probe.ProbeError("signature", wrong)


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
        module.fail_json(msg="dkimpy and dnspython are missing where the module runs: run it on the controller")
    told: dict[str, t.Any] = {}
    if not module.check_mode:
        try:
            probe(module.params, told)
        except mail_probe.ProbeError as error:
            module.fail_json(msg=f"mail probe: {error}", step=error.step, **told)
    module.exit_json(changed=False, **told)


if __name__ == "__main__":
    main()
