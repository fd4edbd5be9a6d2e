#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: mailcow_stack
short_description: Have mailcow run as the role mailcow has configured it
version_added: 0.1.0
description:
  - Checks out the release where there is none, gives mailcow its certificate, starts the containers that do not run as
    wanted, and waits until the API answers. Where all of that is so already, it only reads.
  - The work is done by C(vise-mailcow up), a program of the role M(vise.platform.mailcow), which people may run too.
author:
  - vise.platform contributors (@vise-platform)
attributes:
  check_mode:
    description: It says what would be done; before the role has run, that is everything.
    support: full
  diff_mode:
    description: It shows the actions.
    support: full
  platform:
    description: Hosts on which it runs.
    support: full
    platforms: debian
"""

EXAMPLES = r"""
- name: Have mailcow run as configured
  vise.platform.mailcow_stack:
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be, in order.
  returned: always
  type: list
  elements: str
  sample: [use certificate, start postfix-mailcow]
"""

import json
import os
import typing as t

from ansible.module_utils.basic import AnsibleModule

PROGRAM = "/usr/local/sbin/vise-mailcow"


def converge(module: AnsibleModule) -> list[str]:
    """Return what was done, or would be."""
    if module.check_mode and not os.path.exists(PROGRAM):
        return ["check out the release", "use certificate", "start containers"]
    status, text, error = module.run_command([PROGRAM, "plan" if module.check_mode else "up"])
    if status:
        module.fail_json(msg=(error or text).strip())
    actions: list[str] = json.loads(text)["actions"]
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
