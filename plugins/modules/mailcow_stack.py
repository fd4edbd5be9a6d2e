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
  - When something changes, the action plugin compares what O(ports) answer to the controller before and after it. A
    port that answered before and does not answer any more is a failure, in each run until it answers.
  - The module runs C(vise-mailcow up), a program of the role C(mailcow). Operators can run it, too.
extends_documentation_fragment: [vise.platform.attributes, vise.platform.attributes.actions]
author:
  - vise.platform contributors (@vise-platform)
options:
  ports:
    description:
      - Variables of C(mailcow.conf) with ports, such as C(SMTP_PORT). Ports that are published at one address only are
        not compared.
    type: dict
    default: {}
  answers:
    description: What the ports answered to the controller before the change. The action plugin sets it.
    type: list
    elements: list
  state:
    description: V(confirmed) ends the comparison; the action plugin sets it.
    type: str
    choices: [started, confirmed]
    default: started
attributes:
  check_mode:
    description: Reports the planned actions; on a host without mailcow, these are all actions.
    support: full
"""

EXAMPLES = r"""
- name: Start mailcow as configured
  vise.platform.mailcow_stack:
    ports: {SMTP_PORT: "25", IMAPS_PORT: "993", POPS_PORT: "127.0.0.1:995"}
"""

RETURN = r"""
actions:
  description: The actions, or in check mode the planned actions, in order.
  returned: always
  type: list
  elements: str
  sample: [install certificate, start postfix-mailcow]
unreached:
  description: What this controller did not reach before the change, so that it was not compared.
  returned: when something changed and there are any
  type: list
  elements: str
  sample: [port 25]
awaited_answers:
  description:
    - The answers from before a change that is not confirmed yet. The action plugin probes the ports and removes the
      key, so the result of a task does not contain it.
  returned: when O(ports) is set, O(answers) is not, and something differs, not in check mode
  type: list
  elements: list
  sample: []
"""

import json
import os
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils.host import files, leases, programs

PROGRAM = "/usr/local/sbin/vise-mailcow"
# Exists from before a change until the controller has confirmed it, so that the run after a killed one compares too.
ANSWERS = "/var/lib/vise/mailcow/answers.json"
ARGUMENT_SPEC: dict[str, t.Any] = {
    "ports": {"type": "dict", "default": {}},
    "answers": {"type": "list", "elements": "list"},
    "state": {"type": "str", "choices": ["started", "confirmed"], "default": "started"},
}


def call(module: AnsibleModule, command: str) -> list[str]:
    """Run a command of the program; return its actions."""
    result = programs.run([PROGRAM, command])
    if result.failed:
        module.fail_json(msg=(result.err or result.out).strip())
    actions: list[str] = json.loads(result.out)["actions"]
    return actions


def converge(module: AnsibleModule) -> list[str]:
    """Return the actions of this run, or the planned ones in check mode."""
    if module.check_mode:
        if not os.path.exists(PROGRAM):
            return ["check out the release", "install certificate", "start containers"]
        return call(module, "plan")
    if module.params["ports"] and module.params["answers"] is None:
        earlier = read_answers()
        if earlier or call(module, "ready"):
            module.exit_json(changed=False, actions=[], awaited_answers=earlier)
        return []
    if module.params["answers"]:
        files.write_json(ANSWERS, module.params["answers"])
    return call(module, "up")


def read_answers() -> list[t.Any]:
    """Return what the ports answered before a change that is not confirmed; a damaged file counts as none."""
    try:
        return list(files.read_json(ANSWERS, []))
    except (TypeError, ValueError):
        return []


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    leases.keep_alive(module.check_mode)
    if module.params["state"] == "confirmed":
        files.remove_file(ANSWERS)
        module.exit_json(changed=False, actions=[])
    actions = converge(module)
    result: dict[str, t.Any] = {"changed": bool(actions), "actions": actions}
    if module._diff and actions:
        result["diff"] = {"prepared": "".join(f"> {action}\n" for action in actions)}
    module.exit_json(**result)


if __name__ == "__main__":
    main()
