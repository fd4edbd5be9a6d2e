#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: component_confirmation
short_description: Confirm or revert a component's change that could prevent the next login
version_added: 0.1.0
description:
  - Commits or rolls back a change of M(vise.platform.component) with O(vise.platform.component#module:confirm).
  - The action plugin of M(vise.platform.component) runs this module by a new connection, which proves that the
    next run can log in. To revert a change by hand before its time ends, run this module with O(state=reverted).
extends_documentation_fragment: [vise.platform.attributes]
author:
  - vise.platform contributors (@vise-platform)
options:
  name:
    description: The component's name.
    type: str
    required: true
  generation:
    description:
      - The generation of the change, as M(vise.platform.component) returns it. It is needed for a confirmation.
      - By default, O(state=reverted) reverts a change of any generation.
    type: str
    default: ""
  state:
    description: Whether to commit the change or to roll it back.
    type: str
    choices: [confirmed, reverted]
    required: true
attributes:
  check_mode:
    description: Changes nothing.
    support: full
  diff_mode:
    description: Shows no difference.
    support: none
"""

EXAMPLES = r"""
- name: Revert the change of sshd that waits for a confirmation
  vise.platform.component_confirmation:
    name: ssh
    state: reverted
"""

RETURN = r"""
confirmed:
  description: Whether the change is committed.
  returned: always
  type: bool
msg:
  description: The outcome.
  returned: always
  type: str
  sample: Rolled back to the previous configuration, which is live.
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils.component import confirmation, host
from ansible_collections.vise.platform.plugins.module_utils.component.store import Store

ARGUMENT_SPEC = {
    "name": {"type": "str", "required": True},
    "generation": {"type": "str", "default": ""},
    "state": {"type": "str", "choices": ["confirmed", "reverted"], "required": True},
}


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    os.umask(0o022)
    store = Store(module.params["name"])
    pending = confirmation.is_pending(store)
    if module.check_mode:
        module.exit_json(changed=pending, confirmed=False, msg="A change waits." if pending else "No change waits.")
    try:
        if module.params["state"] == "confirmed":
            refusal = confirmation.confirm(store, module.params["generation"])
            module.exit_json(changed=not refusal, confirmed=not refusal, msg=refusal or "The change is committed.")
        outcome = confirmation.revert(store, module.params["generation"])
    except (host.HostError, OSError) as error:
        module.fail_json(msg=str(error))
    if confirmation.is_pending(store):
        module.fail_json(msg=outcome, confirmed=False)
    module.exit_json(changed=pending, confirmed=False, msg=outcome or "No change waits: the host has reverted it.")


if __name__ == "__main__":
    main()
