#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: internal_authority
short_description: Replace the platform's own authority in the vault file, stage by stage
version_added: 0.1.0
description:
  - The secrets C(vault_internal_ca) and C(vault_internal_ca_key) sign. While the authority is replaced, the vault file
    also has C(vault_internal_ca_next) or C(vault_internal_ca_previous), each with its key. Hosts trust it in addition.
  - Works on the controller and edits the vault file in place. Comments, other secrets and the encryption stay. A stage
    that was already done changes nothing.
  - The result contains keys, so Ansible never prints it. M(vise.platform.internal_certificate) changes the hosts.
extends_documentation_fragment: [vise.platform.attributes.controller]
attributes:
  check_mode:
    description: It returns what the vault file would contain, and writes nothing.
    support: full
  diff_mode:
    description: It shows no difference, because that would show secrets.
    support: none
author:
  - vise.platform contributors (@vise-platform)
options:
  stage:
    description:
      - V(trust) generates the next authority. V(issue) lets it sign; the previous one stays trusted. V(retire) removes
        the previous one.
      - V(back) lets the previous authority sign again, and V(abandon) then removes the other one.
    type: str
    required: true
    choices: [trust, issue, retire, back, abandon]
  plaintext:
    description: Whether a file that is not encrypted may stay so, because other means protect it.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Generate the next authority
  vise.platform.internal_authority:
    stage: trust
  register: authority
"""

RETURN = r"""
file:
  description: The vault file.
  returned: success
  type: str
  sample: inventory/group_vars/all/vault.yml
before:
  description: Certificates of the authorities before the stage, by C(current), C(next) and C(previous).
  returned: success
  type: dict
ca:
  description: The certificate of the authority that signs after the stage.
  returned: success
  type: str
ca_key:
  description: Its key.
  returned: success
  type: str
trusted:
  description: The certificates that hosts trust in addition after the stage.
  returned: success
  type: list
  elements: str
"""
