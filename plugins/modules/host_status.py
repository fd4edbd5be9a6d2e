#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: host_status
short_description: Report what runs on a host, its backups, its certificates, and what needs attention
version_added: 0.1.0
description:
  - Reads the state of a host by the evaluation of each program, C(systemctl show), the certificates that services
    present at their ports, C(pgbackrest info), the metrics of backups and of restore proofs, C(pg_stat_replication),
    and a simulation of apt. It finds what interrupted runs left, and compares each component with its last run.
  - It changes nothing. Each part has a time limit, and a part that cannot be read is one finding of the result, so that
    it also reports a host on which a service hangs, is stopped or was never installed.
  - The filter P(vise.platform.status_report#filter) writes the status of all hosts as one text.
extends_documentation_fragment: [vise.platform.attributes, vise.platform.attributes.reads]
author:
  - vise.platform contributors (@vise-platform)
options:
  components:
    description:
      - The components that the description wants on this host. The action plugin derives them from the variable
        C(sites) and the groups of the host.
    type: list
    elements: str
    default: []
  differences:
    description: Whether to compare each component with its last successful run, by its probes.
    type: bool
    default: true
  backup_hours:
    description: Hours after which the last backup needs attention.
    type: int
    default: 36
  proof_days:
    description: Days after which the last restore proof needs attention.
    type: int
    default: 9
  certificate_days:
    description: Days before the end of a certificate from which on it needs attention.
    type: int
    default: 14
"""

EXAMPLES = r"""
- name: Read the status
  vise.platform.host_status:
    proof_days: 16
  register: status
  ignore_unreachable: true
"""

RETURN = r"""
status:
  description: The status of the host.
  returned: always
  type: dict
  contains:
    host:
      description: System, uptime, used disks, pending updates, and why a reboot is required.
      type: dict
    services:
      description: One entry for each service with state, version and ages in seconds.
      type: list
      elements: dict
    findings:
      description: What needs attention, or is a note, with what to do.
      type: list
      elements: dict
      sample:
        - {service: nginx, text: nginx.service is failed, remedy: "on the host: journalctl -u nginx -n 50", note: false}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils.host import files
from ansible_collections.vise.platform.plugins.module_utils.host_status import facts, services

ARGUMENT_SPEC = {
    "components": {"type": "list", "elements": "str", "default": []},
    "differences": {"type": "bool", "default": True},
    "backup_hours": {"type": "int", "default": 36},
    "proof_days": {"type": "int", "default": 9},
    "certificate_days": {"type": "int", "default": 14},
}


def read_facts(differences: bool) -> tuple[facts.Data, dict[str, str]]:
    """Return all facts of the host, and the error of each part that cannot be read."""
    found, errors = facts.collect({"components": facts.read_components})
    components: dict[str, facts.Data] = found.get("components", {})
    units = [unit for one in components.values() for unit in one["units"]]
    mailcow = files.read_json("/etc/vise/mailcow/settings.json") or {}
    readers = {
        "now": facts.read_now,
        "host": facts.read_host,
        "units": lambda: facts.read_units([*units, *services.UNITS.values()]),
        "failed_units": facts.read_failed_units,
        "versions": facts.read_versions,
        "updates": facts.read_updates,
        "certificates": facts.read_certificates,
        "replication": facts.read_replication,
        "repositories": facts.read_repositories,
        "samples": facts.read_samples,
        "expected_files": facts.read_expected_files,
        "leftovers": lambda: facts.read_leftovers(components),
        "reboot": facts.read_reboot,
    }
    if mailcow:
        readers["containers"] = lambda: facts.read_containers(mailcow["directory"])
        found["mailcow_version"] = mailcow["version"]
    if differences:
        readers["differences"] = facts.read_differences
    more, failed = facts.collect(readers)
    return {**found, **more}, {**errors, **failed}


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    found, errors = read_facts(params["differences"])
    limits = services.Limits(**{key: params[key] for key in ("backup_hours", "proof_days", "certificate_days")})
    module.exit_json(changed=False, status=services.evaluate(found, errors, params["components"], limits))


if __name__ == "__main__":
    main()
