#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: foreign_firewall
short_description: Find firewall rules of others before the role firewall replaces them
version_added: 0.1.0
description:
  - Lists what the role firewall would remove or disable on a host that has firewall rules of a person, of a provider's
    image or of another program, and fails with this list.
  - With O(take_over=true), it keeps a copy of all rules and of their files instead, and disables units that load other
    rules at boot. The role then removes the rules.
  - Before the first run of the role, these are rules of ufw, its edited files, live rules that accept packets or decide
    against O(allowed), and enabled services such as C(netfilter-persistent). Later, they are packages that conflict
    with ufw, and units or scripts that load other rules at boot.
  - Rules that accept packets before the list of open ports decides are removed in later runs without permission.
    They are warnings, and a copy is kept.
  - Rules with a match that cannot be evaluated are warnings.
extends_documentation_fragment: [vise.platform.attributes]
author:
  - vise.platform contributors (@vise-platform)
options:
  allowed:
    description: The open ports, as P(vise.platform.ufw_rules#filter) returns them, for the IP versions C(4) and C(6).
    type: dict
    required: true
  container_interfaces:
    description: Network interfaces of container networks.
    type: list
    elements: str
    default: [docker0, docker_gwbridge, br-+]
  take_over:
    description: Whether the rules of others may be removed.
    type: bool
    default: false
attributes:
  check_mode:
    description: Reports what would be found; keeps no copy.
    support: full
  diff_mode:
    description: Shows the rules of others.
    support: full
"""

EXAMPLES = r"""
- name: Find rules of others
  vise.platform.foreign_firewall:
    allowed:
      4: "{{ [{'port': 22}] | vise.platform.ufw_rules(4) }}"
      6: "{{ [{'port': 22}] | vise.platform.ufw_rules(6) }}"
    take_over: false
"""

RETURN = r"""
found:
  description: The rules, files, packages and units of others.
  returned: always
  type: list
  elements: str
  sample: ["/etc/ufw/user.rules: ufw rule `allow tcp 8080 0.0.0.0/0 any 0.0.0.0/0 in`"]
backup:
  description: Archive with the rules of others, readable only by root.
  returned: when a copy was kept
  type: str
  sample: /var/backups/vise/firewall-20261129T230000Z.tar.gz
"""

import datetime
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils.component.store import Store
from ansible_collections.vise.platform.plugins.module_utils.firewall import foreign, loaders, snapshot
from ansible_collections.vise.platform.plugins.module_utils.host import programs

ARGUMENT_SPEC: dict[str, t.Any] = {
    "allowed": {"type": "dict", "required": True},
    "container_interfaces": {"type": "list", "elements": "str", "default": ["docker0", "docker_gwbridge", "br-+"]},
    "take_over": {"type": "bool", "default": False},
}
COMPONENT = "firewall"


def is_new(store: Store) -> bool:
    """Return whether the role has not configured this host; after a killed run it has."""
    return not store.read_manifest().generation and store.read_journal() is None


def is_complete(store: Store) -> bool:
    """Return whether the last change of the role is complete."""
    return bool(store.read_manifest().generation) and store.read_journal() is None


def describe_refusal(found: t.Sequence[str], scripts: t.Sequence[str]) -> str:
    """Return the message of a refusal."""
    lines = [
        "refused, nothing was changed: this host has firewall rules that the role firewall would remove or disable:"
    ]
    lines += [f"- {text}" for text in found]
    if scripts:
        lines += ["These lines load other rules at boot; remove them by hand:", *(f"- {line}" for line in scripts)]
    if found:
        lines.append(
            "Add what is still needed to firewall_allow. Then set firewall_take_over: true for one run: it keeps a copy"
            f" in {foreign.COPIES} and removes the rest. Or remove these rules by hand"
        )
    return "\n".join(lines)


def take_over(findings: foreign.Findings, check_mode: bool) -> str:
    """Keep a copy of all rules and disable the units of others; return the path of the copy."""
    if check_mode or not (findings.removed or findings.drift):
        return ""
    stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
    path = foreign.keep_copy(findings, stamp)
    for unit in findings.units:
        # Not stopped: the command that stops such a unit often flushes all rules.
        programs.call(["systemctl", "disable", unit])
    return path


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    allowed = {int(family): some for family, some in module.params["allowed"].items()}
    store = Store(COMPONENT)
    try:
        if is_complete(store) and not module.check_mode:
            snapshot.forget()
        findings = foreign.find(
            allowed, module.params["container_interfaces"], is_new(store), module.params["take_over"]
        )
        scripts = loaders.find_script_lines()
        if scripts or (findings.removed and not module.params["take_over"]):
            module.fail_json(msg=describe_refusal(findings.removed, scripts))
        copy = take_over(findings, module.check_mode)
    except (programs.ProgramError, OSError) as error:
        module.fail_json(msg=f"the firewall rules of this host cannot be read: {error}")
    for doubt in findings.doubts:
        module.warn(f"firewall: {doubt}")
    for rule in findings.drift:
        module.warn(f"firewall: `{rule}` was added by others, opens ports that are not in the list, and is removed")
    found = [*findings.removed, *(f"live rule: {rule}" for rule in findings.drift)]
    result: dict[str, t.Any] = {"changed": bool(found), "found": found}
    if copy:
        module.warn(f"firewall: a copy of the rules that are removed is in {copy}")
        result["backup"] = copy
    if module._diff and found:
        result["diff"] = {"prepared": "".join(f"> take over {text}\n" for text in found)}
    module.exit_json(**result)


if __name__ == "__main__":
    main()
