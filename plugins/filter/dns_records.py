# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filter: the DNS records of the platform."""

from __future__ import annotations

DOCUMENTATION = r"""
name: dns_records
short_description: Derive all DNS records from sites, mail and inventory
version_added: 0.1.0
description:
  - Sites and their aliases get the addresses of the hosts that visitors reach. The mail host gets addresses, SPF and
    TLSA; each mail domain gets MX, SPF, DMARC, DKIM, MTA-STS, TLS reports, and the records by which mail clients
    configure themselves.
  - CAA records permit only the authority of O(acme_directory).
  - Each entry has the options C(zone) and C(records) of M(vise.platform.cloudflare_zone) and
    M(vise.platform.dns_lookup_wait).
author:
  - vise.platform contributors (@vise-platform)
positional: domain, groups, hostvars
options:
  _input:
    description:
      - The sites by name, as in C(group_vars/all/sites.yml). Records of a site with C(proxied) are proxied by
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
    description: The inventory's C(hostvars), of which the filter reads C(ansible_host) and C(public_addresses).
    type: dict
    required: true
  mail:
    description:
      - C(host), C(domains) and C(reports), the address for reports; optionally C(dmarc) (V(quarantine)), C(mta_sts)
        (V(testing)) and C(mta_sts_max_age). There are no mail records when the group C(mail) has no host.
    type: dict
    default: {}
  dkim:
    description:
      - Public keys in the form that M(vise.platform.dkim_key) returns, with C(domain), C(selector), C(txt) and
        C(state).
    type: list
    elements: dict
    default: []
  tlsa:
    description: SHA-256 of the public keys of port 25 of the mail host.
    type: list
    elements: str
    default: []
  acme_directory:
    description: The ACME directory. If its authority is not known, there are CAA records only with O(caa).
    type: str
    default: production
  caa:
    description: Authorities that may issue certificates. They replace the authority of O(acme_directory).
    type: list
    elements: str
    default: []
  contact:
    description: Address to which authorities report refused requests.
    type: str
    default: ""
  extra:
    description: Further records.
    type: list
    elements: dict
    default: []
  zones:
    description: The zones at the provider; if empty, only O(domain). A name outside of all zones is an error.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Show the records of the platform
  ansible.builtin.debug:
    msg: "{{ sites | vise.platform.dns_records(domain, groups, hostvars, mail=dns_mail) }}"
"""

RETURN = r"""
_value:
  description:
    - An entry for each zone, with its name in C(zone) and its records in C(records). A record has C(type), C(name),
      C(value), C(comment) and the fields of its type.
  type: list
  elements: dict
"""

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.vise.platform.plugins.module_utils.model import topology, zone_records


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
) -> list[topology.Entry]:
    """Return the zones with their records."""
    plan = topology.Topology(sites or {}, {}, groups, hostvars)
    try:
        published_mail = zone_records.Mail(**mail, dkim=dkim, tlsa=tlsa) if mail else None
        certificates = zone_records.Certificates(acme_directory, caa, contact)
        every = zone_records.records(plan, domain, published_mail, certificates, extra)
        return zone_records.group_by_zone(every, list(zones) or [domain])
    except (topology.TopologyError, TypeError) as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filters by name."""
        return {"dns_records": dns_records}
