#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: cloudflare_dns
short_description: Keep all DNS records of a zone at Cloudflare, as one set
version_added: 0.1.0
description:
  - Reads the zone once, compares it with all records that are wanted, and sends what differs in one call, or in as few
    as the zone's plan allows (200 changes a call on the free one). Changes of one name are in one call.
  - Records that it makes carry a mark at the beginning of their comment, C([OWNER]). Others are never changed or
    removed. One that would be answered beside or in place of a wanted one is in the way, and an error that names it.
  - Each record is checked before anything is sent.
  - Two runs at once, and calls without an answer, end as one run does.
author:
  - vise.platform contributors (@vise-platform)
extends_documentation_fragment: vise.platform.cloudflare
options:
  zone:
    description: The zone's name.
    type: str
    required: true
  owner:
    description: Whose records they are. Who shares a zone has an owner of his own.
    type: str
    default: vise.platform
  purge:
    description: Whether records of the same owner that are not wanted are removed.
    type: bool
    default: false
  purge_except:
    description: Regular expressions of names, in lower case and with the zone, whose records O(purge) leaves alone.
    type: list
    elements: str
    default: []
  adopt:
    description: Whether records of others that are in the way are taken over, and replaced where they differ.
    type: bool
    default: false
  records:
    description: All records that are wanted.
    type: list
    elements: dict
    default: []
    suboptions:
      type:
        description: Its type.
        type: str
        choices: [A, AAAA, CAA, CNAME, HTTPS, MX, NS, SRV, TLSA, TXT]
        required: true
      name:
        description: Its name, with or without the zone; C(@) is the zone itself.
        type: str
        required: true
      value:
        description:
          - Address, target, text, hash or, for CAA, the value of the property.
          - A text is given as it is, of any length; it is quoted and split for the API.
        type: str
        required: true
      priority:
        description: For MX, SRV and HTTPS.
        type: int
      weight:
        description: For SRV.
        type: int
      port:
        description: For SRV.
        type: int
      flags:
        description: For CAA.
        type: int
      tag:
        description: For CAA, C(issue), C(issuewild) or C(iodef).
        type: str
      usage:
        description: For TLSA.
        type: int
      selector:
        description: For TLSA.
        type: int
      matching_type:
        description: For TLSA.
        type: int
      params:
        description: For HTTPS, such as C(alpn=h3,h2).
        type: str
      ttl:
        description: Seconds that it may be remembered; V(1) leaves it to Cloudflare, which it always does when proxied.
        type: int
        default: 1
      proxied:
        description: Whether Cloudflare answers with addresses of its own and passes requests on; for A, AAAA and CNAME.
        type: bool
        default: false
      comment:
        description: What it is for; up to 100 characters together with the mark.
        type: str
        default: ""
      tags:
        description: Tags such as C(team:mail); paid plans alone have them.
        type: list
        elements: str
        default: []
attributes:
  check_mode:
    description: The plan is complete, and nothing is changed.
    support: full
  diff_mode:
    description: The records that change, before and after.
    support: full
"""

EXAMPLES = r"""
- name: Keep what the platform needs in the zone, and nothing that it no longer needs
  vise.platform.cloudflare_dns:
    token: "{{ vault_cloudflare_token }}"
    zone: example.org
    owner: vise example.org
    purge: true
    records:
      - {type: A, name: www, value: 192.0.2.10, proxied: true}
      - {type: MX, name: "@", value: mail.example.org, priority: 10}
      - {type: TXT, name: "@", value: v=spf1 mx ~all}

- name: Take over a record that somebody has made by hand
  vise.platform.cloudflare_dns:
    token: "{{ vault_cloudflare_token }}"
    zone: example.org
    adopt: true
    records:
      - {type: A, name: www, value: 192.0.2.10}
"""

RETURN = r"""
plan:
  description: What was done, or in check mode would be, a line a record, and the counts in the last line.
  returned: always
  type: list
  elements: str
  sample: ["+ A     www.example.org  192.0.2.10  proxied", "1 to add, 0 to change, 0 to remove, 2 as wanted"]
counts:
  description: How many records were added, changed and removed, and how many were as wanted.
  returned: always
  type: dict
  sample: {add: 1, change: 0, remove: 0, keep: 2}
calls:
  description: How many calls of the API that took.
  returned: always
  type: int
  sample: 3
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.vise.platform.plugins.module_utils.cloudflare import client, converge, plan, records

STRING: dict[str, t.Any] = {"type": "str", "required": True}
RECORD: dict[str, dict[str, t.Any]] = {
    "type": {"type": "str", "required": True, "choices": sorted(records.FIELDS)},
    "name": STRING,
    "value": STRING,
    **{name: {"type": "int"} for name in records.NUMBERS},
    "tag": {"type": "str"},
    "params": {"type": "str"},
    "ttl": {"type": "int", "default": records.AUTOMATIC},
    "proxied": {"type": "bool", "default": False},
    "comment": {"type": "str", "default": ""},
    "tags": {"type": "list", "elements": "str", "default": []},
}
ARGUMENT_SPEC: dict[str, t.Any] = {
    **client.OPTIONS,
    "zone": STRING,
    "owner": {"type": "str", "default": "vise.platform"},
    "purge": {"type": "bool", "default": False},
    "purge_except": {"type": "list", "elements": "str", "default": []},
    "adopt": {"type": "bool", "default": False},
    "records": {"type": "list", "elements": "dict", "default": [], "options": RECORD},
}


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    if client.IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("cloudflare"), exception=client.IMPORT_ERROR)
    name, mark = params["zone"].lower().rstrip("."), f"[{params['owner']}]"
    wrong = records.problems(params["records"], name, mark)
    if wrong:
        module.fail_json(msg="\n".join(["nothing was sent: some records are not possible", *wrong]))
    wanted = [records.from_options(options, name, mark) for options in params["records"]]
    policy = plan.Policy(mark, params["purge"], params["adopt"], params["purge_except"])
    session = client.Session(params)
    try:
        done = converge.converge(session, session.zone(name), wanted, policy, module.check_mode)
    except client.ApiError as error:
        module.fail_json(msg=f"{name}: {error}", calls=session.calls)
    result: dict[str, t.Any] = {"changed": bool(done.changes), "plan": plan.table(done), "counts": plan.counts(done)}
    if module._diff and done.changes:
        result["diff"] = plan.diff(done, name)
    module.exit_json(calls=session.calls, **result)


if __name__ == "__main__":
    main()
