# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The duties of one host for databases and caches, for playbooks."""

from __future__ import annotations

DOCUMENTATION = r"""
name: data_duties
short_description: Derive what one host has to do for databases and caches
version_added: 0.1.0
description:
  - The host in group C(database) holds the primary, those in C(database_standby) follow it, and those in C(cache) hold
    Redis. Their ports open to the hosts of the groups that are named as clients, and to nobody else.
extends_documentation_fragment: [vise.platform.duties]
positional: host, groups, hostvars
options:
  _input:
    description: The databases by name, each with C(clients), C(password) and perhaps C(extensions).
    type: dict
    required: true
  hostvars:
    description: The inventory's C(hostvars); read are C(ansible_host) and C(internal_addresses).
    type: dict
    required: true
  caches:
    description: The caches by name, each with C(clients) and C(password).
    type: dict
    default: {}
  replication_password:
    description: By which standbys follow.
    type: str
    default: ""
  pool_password:
    description: By which the pool asks for the verifiers of passwords.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: See what a host has to do
  ansible.builtin.debug:
    var: databases | vise.platform.data_duties(inventory_hostname, groups, hostvars, caches=caches)
"""

RETURN = r"""
_value:
  description:
    - C(database), which is V(primary), V(standby) or empty, with C(databases), C(users), C(slots) and C(follows) as the
      role postgresql takes them, and C(pools) as the role pgbouncer takes them.
    - C(cache), whether the host holds Redis, with C(cache_users) as the role redis takes them.
    - C(firewall_allow), as the role firewall takes it.
  type: dict
"""

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.vise.platform.plugins.module_utils import datastores, topology


def data_duties(
    databases: datastores.Stores,
    host: str,
    groups: topology.Groups,
    hostvars: topology.HostVars,
    caches: datastores.Stores | None = None,
    replication_password: str = "",
    pool_password: str = "",
) -> dict[str, t.Any]:
    """Return what follows for one host."""
    plan = topology.Topology({}, {}, groups, hostvars)
    wanted = datastores.Description(databases or {}, caches or {}, replication_password, pool_password)
    try:
        return datastores.data_duties(plan, host, wanted)
    except topology.TopologyError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filters by name."""
        return {"data_duties": data_duties}
