# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filter: the reverse names of the mail host."""

from __future__ import annotations

DOCUMENTATION = r"""
name: ptr_advice
short_description: Derive the reverse names that the provider of the servers must set
version_added: 0.1.0
description:
  - Other mail servers refuse mail from an address whose reverse name is not the mail host. Reverse names are in a zone
    of the provider who owns the address.
author:
  - vise.platform contributors (@vise-platform)
positional: groups, hostvars
options:
  _input:
    description: The name of the mail host.
    type: str
    required: true
  groups:
    description: The inventory's C(groups).
    type: dict
    required: true
  hostvars:
    description: The inventory's C(hostvars), of which the filter reads C(ansible_host) and C(public_addresses).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the reverse names
  ansible.builtin.debug:
    msg: "{{ 'mail.example.org' | vise.platform.ptr_advice(groups, hostvars) }}"
"""

RETURN = r"""
_value:
  description: For each address of the mail host C(address), C(name) and C(reverse), the name of its PTR record.
  type: list
  elements: dict
"""

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.vise.platform.plugins.module_utils.model import topology, zone_records


def ptr_advice(host: str, groups: topology.Groups, hostvars: topology.HostVars) -> list[topology.Entry]:
    """Return the reverse names of the mail host."""
    if not isinstance(host, str) or not host:
        raise AnsibleFilterError("ptr_advice: the input must be the name of the mail host")
    return zone_records.reverse_names(topology.Topology({}, {}, groups, hostvars), zone_records.Mail(host, (), ""))


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filters by name."""
        return {"ptr_advice": ptr_advice}
