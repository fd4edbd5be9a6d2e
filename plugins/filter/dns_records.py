# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The DNS records of the platform, for playbooks."""

from __future__ import annotations

DOCUMENTATION = r"""
name: dns_records
short_description: Derive all DNS records from the sites, the mail and the inventory
version_added: 0.1.0
description:
  - Sites and their aliases lead to the hosts that visitors reach. The mail host has addresses, SPF and TLSA; each mail
    domain has MX, SPF, DMARC, DKIM, MTA-STS, reports of TLS, and what programs for mail look for.
  - CAA names the authority of the ACME account.
  - The list is as M(vise.platform.cloudflare_dns) takes it.
author:
  - vise.platform contributors (@vise-platform)
positional: domain, groups, hostvars
options:
  _input:
    description:
      - The sites by name, as C(group_vars/all/sites.yml) has them; with C(proxied) the records of a site lead to
        Cloudflare.
    type: dict
    required: true
  domain:
    description: The platform's domain.
    type: str
    required: true
  groups:
    description: The inventory's C(groups).
    type: dict
    required: true
  hostvars:
    description: The inventory's C(hostvars); read are C(ansible_host) and C(public_addresses).
    type: dict
    required: true
  mail:
    description:
      - C(host), C(domains) and C(reports), the address for reports; perhaps C(dmarc) (V(quarantine)), C(mta_sts)
        (V(testing)) and C(mta_sts_max_age). Nothing follows from it where group C(mail) has no host.
    type: dict
    default: {}
  dkim:
    description: Public keys as M(vise.platform.dkim_key) returns them, with C(domain), C(selector), C(txt), C(state).
    type: list
    elements: dict
    default: []
  tlsa:
    description: SHA-256 of the public keys that port 25 of the mail host shows.
    type: list
    elements: str
    default: []
  acme_directory:
    description: From where certificates come. An authority that is not known has no CAA records without O(caa).
    type: str
    default: production
  caa:
    description: Authorities that may issue certificates, in place of the one that follows from O(acme_directory).
    type: list
    elements: str
    default: []
  contact:
    description: Address that authorities write to when somebody asks them who may not.
    type: str
    default: ""
  extra:
    description: Further records.
    type: list
    elements: dict
    default: []
  zones:
    description: The zones at the provider; the domain when empty. A name in none of them is an error.
    type: list
    elements: str
    default: []
  zone:
    description: The zone whose records to return; the first of O(zones) when empty.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Show the records of the platform
  ansible.builtin.debug:
    msg: "{{ sites | vise.platform.dns_records(domain, groups, hostvars, mail=dns_mail) }}"
"""

RETURN = r"""
_value:
  description: The records, each with C(type), C(name), C(value), C(comment) and what its type needs.
  type: list
  elements: dict
"""

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.vise.platform.plugins.module_utils import topology, zone_records


def dns_records(
    sites: topology.Sites,
    domain: str,
    groups: topology.Groups,
    hostvars: topology.HostVars,
    *,
    mail: t.Mapping[str, t.Any] | None = None,
    dkim: t.Sequence[t.Mapping[str, str]] = (),
    tlsa: t.Sequence[str] = (),
    acme_directory: str = "production",
    caa: t.Sequence[str] = (),
    contact: str = "",
    extra: t.Sequence[topology.Entry] = (),
    zones: t.Sequence[str] = (),
    zone: str = "",
) -> list[topology.Entry]:
    """Return the records of a zone."""
    plan = topology.Topology(sites or {}, {}, groups, hostvars)
    known = list(zones) or [domain]
    try:
        mailed = zone_records.Mail(**mail, dkim=dkim, tlsa=tlsa) if mail else None
        certificates = zone_records.Certificates(acme_directory, caa, contact)
        every = zone_records.records(plan, domain, mailed, certificates, extra)
        return zone_records.within(every, zone or known[0], known)
    except (topology.TopologyError, TypeError) as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filters by name."""
        return {"dns_records": dns_records}
