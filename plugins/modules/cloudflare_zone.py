#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: cloudflare_zone
short_description: Keep the settings of a zone at Cloudflare
version_added: 0.1.0
description:
  - Reads the settings that are given, and changes those that differ. Others are left alone.
  - For DNSSEC it returns the record that the registrar needs.
author:
  - vise.platform contributors (@vise-platform)
extends_documentation_fragment: vise.platform.cloudflare
options:
  zone:
    description: The zone's name.
    type: str
    required: true
  ssl:
    description:
      - How Cloudflare speaks to the origin. With V(strict) by TLS, with a certificate that it verifies; anything less
        can be listened to.
    type: str
    choices: ["off", flexible, full, strict]
  minimum_tls:
    description: The oldest version of TLS that visitors may use.
    type: str
    choices: ["1.0", "1.1", "1.2", "1.3"]
  http3:
    description: Whether visitors may use HTTP/3.
    type: bool
  always_use_https:
    description: Whether requests by plain HTTP are sent to HTTPS.
    type: bool
  hsts:
    description: Whether browsers are told to use nothing but HTTPS.
    type: dict
    suboptions:
      max_age:
        description: Seconds for which they remember; 0 for not at all.
        type: int
        required: true
      include_subdomains:
        description: Whether it holds for all names below the zone.
        type: bool
      preload:
        description: Whether browsers may have it built in, which cannot be taken back within months.
        type: bool
      nosniff:
        description: Whether C(X-Content-Type-Options) is sent as well.
        type: bool
  authenticated_origin_pulls:
    description: Whether Cloudflare shows a certificate of its own to the origin.
    type: bool
  dnssec:
    description: Whether the zone is signed. It is pending until the registrar has the record in RV(ds).
    type: bool
attributes:
  check_mode:
    description: Says what would change, and changes nothing.
    support: full
  diff_mode:
    description: The settings that change, before and after.
    support: full
"""

EXAMPLES = r"""
- name: Keep the zone strict
  vise.platform.cloudflare_zone:
    token: "{{ vault_cloudflare_token }}"
    zone: example.org
    ssl: strict
    minimum_tls: "1.2"
    http3: true
    always_use_https: true
    hsts: {max_age: 31536000, include_subdomains: true}
    authenticated_origin_pulls: true
    dnssec: true
"""

RETURN = r"""
changes:
  description: The settings that were changed, with their new values; in check mode, those that would be.
  returned: always
  type: dict
  sample: {ssl: strict}
ds:
  description: The DS record for the registrar; empty where the zone is not signed, or nothing was said of it.
  returned: always
  type: str
  sample: example.org. 3600 IN DS 2371 13 2 ...
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.vise.platform.plugins.module_utils.cloudflare import client, zone_settings

BOOLEAN: dict[str, t.Any] = {"type": "bool"}
HSTS: dict[str, dict[str, t.Any]] = {
    "max_age": {"type": "int", "required": True},
    "include_subdomains": BOOLEAN,
    "preload": BOOLEAN,
    "nosniff": BOOLEAN,
}
ARGUMENT_SPEC: dict[str, t.Any] = {
    **client.OPTIONS,
    "zone": {"type": "str", "required": True},
    "ssl": {"type": "str", "choices": ["off", "flexible", "full", "strict"]},
    "minimum_tls": {"type": "str", "choices": ["1.0", "1.1", "1.2", "1.3"]},
    "http3": BOOLEAN,
    "always_use_https": BOOLEAN,
    "hsts": {"type": "dict", "options": HSTS},
    "authenticated_origin_pulls": BOOLEAN,
    "dnssec": BOOLEAN,
}


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    if client.IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("cloudflare"), exception=client.IMPORT_ERROR)
    wanted = zone_settings.wanted_of(module.params)
    wrong = zone_settings.problems(wanted)
    if wrong:
        module.fail_json(msg="\n".join(wrong))
    session = client.Session(module.params)
    try:
        zone = session.zone(module.params["zone"])
        found, ds = zone_settings.find(session, zone, wanted)
        changes = zone_settings.plan(found, wanted)
        for name, value in () if module.check_mode else changes.items():
            ds = zone_settings.apply(session, zone, name, value)["result"].get("ds") or ds
    except client.ApiError as error:
        module.fail_json(msg=f"{module.params['zone']}: {error}")
    result: dict[str, t.Any] = {"changed": bool(changes), "changes": changes, "ds": ds}
    if module._diff and changes:
        result["diff"] = zone_settings.diff(found, changes)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
