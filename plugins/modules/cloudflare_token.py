#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: cloudflare_token
short_description: See whether a token of Cloudflare may do what a run will need
version_added: 0.1.0
description:
  - Tries each permission by a call that changes nothing, and fails when one is missing, with the names of all that are,
    as Cloudflare's pages have them.
author:
  - vise.platform contributors (@vise-platform)
extends_documentation_fragment: vise.platform.cloudflare
options:
  zone:
    description: The zone for which it is needed.
    type: str
    required: true
  permissions:
    description: What the token must be allowed.
    type: list
    elements: str
    choices:
      - Zone / Zone / Read
      - Zone / DNS / Read
      - Zone / DNS / Edit
      - Zone / Zone Settings / Edit
      - Zone / SSL and Certificates / Edit
      - Zone / Zone WAF / Edit
      - Zone / Cache Rules / Edit
      - Zone / Single Redirect / Edit
      - Zone / Analytics / Read
    default: [Zone / DNS / Edit]
attributes:
  check_mode:
    description: It changes nothing.
    support: full
  diff_mode:
    description: It changes nothing.
    support: none
"""

EXAMPLES = r"""
- name: See whether the token may do what follows
  vise.platform.cloudflare_token:
    token: "{{ vault_cloudflare_token }}"
    zone: example.org
    permissions: [Zone / DNS / Edit, Zone / Zone Settings / Edit]
"""

RETURN = r"""
missing:
  description: The permissions that the token lacks.
  returned: always
  type: list
  elements: str
  sample: [Zone / Zone Settings / Edit]
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.vise.platform.plugins.module_utils.cloudflare import client, permissions

ARGUMENT_SPEC: dict[str, t.Any] = {
    **client.OPTIONS,
    "zone": {"type": "str", "required": True},
    "permissions": {
        "type": "list",
        "elements": "str",
        "choices": list(permissions.PROBES),
        "default": [client.DNS_EDIT],
    },
}


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    if client.IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("cloudflare"), exception=client.IMPORT_ERROR)
    name = module.params["zone"]
    session = client.Session(module.params)
    try:
        missing = permissions.missing(session, session.zone(name), module.params["permissions"])
    except client.ApiError as error:
        module.fail_json(msg=f"{name}: {error}", missing=[])
    if missing:
        text = f"{name}: the token lacks {', '.join(missing)}; add that to it at Cloudflare (My Profile, API Tokens)"
        module.fail_json(msg=text, missing=missing)
    module.exit_json(changed=False, missing=missing)


if __name__ == "__main__":
    main()
