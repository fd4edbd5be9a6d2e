# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Find the names in a variable of a role that are not valid."""

from __future__ import annotations

DOCUMENTATION = r"""
name: name_problems
short_description: Find the names in a variable of a role that are not valid
version_added: 0.1.0
description:
  - Each kind of name has one pattern. A name that YAML has read as true, false, a number or a date is not valid, even
    if a conversion to text would be possible.
positional: variable
options:
  _input:
    description: The value of the variable.
    type: raw
    required: true
  variable:
    description: The name of the variable, which decides the kinds of the names in it.
    type: str
    required: true
author:
  - vise.platform contributors (@vise-platform)
"""

EXAMPLES = r"""
- name: Validate the names of users
  ansible.builtin.assert:
    that: problems | length == 0
    fail_msg: "{{ problems | join(', ') }}"
  vars:
    problems: "{{ redis_users | vise.platform.name_problems('redis_users') }}"
"""

RETURN = r"""
_value:
  description: One text for each name that is not valid.
  type: list
  elements: str
  sample: ['redis_users[0].name: `a b` is not a valid name; use letters, digits, _ . and -, at most 63']
"""

import typing as t

from ansible_collections.vise.platform.plugins.module_utils.model import names


def name_problems(value: t.Any, variable: str) -> list[str]:
    """Return one text for each name that is not valid."""
    return names.list_option_problems(variable, value)


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filters by name."""
        return {"name_problems": name_problems}
