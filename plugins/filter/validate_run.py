# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filter: validate the inventory and the options of ansible-playbook."""

from __future__ import annotations

DOCUMENTATION = r"""
name: validate_run
short_description: Validate the inventory and the options of ansible-playbook before the first play
version_added: 0.1.0
description:
  - Ansible ignores an inventory that does not exist, has no host or cannot be parsed, a key that is defined twice, and
    parts of C(--limit), C(--tags) and C(--skip-tags) that match nothing. The run then does less than the user wants, or
    nothing, and ends successfully. This filter fails instead, with all problems at once.
  - As C(hosts) of a play, Ansible evaluates it even if no host matches. It also finds files of variables that are not
    valid YAML or cannot be decrypted, and names the file and the line.
author:
  - vise.platform contributors (@vise-platform)
positional: groups, sources, playbook_dir
options:
  _input:
    description: The pattern of hosts, which is returned.
    type: str
    required: true
  groups:
    description: The inventory's C(groups).
    type: dict
    required: true
  sources:
    description: C(ansible_inventory_sources).
    type: list
    elements: str
    required: true
  playbook_dir:
    description: The folder of the playbook, next to which Ansible reads C(group_vars) and C(host_vars).
    type: path
    required: true
  limit:
    description: C(ansible_limit).
    type: str
    default: ""
  tags:
    description: C(ansible_run_tags).
    type: list
    elements: str
    default: []
  skip_tags:
    description: C(ansible_skip_tags).
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Preflight
  hosts: "{{ 'all' | vise.platform.validate_run(groups, ansible_inventory_sources, playbook_dir) }}"
"""

RETURN = r"""
_value:
  description: The input.
  type: str
"""

import typing as t
from pathlib import Path

from ansible.errors import AnsibleFilterError
from ansible_collections.vise.platform.plugins.plugin_utils import run_checks


def validate_run(
    pattern: str,
    groups: run_checks.Groups,
    sources: t.Sequence[str],
    playbook_dir: str,
    limit: str | None = "",
    tags: t.Sequence[str] = (),
    skip_tags: t.Sequence[str] = (),
) -> str:
    """Return the pattern, or fail with all problems."""
    if run_checks.runs_no_task():
        return pattern
    problems = run_checks.find_run_problems(groups, sources, Path(playbook_dir))
    if groups.get("all"):
        problems += run_checks.find_unmatched_limits(limit or "", groups)
    problems += run_checks.find_unmatched_tags(tags, skip_tags)
    if problems:
        raise AnsibleFilterError("\n".join(["nothing was changed", *(f"- {line}" for line in problems)]))
    return pattern


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filters by name."""
        return {"validate_run": validate_run}
