# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filter: the settings of the role base."""

from __future__ import annotations

DOCUMENTATION = r"""
name: base_settings
short_description: Derive the settings of journal, upgrades, clock and locales from the options of the role base
version_added: 0.1.0
description:
  - Refuses values that a program would ignore without an error, and reports all of them at once.
author:
  - vise.platform contributors (@vise-platform)
options:
  _input:
    description: The options of the role C(base), with their names.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the settings
  ansible.builtin.debug:
    msg: "{{ options | vise.platform.base_settings }}"
  vars:
    options: "{{ hostvars[inventory_hostname] }}"
"""

RETURN = r"""
_value:
  description: The settings by program.
  type: dict
  sample: {timezone: Etc/UTC, journal: {SystemMaxUse: 500M}}
"""

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.vise.platform.plugins.module_utils.model import base_settings as model


def base_settings(options: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return the settings of the role base; raise AnsibleFilterError when options cannot be used."""
    try:
        return model.derive(options)
    except KeyError as error:
        raise AnsibleFilterError(f"base_settings: the option {error} is missing") from error
    except (model.SettingsError, TypeError, ValueError) as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filters by name."""
        return {"base_settings": base_settings}
