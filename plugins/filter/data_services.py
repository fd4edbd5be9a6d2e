# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The databases and caches of one host, for playbooks."""

from __future__ import annotations

DOCUMENTATION = r"""
name: data_services
short_description: Derive the databases and caches of one host
version_added: 0.1.0
description:
  - The host in group C(database) is the primary, those in C(database_standby) are its standbys, and those in C(cache)
    run Redis. Their ports are open only to the hosts of the groups that are named as clients, and to each other.
extends_documentation_fragment: [vise.platform.host_services]
positional: host, groups, hostvars
options:
  _input:
    description: The databases by name, each with C(clients), C(password) and optionally C(extensions).
    type: dict
    required: true
  hostvars:
    description: The inventory's C(hostvars). Only C(ansible_host) and C(internal_addresses) are read.
    type: dict
    required: true
  caches:
    description: The caches by name, each with C(clients) and C(password).
    type: dict
    default: {}
  passwords:
    description:
      - C(replication), the password of the replication user, and C(pool), with which the connection pool reads the
        password verifiers. They are read only for hosts that need them.
    type: dict
    default: {}
  sites:
    description: The sites by name. The former hosts of a site that is moved stay clients of its databases and caches.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Show the databases and caches of a host
  ansible.builtin.debug:
    var: databases | vise.platform.data_services(inventory_hostname, groups, hostvars, caches=caches)
"""

RETURN = r"""
_value:
  description:
    - C(database), which is V(primary), V(standby) or empty, with C(databases), C(users), C(slots) and C(follows) in the
      format of the role postgresql, and C(pools) in the format of the role pgbouncer.
    - C(cache), whether the host runs Redis, with C(cache_users) in the format of the role redis.
    - C(firewall_allow), in the format of the role firewall.
  type: dict
"""

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.vise.platform.plugins.module_utils.model import datastores, topology


def data_services(
    databases: datastores.Stores,
    host: str,
    groups: topology.Groups,
    hostvars: topology.HostVars,
    caches: datastores.Stores | None = None,
    passwords: t.Mapping[str, str] | None = None,
    sites: topology.Sites | None = None,
) -> dict[str, t.Any]:
    """Return the databases and caches of one host."""
    plan = topology.Topology(sites or {}, {}, groups, hostvars)
    wanted = datastores.Description(databases or {}, caches or {}, passwords or {})
    try:
        return datastores.data_services(plan, host, wanted)
    except topology.TopologyError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filters by name."""
        return {"data_services": data_services}
