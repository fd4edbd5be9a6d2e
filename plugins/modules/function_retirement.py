#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: function_retirement
short_description: Remove what a host keeps of a function that it has left
version_added: 0.1.0
description:
  - Stops and disables the units of the function, moves its data to a directory that only root can read, removes the
    packages of the units, and removes all files of its components. Components that another function of the host needs
    stay.
  - Data that is a file system of its own, the volumes of Docker and tablespaces stay in their place. Nothing of the
    data is deleted.
  - Each step looks for what is left to do, so that a run that was killed is completed by the next one.
extends_documentation_fragment: [vise.platform.attributes]
author:
  - vise.platform contributors (@vise-platform)
options:
  function:
    description: The function that the host has left.
    type: str
    choices: [edge, cache, database, mail, edu]
    required: true
  needed:
    description: The components, without versions, that the other functions of the host need.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Returns the steps, and does none.
    support: full
  diff_mode:
    description: Shows the steps.
    support: full
"""

EXAMPLES = r"""
- name: Remove Redis from a host that has left the group cache
  vise.platform.function_retirement:
    function: cache
"""

RETURN = r"""
actions:
  description: The steps that were done, or in check mode would be done, in order.
  returned: always
  type: list
  elements: str
  sample: [stop and disable redis-server.service, remove 9 files of redis, end the component redis]
kept:
  description: Where the data is now.
  returned: always
  type: list
  elements: str
  sample: [/var/lib/vise/retired/cache-20261130T031500Z]
"""

import contextlib
import os
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils.component import host, retirement
from ansible_collections.vise.platform.plugins.module_utils.component.store import Store
from ansible_collections.vise.platform.plugins.module_utils.host import leases, programs

ARGUMENT_SPEC = {
    "function": {"type": "str", "required": True, "choices": list(retirement.FUNCTIONS)},
    "needed": {"type": "list", "elements": "str", "default": []},
}


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    leases.keep_alive(module.check_mode)
    os.umask(0o022)
    function = module.params["function"]
    parts = [part for part in retirement.FUNCTIONS[function] if part not in module.params["needed"]]
    if not parts:
        module.fail_json(
            msg=f"this host still has the function {function}; first remove it from the group in the inventory, or for "
            "edge move its sites to another host"
        )
    present = retirement.list_components()
    components = [name for part in parts for name in present if retirement.base_name(name) == part]
    units = [name for one in components for name in retirement.list_units(Store(one)) if "@." not in name]
    place = f"{retirement.KEPT}/{function}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    done: list[str] = []
    try:
        with contextlib.ExitStack() as locks:
            for name in () if module.check_mode else components:
                locks.enter_context(Store(name).lock())
            steps = retirement.plan(components, place)
            for step in () if module.check_mode else steps:
                step.do()
                done.append(step.text)
    except (host.HostError, programs.ProgramError, OSError) as error:
        advice = (
            f"Done before: {'; '.join(done)}. Correct the cause and start the runbook again: it completes the rest."
        )
        module.fail_json(msg=f"{error}. {advice if done else 'Nothing was changed.'}", actions=done)
    if running := [] if module.check_mode else retirement.find_running(units):
        module.fail_json(
            msg=f"{', '.join(running)} still runs: stop it with `systemctl stop`, and find what started it"
        )
    actions = [step.text for step in steps]
    diff = {"diff": {"prepared": "".join(f"> {text}\n" for text in actions)}} if module._diff and actions else {}
    kept = retirement.list_kept(components, function)
    module.exit_json(changed=bool(actions), actions=actions, kept=kept, **diff)


if __name__ == "__main__":
    main()
