#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: dkim_switch
short_description: Have mailcow sign by another key from one message to the next
version_added: 0.1.0
description:
  - Puts a key of M(vise.platform.dkim_key)'s store in the place of the one by which mailcow signs a domain's mail, in
    one transaction of mailcow's Redis, from which rspamd reads for every message. No message goes out unsigned.
  - mailcow's API deletes the old key before it writes the new one, so that a busy server sends unsigned mail in
    between. That is no matter for a domain's first key, and M(vise.platform.mailcow_dkim) brings it; a rotation uses
    this module.
  - It ends once that is on mailcow's disk, where Redis by itself writes within the hour.
  - The password and the port come from C(mailcow.conf) on the host.
author:
  - vise.platform contributors (@vise-platform)
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
      selector:
        description: The key's selector in the store.
        type: str
        required: true
      forget:
        description: Selectors of retired keys, of which mailcow is to keep no copy.
        type: list
        elements: str
        default: []
  directory:
    description: Where the keys lie.
    type: path
    default: /etc/vise/dkim
  project:
    description: Where mailcow lies, with its C(mailcow.conf).
    type: path
    default: /opt/mailcow-dockerized
attributes:
  check_mode:
    description: Says what would be switched.
    support: full
  diff_mode:
    description: The selector of each domain; never the private key.
    support: full
  platform:
    description: Hosts on which it runs; C(python3-cryptography) must be there.
    support: full
    platforms: debian
"""

EXAMPLES = r"""
- name: Sign by the new key
  vise.platform.dkim_switch:
    keys: [{domain: example.org, selector: s2026, forget: [s2024]}]
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be, in order.
  returned: always
  type: list
  elements: str
  sample: [sign mail of example.org by s2026 in place of s2025]
"""

import functools
import os
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils.dkim import keys, signer, store

# Beside the domains' folders, while mailcow's Redis may hold what its disk does not.
UNSAVED = ".unsaved"


def problems(wanted: list[dict[str, t.Any]]) -> list[str]:
    """Say what cannot be, before anything is touched."""
    domains = [one["domain"] for one in wanted]
    found = [f"{name}: wanted more than once" for name in sorted({name for name in domains if domains.count(name) > 1})]
    for one in wanted:
        found += keys.name_problems(one["domain"], one["selector"])
        if one["selector"] in one["forget"]:
            found.append(f"{one['domain']}: {one['selector']} is to sign, so it cannot be forgotten")
    return found


def pairs(wanted: list[dict[str, t.Any]], root: str) -> list[tuple[dict[str, t.Any], signer.Signer]]:
    """Return what each domain's mail is to be signed by; all keys must be there and fit."""
    found, missing = [], []
    for one in wanted:
        pem = store.read_key(root, one["domain"], one["selector"])
        try:
            found.append((one, signer.wanted(one["selector"], pem)))
        except keys.DkimError as error:
            record = keys.record(one["domain"], one["selector"])
            missing.append(f"{record}: {error if pem else 'there is no such key: make it with dkim_key'}")
    if missing:
        raise keys.DkimError("\n".join(missing))
    return found


def apply(redis: signer.Redis, steps: list[t.Callable[[signer.Redis], None]], mark: str) -> None:
    """Do what is due, and have it on the disk: a run that was killed in between has left a mark for the next."""
    if not steps and not os.path.exists(mark):
        return
    store.write(mark, "")
    for step in steps:
        step(redis)
    signer.keep(redis)
    os.unlink(mark)


def converge(params: dict[str, t.Any], check: bool) -> dict[str, t.Any]:
    """Switch what differs; return the module's result."""
    wanted = pairs(params["keys"], params["directory"])
    actions, before, after = [], "", ""
    steps: list[t.Callable[[signer.Redis], None]] = []
    with signer.Redis(signer.settings(params["project"])) as redis:
        for one, new in wanted:
            domain, old = one["domain"], signer.current(redis, one["domain"])
            if not signer.same(old, new):
                actions.append(f"sign mail of {domain} by {new.selector} in place of {old.selector or 'none'}")
                before, after = f"{before}{domain} {old.selector}\n", f"{after}{domain} {new.selector}\n"
                steps.append(functools.partial(signer.switch, domain=domain, signer=new))
            gone = signer.left(redis, domain, one["forget"])
            actions += [f"forget the key of {keys.record(domain, selector)}" for selector in gone]
            steps.append(functools.partial(signer.forget, domain=domain, selectors=gone))
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
