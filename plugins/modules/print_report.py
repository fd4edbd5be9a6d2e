#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: print_report
short_description: Print a report as it is, and write it to a file
version_added: 0.1.0
description:
  - Prints a text on the controller without the formatting of a callback, so that tables stay readable. It can print a
    document as JSON instead, and write it to a file for scripts.
  - With O(problem), the task fails after the report is printed, so that C(ansible-playbook) ends with exit status 2.
extends_documentation_fragment: [vise.platform.attributes.controller, vise.platform.attributes.reads]
author:
  - vise.platform contributors (@vise-platform)
options:
  text:
    description: The report for people.
    type: str
    required: true
  document:
    description: The report for scripts.
    type: dict
    required: true
  format:
    description: What is printed.
    type: str
    choices: [text, json]
    default: text
  file:
    description: A file on the controller that gets the document as JSON; it is replaced.
    type: path
  problem:
    description: Why the task fails; empty for success.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Print the report
  vise.platform.print_report:
    text: "{{ report.text }}"
    document: "{{ report.document }}"
    file: status.json
  run_once: true
"""

RETURN = r"""
msg:
  description: The problem, or that there is none.
  returned: always
  type: str
"""
