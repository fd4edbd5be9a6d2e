#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: runbook_options
short_description: Validate the variables of a runbook
version_added: 0.1.0
description:
  - Reads the variables that O(options) names, validates them as an argument specification, and returns them with their
    types and defaults.
  - Reports all problems at once, followed by the usage of the runbook. It runs on the controller and does not connect
    to a host.
  - Refuses extra variables (C(-e)) that are not an option, but begin with one of O(prefixes), are similar to an
    option or are a part of its name, as C(snapshot) of C(restore_snapshot). Without this a misspelt option would have
    no effect.
  - An empty text counts as no value.
extends_documentation_fragment: [vise.platform.attributes.controller, vise.platform.attributes.reads]
author:
  - vise.platform contributors (@vise-platform)
options:
  usage:
    description: The text that is printed after the problems.
    type: str
    required: true
  options:
    description:
      - The variables by name, each as in an argument specification with C(type), C(elements), C(choices), C(required)
        and C(default).
      - With C(group), the value must be a host of that group of the inventory. With C(in_run), it must also be one of
        the hosts of the play, so that C(--limit) cannot exclude it.
    type: dict
    default: {}
  prefixes:
    description: The prefixes of this runbook's variables. An extra variable with one of them must be an option.
    type: list
    elements: str
    default: []
  mutually_exclusive:
    description: Lists of options of which only one may be set.
    type: list
    elements: list
    default: []
  required_together:
    description: Lists of options that must be set together.
    type: list
    elements: list
    default: []
  required_one_of:
    description: Lists of options of which at least one must be set.
    type: list
    elements: list
    default: []
  required_if:
    description: Lists of an option, its value, and the options that must then be set.
    type: list
    elements: list
    default: []
  required_by:
    description: The options that an option requires, by its name.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Validate the options
  vise.platform.runbook_options:
    usage: |
      ansible-playbook -i INVENTORY playbooks/restore_redis.yml -e restore_replace_live=HOST -e restore_dump=FILE
        restore_replace_live  the host whose data the dump replaces
        restore_dump          the dump, located on the controller
    prefixes: [restore_]
    options:
      restore_replace_live: {type: str, required: true, group: all, in_run: true}
      restore_dump: {type: str, required: true}
  run_once: true
  register: runbook

- name: Report the source
  ansible.builtin.debug:
    msg: "Restoring {{ runbook.options.restore_dump }}"
"""

RETURN = r"""
options:
  description: The options with their types and defaults; one without a value is V(null).
  returned: success
  type: dict
  sample: {restore_replace_live: cache-1, restore_dump: /root/dump.rdb}
"""
