# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filter: all that is known before a run, as one text and as one document."""

from __future__ import annotations

DOCUMENTATION = r"""
name: check_report
short_description: Write the results of all checks before a run
version_added: 0.1.0
description:
  - Joins the results of M(vise.platform.preflight), M(vise.platform.host_check), M(vise.platform.host_status),
    M(vise.platform.cloudflare_zone) and M(vise.platform.dns_lookup_wait) into one list, and walks the steps of the
    initial set-up. A result that is missing is one entry of the list.
author:
  - vise.platform contributors (@vise-platform)
positional: hosts
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
  preflight:
    description: The variable in which the result of M(vise.platform.preflight) is registered.
    type: str
    default: __preflight
  checks:
    description: The variable in which the result of M(vise.platform.host_check) is registered.
    type: str
    default: check_of_host
  status:
    description: The variable in which the result of M(vise.platform.host_status) is registered.
    type: str
    default: status_of_host
  zones:
    description: The result of M(vise.platform.cloudflare_zone), a loop over the zones.
    type: dict
    default: {}
  names:
    description: The result of M(vise.platform.dns_lookup_wait).
    type: dict
    default: {}
  has_token:
    description: Whether there is a token for Cloudflare.
    type: bool
    default: false
  sources:
    description: C(ansible_inventory_sources), for the commands in the text.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Print the report
  vise.platform.print_report:
    text: "{{ report.text }}"
    document: "{{ report.document }}"
  run_once: true
  vars:
    report: "{{ hostvars | vise.platform.check_report(ansible_play_hosts_all, sources=ansible_inventory_sources) }}"
"""

RETURN = r"""
_value:
  description: C(text), and C(document) with C(ok), C(problems), C(checks) and C(set_up).
  type: dict
"""

import typing as t
from pathlib import Path

from ansible_collections.vise.platform.plugins.module_utils import platform_check, preflight_checks
from ansible_collections.vise.platform.plugins.module_utils.preflight_checks import shorten_path

Data = t.Mapping[str, t.Any]


def check_report(
    hostvars: t.Mapping[str, Data],
    hosts: t.Sequence[str],
    *,
    preflight: str = "__preflight",
    checks: str = "check_of_host",
    status: str = "status_of_host",
    zones: Data | None = None,
    names: Data | None = None,
    has_token: bool = False,
    sources: t.Sequence[str] = (),
) -> dict[str, t.Any]:
    """Return text and document."""
    validated, checked, statuses = (
        {host: dict(hostvars[host][name]) for host in hosts if name in hostvars[host]}
        for name in (preflight, checks, status)
    )
    unreached = [host for host, result in validated.items() if result.get("unreachable")]
    lines = [line.removeprefix("- ") for line in preflight_checks.write_report(validated).splitlines()[1:]]
    items = [
        *platform_check.list_description(lines, reached=len(unreached) < len(validated)),
        *platform_check.list_host_checks(checked),
        *platform_check.list_failed_checks(checked),
        *platform_check.list_zones((zones or {}).get("results") or (), has_token),
        *platform_check.list_names(names or {}, has_token),
    ]
    inventories = " ".join(f"-i {source if ',' in source else shorten_path(source)}" for source in map(str, sources))
    state = platform_check.SetUp(
        items=items,
        hosts=[host for host in hosts if host not in unreached],
        unreached=unreached,
        statuses={host: result["status"] for host, result in statuses.items() if "status" in result},
        has_token=has_token,
        has_workflows=any(Path.cwd().glob(".github/workflows/*.y*ml")),
        run=f"ansible-playbook {inventories}".strip(),
    )
    steps = platform_check.walk_set_up(state)
    return {
        "text": platform_check.format_text(items, steps),
        "document": platform_check.build_document(items, steps),
    }


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filters by name."""
        return {"check_report": check_report}
