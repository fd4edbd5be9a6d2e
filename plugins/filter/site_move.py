# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filter: the plan of the move of a site."""

from __future__ import annotations

DOCUMENTATION = r"""
name: site_move
short_description: Plan the move of a site to other hosts
version_added: 0.1.0
description:
  - The description has the new place of the site in C(group) and C(entrance), and its former place in C(moved_from).
  - The plan contains why the site cannot be moved, with what to write instead, and the steps of the move.
author:
  - vise.platform contributors (@vise-platform)
positional: name, groups, hostvars
options:
  _input:
    description: The sites by name, as for P(vise.platform.host_services#filter).
    type: dict
    required: true
  name:
    description: The site.
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
  found:
    description: What each host has of the site, as M(vise.platform.site_move) returns it.
    type: dict
    default: {}
  run:
    description: The hosts of the run; if empty, all hosts of the inventory.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Show the steps of a move
  ansible.builtin.debug:
    msg: "{{ (sites | vise.platform.site_move('docs', groups, hostvars)).steps }}"
"""

RETURN = r"""
_value:
  description:
    - C(problems), C(warnings) and C(steps) are texts for the operator.
    - C(hosts) are all hosts of the move, C(places) those that serve the site before or after it, C(old_edges),
      C(old_hosts) and C(new_hosts) parts of them.
    - C(names), C(urls) and C(addresses) are those of the site at its new place.
    - C(sites_after) are the sites without the former place of this one.
  type: dict
"""

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.vise.platform.plugins.module_utils.model import site_moves, topology


def site_move(
    sites: topology.Sites,
    name: str,
    groups: topology.Groups,
    hostvars: topology.HostVars,
    found: site_moves.Traces | None = None,
    run: t.Collection[str] = (),
) -> dict[str, t.Any]:
    """Return the plan of the move of a site."""
    plan = topology.Topology(sites, {}, groups, hostvars)
    try:
        return site_moves.plan_move(plan, name, found or {}, run or list(hostvars))
    except topology.TopologyError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filters by name."""
        return {"site_move": site_move}
