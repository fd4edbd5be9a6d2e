# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The duties of one host, for playbooks."""

from __future__ import annotations

DOCUMENTATION = r"""
name: duties
short_description: Derive what one host has to do from the sites and the inventory
version_added: 0.1.0
description:
  - A host in C(edge), or in what a site names as its C(entrance), serves the site itself when the site's group has it
    too. Otherwise it asks the hosts of that group over TLS.
  - A host in a site's group serves it on an internal port when a host outside of that group has to ask.
  - What a host serves are files, or the program that listens on the site's C(port) of the loopback address.
  - The same description gives one host in every group and a host a group; only the inventory differs.
extends_documentation_fragment: [vise.platform.duties]
positional: host, groups, hostvars
options:
  _input:
    description: The sites by name, each with C(domain), C(group) and what else C(group_vars/all/sites.yml) names.
    type: dict
    required: true
  hostvars:
    description: The inventory's C(hostvars); read are C(ansible_host), C(public_addresses) and C(internal_addresses).
    type: dict
    required: true
  open_ports:
    description: Ports that answer to everybody, a list such as C([443/tcp]) by group.
    type: dict
    default: {}
  challenge:
    description: How names are proven where a site says nothing.
    type: str
    choices: [http-01, dns-01]
    default: http-01
"""

EXAMPLES = r"""
- name: See what a host has to do
  ansible.builtin.debug:
    var: sites | vise.platform.duties(inventory_hostname, groups, hostvars, open_ports=open_ports)
"""

RETURN = r"""
_value:
  description:
    - C(nginx_sites), C(certificates_wanted), C(firewall_allow) and C(static_sites), as the roles take them.
    - C(internal_names), what the host's internal certificate is for, and C(trusted_proxies), who asks it.
    - C(cloudflare), whether Cloudflare asks it for a site.
    - C(public_urls) and C(public_addresses), at which visitors ask this host.
  type: dict
"""

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.vise.platform.plugins.module_utils import topology


def duties(
    sites: topology.Sites,
    host: str,
    groups: topology.Groups,
    hostvars: topology.HostVars,
    open_ports: t.Mapping[str, t.Sequence[str]] | None = None,
    challenge: str = "http-01",
) -> dict[str, t.Any]:
    """Return what follows for one host."""
    plan = topology.Topology(sites or {}, open_ports or {}, groups, hostvars)
    try:
        return topology.duties(plan, host, challenge)
    except topology.TopologyError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filters by name."""
        return {"duties": duties}
