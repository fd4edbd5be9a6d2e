#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: make_secrets
short_description: Generate the missing secrets of an inventory
version_added: 0.1.0
description:
  - Evaluates the description as each host of the inventory reads it. A variable with the prefix C(vault_) that a host
    needs and no file defines is missing. New random values are written into the vault file; a value is never replaced.
  - The certificate and the key of the platform's own authority are generated together.
  - Secrets that a provider issues or a user knows, such as the token of Cloudflare, are returned with what to do.
  - An encrypted file is decrypted in memory only. It is replaced atomically, encrypted by the same password, and only
    its owner can read it. Comments and other content stay.
  - It runs on the controller, for all hosts of the inventory, and connects to none. No value is returned.
extends_documentation_fragment: [vise.platform.attributes.controller]
attributes:
  check_mode:
    description: It returns the same names and writes nothing.
    support: full
  diff_mode:
    description: It shows no difference, because that would show secrets.
    support: none
author:
  - vise.platform contributors (@vise-platform)
options:
  path:
    description:
      - The vault file. The default is the file for all hosts that has the most secrets, or
        C(group_vars/all/vault.yml) of the inventory.
    type: path
  plaintext:
    description: Whether a file that is not encrypted may stay so, because other means protect it.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Generate the missing secrets
  hosts: all
  gather_facts: false
  tasks:
    - name: Generate the missing secrets
      vise.platform.make_secrets:
      run_once: true
      register: made

    - name: Report the secrets that a provider issues
      ansible.builtin.debug:
        var: made.issued
      run_once: true
"""

RETURN = r"""
path:
  description: The vault file.
  returned: success
  type: str
  sample: inventory/group_vars/all/vault.yml
generated:
  description: The names of the secrets that were missing and are generated.
  returned: success
  type: list
  elements: str
  sample: [vault_database_shop]
issued:
  description: The secrets that are missing and that only a provider or a user can know.
  returned: success
  type: list
  elements: dict
  sample: [{name: vault_cloudflare_token, advice: create an API token at Cloudflare}]
  contains:
    name:
      description: The variable.
      type: str
      sample: vault_cloudflare_token
    advice:
      description: What to do.
      type: str
      sample: create an API token at Cloudflare
"""
