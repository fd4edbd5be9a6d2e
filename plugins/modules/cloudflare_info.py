#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: cloudflare_info
short_description: Query Cloudflare's address ranges, zones and analytics
version_added: 0.1.0
description:
  - Queries the selected information. It changes nothing.
author:
  - vise.platform contributors (@vise-platform)
extends_documentation_fragment: [vise.platform.cloudflare, vise.platform.attributes.reads]
options:
  gather:
    description: The information to query. V(analytics) requires O(zone) and O(since).
    type: list
    elements: str
    choices: [ranges, zones, analytics]
    default: [zones]
  zone:
    description: The zone for V(analytics).
    type: str
  since:
    description: The first day for V(analytics), such as C(2026-01-31).
    type: str
"""

EXAMPLES = r"""
- name: Query the address ranges from which Cloudflare connects to the origin
  vise.platform.cloudflare_info:
    token: "{{ vault_cloudflare_token }}"
    gather: [ranges]
  register: cloudflare

- name: Query the analytics of a week
  vise.platform.cloudflare_info:
    token: "{{ vault_cloudflare_token }}"
    gather: [analytics]
    zone: example.org
    since: "2026-01-31"
"""

RETURN = r"""
ranges:
  description: Networks of IPv4 and IPv6.
  returned: when selected
  type: list
  elements: str
  sample: [173.245.48.0/20, "2400:cb00::/32"]
zones:
  description: The zones that are visible to the token, each with its status, plan and name servers.
  returned: when selected
  type: list
  elements: dict
  sample: [{name: example.org, status: active, plan: free, name_servers: [ada.ns.cloudflare.com]}]
analytics:
  description: Figures of each day, newest first.
  returned: when selected
  type: list
  elements: dict
  sample: [{date: "2026-01-31", requests: 1200, bytes: 3400000, cachedRequests: 900, threats: 7, visitors: 42}]
"""

import typing as t
from collections.abc import Callable

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.vise.platform.plugins.module_utils.cloudflare import client, permissions


def ranges(session: client.Session, _params: dict[str, t.Any]) -> list[str]:
    """Return the networks of IPv4 and IPv6."""
    result = session.call_with_retry("none", session.api.ips.with_raw_response.list)["result"]
    return [*result["ipv4_cidrs"], *result["ipv6_cidrs"]]


def zones(session: client.Session, _params: dict[str, t.Any]) -> list[dict[str, t.Any]]:
    """Return the zones that are visible to the token."""
    return [
        {
            "name": row["name"],
            "status": row["status"],
            "plan": (row.get("plan") or {}).get("legacy_id", ""),
            "name_servers": row.get("name_servers") or [],
        }
        for row in session.zones()
    ]


def analytics(session: client.Session, params: dict[str, t.Any]) -> list[dict[str, t.Any]]:
    """Return the figures of each day."""
    days = permissions.query_analytics(session, session.zone(params["zone"]), permissions.ANALYTICS, params["since"])
    return [{"date": day["dimensions"]["date"], **day["sum"], "visitors": day["uniq"]["uniques"]} for day in days]


READERS: dict[str, Callable[[client.Session, dict[str, t.Any]], t.Any]] = {
    "ranges": ranges,
    "zones": zones,
    "analytics": analytics,
}
ARGUMENT_SPEC: dict[str, t.Any] = {
    **client.OPTIONS,
    "gather": {"type": "list", "elements": "str", "choices": list(READERS), "default": ["zones"]},
    "zone": {"type": "str"},
    "since": {"type": "str"},
}


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    if client.IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("cloudflare"), exception=client.IMPORT_ERROR)
    if "analytics" in params["gather"] and not (params["zone"] and params["since"]):
        module.fail_json(msg="gather: analytics requires the options zone and since")
    session = client.Session(params)
    try:
        result = {name: READERS[name](session, params) for name in params["gather"]}
    except client.ApiError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
