# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filter: the components that the functions of a host need."""

from __future__ import annotations

DOCUMENTATION = r"""
name: needed_components
short_description: Derive the components that the functions of a host need
version_added: 0.1.0
description:
  - A host that left a group keeps the components of that function until M(vise.platform.function_retirement) removes
    them. This filter derives which components other functions of the host still need.
author:
  - vise.platform contributors (@vise-platform)
positional: host, groups, hostvars
options:
  _input:
    description: The sites by name, as for P(vise.platform.host_services#filter).
    type: dict
    required: true
  host:
    description: The host's name in the inventory.
    type: str
    required: true
  groups:
    description: The inventory's C(groups).
    type: dict
    required: true
  hostvars:
    description: The inventory's C(hostvars), of which the filter reads the addresses.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the components that the functions of a host need
  ansible.builtin.debug:
    msg: "{{ sites | vise.platform.needed_components(inventory_hostname, groups, hostvars) }}"
"""

RETURN = r"""
_value:
  description: The names of the components, without versions, such as C(nginx) or C(postgresql).
  type: list
  elements: str
"""

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.vise.platform.plugins.module_utils.model import functions, topology


def needed_components(
    sites: topology.Sites, host: str, groups: topology.Groups, hostvars: topology.HostVars
) -> list[str]:
    """Return the components that the functions of a host need."""
    try:
        return functions.needed_components(topology.Topology(sites or {}, {}, groups, hostvars), host)
    except topology.TopologyError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filters by name."""
        return {"needed_components": needed_components}
