# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filter: the status of all hosts, as one text and as one document."""

from __future__ import annotations

DOCUMENTATION = r"""
name: status_report
short_description: Write the status of all hosts
version_added: 0.1.0
description:
  - Joins the results of M(vise.platform.host_status). A host that was not reached is one of them.
author:
  - vise.platform contributors (@vise-platform)
positional: hosts, name, sources
options:
  _input:
    description: The inventory's C(hostvars).
    type: dict
    required: true
  hosts:
    description: The hosts of the play.
    type: list
    elements: str
    required: true
  name:
    description: The variable in which the result of M(vise.platform.host_status) is registered.
    type: str
    required: true
  sources:
    description: C(ansible_inventory_sources), for the commands in the text.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Write the report
  vise.platform.print_report:
    text: "{{ report.text }}"
    document: "{{ report.document }}"
  run_once: true
  vars:
    report: "{{ hostvars | vise.platform.status_report(ansible_play_hosts_all, 'status', ansible_inventory_sources) }}"
"""

RETURN = r"""
_value:
  description: C(text), and C(document) with C(ok), C(attention) and C(hosts).
  type: dict
"""

import typing as t

from ansible_collections.vise.platform.plugins.module_utils import preflight_checks
from ansible_collections.vise.platform.plugins.module_utils.host_status import report
from ansible_collections.vise.platform.plugins.module_utils.preflight_checks import shorten_path


def status_report(
    hostvars: t.Mapping[str, t.Mapping[str, t.Any]],
    hosts: t.Sequence[str],
    name: str,
    sources: t.Sequence[str] = (),
) -> dict[str, t.Any]:
    """Return text and document."""
    results = {host: hostvars[host].get(name) or {} for host in hosts}
    failures = {
        host: preflight_checks.explain_failure(dict(result), "the status cannot be read")
        for host, result in results.items()
        if "status" not in result
    }
    inventories = " ".join(f"-i {source if ',' in source else shorten_path(source)}" for source in map(str, sources))
    document = report.build_document(results, failures, f"ansible-playbook {inventories}".strip())
    return {"text": report.format_text(document), "document": document}


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filters by name."""
        return {"status_report": status_report}
