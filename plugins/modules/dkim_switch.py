#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: dkim_switch
short_description: Switch the DKIM key of mailcow without an unsigned message
version_added: 0.1.0
description:
  - Replaces the key with which mailcow signs a domain's mail by a key of M(vise.platform.dkim_key). rspamd reads the
    key from mailcow's Redis for every message; the module replaces it there in one transaction, so no message is sent
    unsigned.
  - mailcow's API deletes the old key before it writes the new key. In the meantime, a busy server sends unsigned mail.
    Therefore a rotation needs this module. For the first key of a domain, M(vise.platform.mailcow_dkim) is sufficient.
  - The module waits until Redis has saved the change to disk. Otherwise Redis saves it only within an hour.
  - The module reads the password and the port from C(mailcow.conf) on the host.
author:
  - vise.platform contributors (@vise-platform)
options:
  keys:
    description: The signing key of each domain.
    type: list
    elements: dict
    default: []
    suboptions:
      domain:
        description: The domain.
        type: str
        required: true
      selector:
        description: Selector of the key in the store.
        type: str
        required: true
      forget:
        description: Selectors of retired keys. Their private keys in mailcow are removed.
        type: list
        elements: str
        default: []
  directory:
    description: Directory of the keys.
    type: path
    default: /etc/vise/dkim
  project:
    description: Directory of mailcow, with its C(mailcow.conf).
    type: path
    default: /opt/mailcow-dockerized
attributes:
  check_mode:
    description: Reports the planned changes.
    support: full
  diff_mode:
    description: Selector of each domain; never the private key.
    support: full
  platform:
    description: Hosts on which the module runs; they need C(python3-cryptography).
    support: full
    platforms: debian
"""

EXAMPLES = r"""
- name: Sign with the new key
  vise.platform.dkim_switch:
    keys: [{domain: example.org, selector: s2026, forget: [s2024]}]
"""

RETURN = r"""
actions:
  description: The changes, or in check mode the planned changes, in order.
  returned: always
  type: list
  elements: str
  sample: [sign mail of example.org with s2026 instead of s2025]
"""

import functools
import os
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils.dkim import keys, signer, store
from ansible_collections.vise.platform.plugins.module_utils.host import leases

# This file exists while mailcow's Redis may have changes that are not on disk.
UNSAVED = ".unsaved"


def problems(wanted: list[dict[str, t.Any]]) -> list[str]:
    """Return the problems of the options."""
    domains = [one["domain"] for one in wanted]
    found = [
        f"{name}: the domain is listed more than once"
        for name in sorted({name for name in domains if domains.count(name) > 1})
    ]
    for one in wanted:
        found += keys.name_problems(one["domain"], one["selector"])
        if one["selector"] in one["forget"]:
            found.append(f"{one['domain']}: {one['selector']} is the signing key so it cannot be in forget")
    return found


def read_signers(wanted: list[dict[str, t.Any]], root: str) -> list[tuple[dict[str, t.Any], signer.Signer]]:
    """Return the signer of each domain; raise an error if keys are missing or mailcow cannot use them."""
    found, missing = [], []
    for one in wanted:
        pem = store.read_key(root, one["domain"], one["selector"])
        try:
            found.append((one, signer.from_key(one["selector"], pem)))
        except keys.DkimError as error:
            record = keys.record(one["domain"], one["selector"])
            missing.append(f"{record}: {error if pem else 'the key does not exist: create it with dkim_key'}")
    if missing:
        raise keys.DkimError("\n".join(missing))
    return found


def apply(redis: signer.Redis, steps: list[t.Callable[[signer.Redis], None]], mark: str) -> None:
    """Apply the steps and save them to disk; because of the mark, the next run saves the changes of a killed run."""
    if not steps and not os.path.exists(mark):
        return
    store.write(mark, "")
    for step in steps:
        step(redis)
    signer.save(redis)
    os.unlink(mark)


def converge(params: dict[str, t.Any], check: bool) -> dict[str, t.Any]:
    """Apply the differences; return the result of the module."""
    wanted = read_signers(params["keys"], params["directory"])
    actions, before, after = [], "", ""
    steps: list[t.Callable[[signer.Redis], None]] = []
    with signer.Redis(signer.read_settings(params["project"])) as redis:
        for one, new in wanted:
            domain, old = one["domain"], signer.current(redis, one["domain"])
            if not signer.same(old, new):
                actions.append(f"sign mail of {domain} with {new.selector} instead of {old.selector or 'none'}")
                before, after = f"{before}{domain} {old.selector}\n", f"{after}{domain} {new.selector}\n"
                steps.append(functools.partial(signer.switch, domain=domain, signer=new))
            obsolete = signer.find_copies(redis, domain, one["forget"])
            actions += [f"remove the copy of {keys.record(domain, selector)}" for selector in obsolete]
            steps.append(functools.partial(signer.remove_copies, domain=domain, selectors=obsolete))
        if not check:
            apply(redis, steps if actions else [], os.path.join(params["directory"], UNSAVED))
    return {"changed": bool(actions), "actions": actions, "diff": {"before": before, "after": after}}


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(
        {
            "keys": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "no_log": False,
                "options": {
                    "domain": {"type": "str", "required": True},
                    "selector": {"type": "str", "required": True},
                    "forget": {"type": "list", "elements": "str", "default": []},
                },
            },
            "directory": {"type": "path", "default": store.ROOT},
            "project": {"type": "path", "default": "/opt/mailcow-dockerized"},
        },
        supports_check_mode=True,
    )
    leases.keep_alive(module.check_mode)
    wrong = problems(module.params["keys"])
    if wrong:
        module.fail_json(msg="\n".join(wrong))
    try:
        result = converge(module.params, module.check_mode)
    except keys.DkimError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
