# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filter: what needs attention on a host after a change and did not before."""

from __future__ import annotations

DOCUMENTATION = r"""
name: new_findings
short_description: Compare two states of a host
version_added: 0.1.0
description:
  - Compares two results of M(vise.platform.host_status). Ages and counts in the texts may differ.
author:
  - vise.platform contributors (@vise-platform)
positional: before
options:
  _input:
    description: The result after the change.
    type: dict
    required: true
  before:
    description: The result before the change.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Require that all services run as before
  ansible.builtin.assert:
    that: status_after | vise.platform.new_findings(status_before) | length == 0
"""

RETURN = r"""
_value:
  description: The new findings, each as one line with its remedy.
  type: list
  elements: str
"""

import re
import typing as t

from ansible_collections.vise.platform.plugins.filter.update_plan import find_attention


def new_findings(after: t.Mapping[str, t.Any], before: t.Mapping[str, t.Any]) -> list[str]:
    """Return the new findings."""
    known = {(one["service"], re.sub(r"\d+", "", one["text"])) for one in find_attention(before)}
    return [
        f"{one['service']}: {one['text']}; {one['remedy']}"
        for one in find_attention(after)
        if (one["service"], re.sub(r"\d+", "", one["text"])) not in known
    ]


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filters by name."""
        return {"new_findings": new_findings}
