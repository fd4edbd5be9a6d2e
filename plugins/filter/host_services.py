# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The services of one host, for playbooks."""

from __future__ import annotations

DOCUMENTATION = r"""
name: host_services
short_description: Derive the services of one host from the sites and the inventory
version_added: 0.1.0
description:
  - A host in C(edge), or in the group that a site names as its C(entrance), serves the site itself when it is also in
    the site's group. Otherwise it forwards requests to the hosts of that group over TLS.
  - A host in a site's group serves it on an internal port when a host outside of that group forwards requests to it.
  - A host serves files, or the program that listens on the site's C(port) of the loopback address.
  - The same description works for one host in every group and for one host per group; only the inventory differs.
extends_documentation_fragment: [vise.platform.host_services]
positional: host, groups, hostvars
options:
  _input:
    description: The sites by name, each with C(domain), C(group) and the other keys of C(group_vars/all/sites.yml).
    type: dict
    required: true
  hostvars:
    description:
      - The inventory's C(hostvars). Only C(ansible_host), C(public_addresses) and C(internal_addresses) are read.
    type: dict
    required: true
  open_ports:
    description: Ports that are open to all addresses, a list such as C([443/tcp]) by group.
    type: dict
    default: {}
  challenge:
    description: The ACME challenge of sites that do not set one.
    type: str
    choices: [http-01, dns-01]
    default: http-01
"""

EXAMPLES = r"""
- name: Show the services of a host
  ansible.builtin.debug:
    var: sites | vise.platform.host_services(inventory_hostname, groups, hostvars, open_ports=open_ports)
"""

RETURN = r"""
_value:
  description:
    - C(nginx_sites), C(certificates_wanted), C(firewall_allow) and C(static_sites), in the format of the roles.
    - C(internal_names), the names of the host's internal certificate, and C(trusted_proxies), the addresses of the
      hosts that forward requests to it.
    - C(certificates_later), the certificates of sites that move to this host, and C(new_places), where such a site must
      answer before this host forwards requests to it.
    - C(forwards), whether it forwards requests to other hosts, which must be ready before it.
    - C(cloudflare), whether Cloudflare forwards requests to it.
    - C(public_urls) and C(public_addresses), at which visitors reach this host.
  type: dict
"""

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.vise.platform.plugins.module_utils.model import topology


def host_services(
    sites: topology.Sites,
    host: str,
    groups: topology.Groups,
    hostvars: topology.HostVars,
    open_ports: t.Mapping[str, t.Sequence[str]] | None = None,
    challenge: str = "http-01",
) -> dict[str, t.Any]:
    """Return the services of one host."""
    plan = topology.Topology(sites or {}, open_ports or {}, groups, hostvars)
    try:
        return topology.host_services(plan, host, challenge)
    except topology.TopologyError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filters by name."""
        return {"host_services": host_services}
