#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: package_updates
short_description: Plan and install the pending updates of packages
version_added: 0.1.0
description:
  - The plan contains each package with its versions, whether it is an update of Debian's security archive, the
    archive of others that it comes from, and what prevents the update, such as a full disk.
  - Packages are installed and upgraded, also kernels, but never removed. Packages that apt keeps back and those on hold
    stay. A configuration file that was changed on the host stays.
  - Completes first what a killed dpkg left. Fails if apt reports success and an update is not installed.
extends_documentation_fragment: [vise.platform.attributes, vise.platform.attributes.actions]
author:
  - vise.platform contributors (@vise-platform)
options:
  state:
    description: V(planned) downloads the lists of packages and changes nothing else. V(updated) installs the updates.
    type: str
    choices: [planned, updated]
    default: planned
attributes:
  check_mode:
    description: Returns the plan by the lists of packages that the host has.
    support: full
"""

EXAMPLES = r"""
- name: Plan the updates
  vise.platform.package_updates:
  register: updates

- name: Install them
  vise.platform.package_updates:
    state: updated
"""

RETURN = r"""
actions:
  description: The actions that were done, or in check mode would be done, in order.
  returned: always
  type: list
  elements: str
  sample: ["openssl 3.5.1-1 -> 3.5.1-1+deb13u1 (security)"]
rollback:
  description: The command on the host that installs the previous versions, as long as an archive has them.
  returned: always
  type: str
  sample: apt-get install --allow-downgrades openssl=3.5.1-1
plan:
  description:
    - What the host would install (C(updates), each with C(name), C(from), C(to), C(security) and C(foreign)), what
      stays (C(held), C(kept)), what a killed dpkg left (C(unfinished)), the process that uses dpkg now
      (C(lock_holder)), whether a kernel is among the updates (C(kernel)), why a reboot is required already
      (C(reboot)), the age of the lists (C(list_hours)), and what prevents the update (C(problems)).
  returned: always
  type: dict
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils import package_updates
from ansible_collections.vise.platform.plugins.module_utils.component.host import HostError
from ansible_collections.vise.platform.plugins.module_utils.host import leases, programs

ARGUMENT_SPEC: dict[str, t.Any] = {
    "state": {"type": "str", "choices": ["planned", "updated"], "default": "planned"},
}


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    leases.keep_alive(module.check_mode)
    updates = module.params["state"] == "updated"
    try:
        error = "" if module.check_mode or updates else package_updates.refresh()
        plan = package_updates.read_plan()
        if error:
            plan["problems"].append(f"apt cannot read all archives: {error}; correct or remove the source of packages")
        if updates and not module.check_mode:
            actions = package_updates.update(plan)
        else:
            actions = [package_updates.describe(one) for one in plan["updates"]] if updates else []
    except (HostError, programs.ProgramError, OSError) as problem:
        module.fail_json(msg=str(problem))
    result: dict[str, t.Any] = {"changed": bool(actions), "actions": actions, "plan": plan}
    result["rollback"] = package_updates.write_rollback(plan)
    if module._diff and actions:
        result["diff"] = {"prepared": "".join(f"> {action}\n" for action in actions)}
    module.exit_json(**result)


if __name__ == "__main__":
    main()
