#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: cloudflare_ruleset
short_description: Keep the rules of one phase of a zone at Cloudflare, as one list
version_added: 0.1.0
description:
  - The entry point of a phase holds just the rules that are given, in this order. It replaces page rules, firewall
    rules and rate limits of the older kinds.
  - One call reads the rules, and one replaces them where they differ.
author:
  - vise.platform contributors (@vise-platform)
extends_documentation_fragment: vise.platform.cloudflare
options:
  zone:
    description: The zone's name.
    type: str
    required: true
  phase:
    description:
      - What the rules are for, managed rules of the firewall, rules of one's own, rate limits, caching or redirects.
    type: str
    choices:
      - http_request_firewall_managed
      - http_request_firewall_custom
      - http_ratelimit
      - http_request_cache_settings
      - http_request_dynamic_redirect
    required: true
  rules:
    description:
      - All rules of the phase, as the API takes them, with C(expression), C(action), and perhaps C(description),
        C(enabled), C(action_parameters), C(ratelimit), C(ref) and C(logging).
      - The entry point belongs to this list, so a rule that somebody made by hand goes. Look at the diff first.
    type: list
    elements: dict
    required: true
attributes:
  check_mode:
    description: Says what would change, and changes nothing.
    support: full
  diff_mode:
    description: The rules before and after.
    support: full
"""

EXAMPLES = r"""
- name: Run Cloudflare's managed rules
  vise.platform.cloudflare_ruleset:
    token: "{{ vault_cloudflare_token }}"
    zone: example.org
    phase: http_request_firewall_managed
    rules:
      - description: Cloudflare Managed Ruleset
        expression: "true"
        action: execute
        action_parameters: {id: efb7b8c949ac4650a09736fc376e9aee}

- name: Limit tries to log in
  vise.platform.cloudflare_ruleset:
    token: "{{ vault_cloudflare_token }}"
    zone: example.org
    phase: http_ratelimit
    rules:
      - description: Tries to log in
        expression: http.request.uri.path eq "/login"
        action: block
        ratelimit:
          characteristics: [cf.colo.id, ip.src]
          period: 10
          requests_per_period: 10
          mitigation_timeout: 10
"""

RETURN = r"""
rules:
  description: The rules that are there now, or in check mode would be, a line each.
  returned: always
  type: list
  elements: str
  sample: ["block: Tries to log in [http.request.uri.path eq \"/login\"]"]
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.vise.platform.plugins.module_utils.cloudflare import client, rules

ARGUMENT_SPEC: dict[str, t.Any] = {
    **client.OPTIONS,
    "zone": {"type": "str", "required": True},
    "phase": {"type": "str", "required": True, "choices": list(rules.PHASES)},
    "rules": {"type": "list", "elements": "dict", "required": True},
}


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    if client.IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("cloudflare"), exception=client.IMPORT_ERROR)
    wanted, phase = module.params["rules"], module.params["phase"]
    wrong = rules.problems(wanted)
    if wrong:
        module.fail_json(msg="\n".join(["nothing was sent: some rules are not possible", *wrong]))
    session = client.Session(module.params)
    try:
        zone = session.zone(module.params["zone"])
        found = rules.find(session, zone, phase)
        changed = not rules.same(found, wanted)
        if changed and not module.check_mode:
            rules.apply(session, zone, phase, wanted)
    except client.ApiError as error:
        module.fail_json(msg=f"{module.params['zone']}, {phase}: {error}")
    result: dict[str, t.Any] = {"changed": changed, "rules": [rules.line(rule) for rule in wanted]}
    if module._diff and changed:
        result["diff"] = rules.diff(found, wanted)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
