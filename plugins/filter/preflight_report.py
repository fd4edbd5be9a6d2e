# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filter: the problems that preflight found on all hosts, as one text."""

from __future__ import annotations

DOCUMENTATION = r"""
name: preflight_report
short_description: Write the problems that preflight found on all hosts
version_added: 0.1.0
description:
  - Lists each problem once. A problem that not all hosts have begins with the hosts that have it.
author:
  - vise.platform contributors (@vise-platform)
positional: hosts, name
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
    description: The variable in which the result of the module P(vise.platform.preflight#module) is registered.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Report all problems
  ansible.builtin.assert:
    that: report | length == 0
    fail_msg: "{{ report }}"
  run_once: true
  vars:
    report: "{{ hostvars | vise.platform.preflight_report(ansible_play_hosts_all, 'preflight') }}"
"""

RETURN = r"""
_value:
  description: The problems as lines of text, or an empty text.
  type: str
"""

import typing as t

from ansible_collections.vise.platform.plugins.module_utils import preflight_checks


def preflight_report(hostvars: t.Mapping[str, t.Mapping[str, t.Any]], hosts: t.Sequence[str], name: str) -> str:
    """Return the problems of all hosts as one text."""
    return preflight_checks.write_report({host: hostvars[host][name] for host in hosts if name in hostvars[host]})


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filters by name."""
        return {"preflight_report": preflight_report}
