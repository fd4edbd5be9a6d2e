#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: mailcow_stack
short_description: Start mailcow as the role mailcow has configured it
version_added: 0.1.0
description:
  - Checks out the release if there is none, installs the certificate, starts the containers that do not run as
    configured, and waits until the API answers. If mailcow already runs as configured, it changes nothing.
  - The module runs C(vise-mailcow up), a program of the role C(mailcow). Operators can run it, too.
extends_documentation_fragment: [vise.platform.attributes, vise.platform.attributes.actions]
author:
  - vise.platform contributors (@vise-platform)
attributes:
  check_mode:
    description: Reports the planned actions; on a host without mailcow, these are all actions.
    support: full
"""

EXAMPLES = r"""
- name: Start mailcow as configured
  vise.platform.mailcow_stack:
"""

RETURN = r"""
actions:
  description: The actions, or in check mode the planned actions, in order.
  returned: always
  type: list
  elements: str
  sample: [install certificate, start postfix-mailcow]
"""

import json
import os
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils.host import programs

PROGRAM = "/usr/local/sbin/vise-mailcow"


def converge(module: AnsibleModule) -> list[str]:
    """Return the actions of this run, or the planned ones in check mode."""
    if module.check_mode and not os.path.exists(PROGRAM):
        return ["check out the release", "install certificate", "start containers"]
    result = programs.run([PROGRAM, "plan" if module.check_mode else "up"])
    if result.failed:
        module.fail_json(msg=(result.err or result.out).strip())
    actions: list[str] = json.loads(result.out)["actions"]
    return actions


def main() -> None:
    """Run as a module."""
    module = AnsibleModule({}, supports_check_mode=True)
    actions = converge(module)
    result: dict[str, t.Any] = {"changed": bool(actions), "actions": actions}
    if module._diff and actions:
        result["diff"] = {"prepared": "".join(f"> {action}\n" for action in actions)}
    module.exit_json(**result)


if __name__ == "__main__":
    main()
