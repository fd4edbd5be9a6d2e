#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: cloudflare_zone
short_description: Manage the DNS records, settings and rules of a zone at Cloudflare
version_added: 0.1.0
description:
  - Reads the zone, compares it with the wanted state, and sends the differences. An option that is not given is not
    managed.
  - Before the first change, the module validates each record and rule, and checks that the token has every permission
    that O(records), O(settings) and O(rules) need. The error lists all missing permissions by their names in
    Cloudflare's dashboard.
  - Settings and rules are changed before records, so that they protect a newly proxied record from its first request.
  - All records are changed in one call, or in as few as the zone's plan allows (200 changes per call on the free
    plan). Changes of one name, and of records that point to each other, are in one call if the limit permits it.
  - If Cloudflare refuses a record for a reason that the module does not know, the module changes all records that
    neither point to it nor are needed by it, and fails with both lists.
  - The comment of each record that the module creates begins with a mark, C([OWNER]). Without O(adopt), the module does
    not change or remove records without this mark. If such a record would change the DNS answer for a wanted record,
    the module fails and reports both records. Below the zone's own name, NS records conflict with all other types.
  - Two runs at the same time have the same result as one run. After a call without an answer, the module reads the zone
    again.
author:
  - vise.platform contributors (@vise-platform)
extends_documentation_fragment: vise.platform.cloudflare
options:
  zone:
    description: Name of the zone, also an international one, such as V(example.org).
    type: str
    required: true
  records:
    description: All wanted records. Without this option, the module does not read or change records.
    type: list
    elements: dict
    suboptions:
      type:
        description: Type of the record.
        type: str
        choices: [A, AAAA, CAA, CNAME, HTTPS, MX, NS, SRV, TLSA, TXT]
        required: true
      name:
        description: Name of the record, with or without the zone; C(@) is the zone itself.
        type: str
        required: true
      value:
        description:
          - Address, target, text, hash or, for CAA, the value of the property.
          - Do not quote, escape or split a text; the module does this for the API. A text can have 4080 bytes, and all
            records with the same name and type 8192.
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
        description:
          - Time to live in seconds, from 60, on the Enterprise plan from 30. V(1) lets Cloudflare choose, which it
            always does for proxied records.
        type: int
        default: 1
      proxied:
        description:
          - Whether Cloudflare answers with its own addresses and forwards requests to the origin; for A, AAAA and
            CNAME.
          - Cloudflare does not connect to private, shared, loopback, link-local, multicast and reserved addresses, nor
            to its own.
        type: bool
        default: false
      comment:
        description:
          - Purpose of the record; up to 100 characters together with the mark, 500 on paid plans. Line breaks become
            spaces.
        type: str
        default: ""
      tags:
        description:
          - Tags such as C(team:mail); up to 20 on paid plans, none on the Free plan. Their names are not
            case-sensitive.
        type: list
        elements: str
        default: []
  owner:
    description: Owner of the records. Each party that manages records in a shared zone needs a different owner.
    type: str
    default: vise.platform
  purge:
    description: Whether to remove records of the same owner that are not in O(records).
    type: bool
    default: false
  purge_except:
    description:
      - Regular expressions of names, in lower case and with the zone. O(purge) does not remove records of these names.
    type: list
    elements: str
    default: []
  adopt:
    description: Whether to take over conflicting records of other owners, and to change them if they differ.
    type: bool
    default: false
  settings:
    description:
      - Settings of the zone, which all plans have. Settings that are not given are not changed.
      - All settings but C(dnssec) apply only to proxied records. A setting that would have no effect is refused before
        the first change, with the reason. In a zone that is paused at Cloudflare, the module warns.
    type: dict
    suboptions:
      ssl:
        description:
          - How Cloudflare connects to the origin. With V(strict) it uses TLS and verifies the origin's certificate,
            which must be valid for the name and issued by a public authority or by Cloudflare's Origin CA. With any
            other value, an attacker between Cloudflare and the origin can read the traffic.
          - With V(flexible), an origin that redirects to HTTPS is in a redirect loop. With V(off), visitors have no
            HTTPS.
          - Automatic SSL/TLS, the default of new zones, changes a value other than V(strict) by itself; the module
            warns.
        type: str
        choices: ["off", flexible, full, strict]
      minimum_tls:
        description:
          - The oldest version of TLS that visitors may use. It applies to the whole zone.
          - V(1.3) is refused if TLS 1.3 is off in the zone, because no visitor could connect.
        type: str
        choices: ["1.0", "1.1", "1.2", "1.3"]
      http3:
        description: Whether visitors may use HTTP/3. It needs Cloudflare's certificate for the zone, Universal SSL.
        type: bool
      always_use_https:
        description: Whether Cloudflare redirects plain HTTP to HTTPS for all names of the zone.
        type: bool
      hsts:
        description:
          - HTTP Strict Transport Security, by which browsers use only HTTPS. Cloudflare sends the header only in
            responses over HTTPS, and replaces that of the origin.
        type: dict
        suboptions:
          max_age:
            description:
              - Seconds for which browsers remember to use only HTTPS, up to 31536000, one year. With 0, Cloudflare no
                longer sends the header; browsers still remember it for the time that they have received.
            type: int
            required: true
          include_subdomains:
            description: Whether the header applies to all names below the zone.
            type: bool
          preload:
            description:
              - Whether browsers may include the domain in their preload list, which takes months to undo. You must also
                submit the domain to the list.
            type: bool
          nosniff:
            description: Whether Cloudflare also sends C(X-Content-Type-Options).
            type: bool
      authenticated_origin_pulls:
        description:
          - Whether Cloudflare presents to the origin the client certificate that you uploaded to the zone. Refused if
            the zone has no active certificate.
          - Needs O(settings.ssl) V(full) or V(strict).
        type: bool
      authenticated_origin_pulls_global:
        description:
          - Whether Cloudflare presents to the origin its own client certificate, which all of its customers share. The
            certificate proves that a request comes from Cloudflare, but not from your zone. The certificate of
            O(settings.authenticated_origin_pulls) takes precedence.
          - Needs O(settings.ssl) V(full) or V(strict).
        type: bool
      dnssec:
        description:
          - Whether the zone is signed. Resolvers verify signatures only after the registrar has the record in RV(ds).
          - Refused for a zone with partial setup, whose DNS is not at Cloudflare.
        type: bool
  rules:
    description:
      - All rules of each given phase. Cloudflare's older page rules, firewall rules and rate limits are not managed.
      - Each rule is an object of the API, with C(expression), C(action), and optionally C(description), C(enabled),
        C(action_parameters), C(ratelimit), C(ref) and C(logging).
      - A list replaces all rules of its phase, also rules that were added manually. Check the diff first.
      - Rules apply only to proxied records.
      - Before the first change, also in check mode, Cloudflare validates the changed phases with the plan and the
        contract of the zone. The error has Cloudflare's reason and the limit of the plan.
      - On all plans but Enterprise, the action C(log) does not exist. On the Free and Pro plans, neither do regular
        expressions (C(matches), C(~), C(regex_replace)) and C(counting_expression).
    type: dict
    suboptions:
      http_request_firewall_managed:
        description: Managed rules of the firewall. The Free plan has only the Cloudflare Free Managed Ruleset.
        type: list
        elements: dict
      http_request_firewall_custom:
        description: Custom rules of the firewall; 5 on the Free plan, 20 on Pro, 100 on Business, 1000 on Enterprise.
        type: list
        elements: dict
      http_ratelimit:
        description:
          - Rate limits; 1 on the Free plan, 2 on Pro, 5 on Business, up to 100 on Enterprise.
          - C(period) is 10 on the Free plan, up to 60 on Pro, 600 on Business. C(mitigation_timeout) is 10 on the Free
            plan, up to 3600 on Pro, 86400 on Business. With a challenge, it is 0 on all plans but Enterprise.
          - C(characteristics) always has C(cf.colo.id), because each data center of Cloudflare counts separately.
        type: list
        elements: dict
      http_request_cache_settings:
        description: Cache rules; 10 on the Free plan, 25 on Pro, 50 on Business, 300 on Enterprise.
        type: list
        elements: dict
      http_request_dynamic_redirect:
        description: Redirects; 10 on the Free plan, 25 on Pro, 50 on Business, 300 on Enterprise.
        type: list
        elements: dict
  permissions:
    description:
      - Further permissions that the token must have, even when nothing changes. Each is checked by a call that changes
        nothing.
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
    default: []
attributes:
  check_mode:
    description: Checks permissions and returns the complete plan; changes nothing.
    support: full
  diff_mode:
    description: The records, settings and phases that change, before and after.
    support: full
"""

EXAMPLES = r"""
- name: Publish all records of the platform and remove its obsolete ones
  vise.platform.cloudflare_zone:
    token: "{{ vault_cloudflare_token }}"
    zone: example.org
    owner: vise example.org
    purge: true
    records:
      - {type: A, name: www, value: 192.0.2.10, proxied: true}
      - {type: MX, name: "@", value: mail.example.org, priority: 10}
      - {type: TXT, name: "@", value: v=spf1 mx ~all}

- name: Take over a record that was created manually
  vise.platform.cloudflare_zone:
    token: "{{ vault_cloudflare_token }}"
    zone: example.org
    adopt: true
    records:
      - {type: A, name: www, value: 192.0.2.10}

- name: Configure TLS and DNSSEC of the zone
  vise.platform.cloudflare_zone:
    token: "{{ vault_cloudflare_token }}"
    zone: example.org
    settings:
      ssl: strict
      minimum_tls: "1.2"
      http3: true
      always_use_https: true
      hsts: {max_age: 31536000, include_subdomains: true}
      authenticated_origin_pulls_global: true
      dnssec: true

- name: Enable Cloudflare's managed rules and limit login attempts
  vise.platform.cloudflare_zone:
    token: "{{ vault_cloudflare_token }}"
    zone: example.org
    rules:
      http_request_firewall_managed:
        # The Free plan has only this ruleset. Paid plans also have the Cloudflare Managed Ruleset,
        # efb7b8c949ac4650a09736fc376e9aee, and the OWASP Core Ruleset, 4814384a9e5d4991b9815dcfc25d2f1f.
        - description: Cloudflare Free Managed Ruleset
          expression: "true"
          action: execute
          action_parameters: {id: 77454fe2d30c4220b5701f6fdfb893ba}
      http_ratelimit:
        - description: Login attempts
          expression: http.request.uri.path eq "/login"
          action: block
          ratelimit:
            characteristics: [cf.colo.id, ip.src]
            # The Free plan allows no other period and timeout.
            period: 10
            requests_per_period: 10
            mitigation_timeout: 10

- name: Check the permissions of a token
  vise.platform.cloudflare_zone:
    token: "{{ vault_cloudflare_acme_token }}"
    zone: example.org
    permissions: [Zone / DNS / Edit]
"""

RETURN = r"""
differs:
  description: Whether the zone differed from the wanted state.
  returned: success
  type: bool
  sample: true
plan:
  description: The changes, or in check mode the planned changes, one per line; the last line has the counts.
  returned: success
  type: list
  elements: str
  sample: ["+ A     www.example.org  192.0.2.10  proxied", "1 to add, 0 to change, 0 to remove, 2 as wanted"]
counts:
  description: How many records, settings and phases were added, changed, removed and unchanged.
  returned: success
  type: dict
  sample: {add: 1, change: 0, remove: 0, keep: 2}
settings:
  description: The changed settings, or in check mode the settings to change, with their new values.
  returned: success
  type: dict
  sample: {ssl: strict}
ds:
  description: The DS record for the registrar; empty if the zone is not signed or O(settings) does not enable DNSSEC.
  returned: success
  type: str
  sample: example.org. 3600 IN DS 2371 13 2 ...
missing:
  description: The permissions that the token lacks.
  returned: when any is missing
  type: list
  elements: str
  sample: [Zone / Zone Settings / Edit]
calls:
  description: How many calls of the API were made.
  returned: always, except when the arguments are invalid
  type: int
  sample: 3
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.vise.platform.plugins.module_utils.cloudflare import (
    client,
    permissions,
    record_changes,
    record_plan,
    records,
    rules,
    zone,
    zone_settings,
)
from ansible_collections.vise.platform.plugins.module_utils.model.domains import DomainError

STRING: dict[str, t.Any] = {"type": "str", "required": True}
STRINGS: dict[str, t.Any] = {"type": "list", "elements": "str", "default": []}
BOOLEAN: dict[str, t.Any] = {"type": "bool"}
RECORD: dict[str, dict[str, t.Any]] = {
    "type": {**STRING, "choices": sorted(records.FIELDS)},
    "name": STRING,
    "value": STRING,
    **{name: {"type": "int"} for name in records.NUMBERS},
    "tag": {"type": "str"},
    "params": {"type": "str"},
    "ttl": {"type": "int", "default": records.AUTOMATIC},
    "proxied": {"type": "bool", "default": False},
    "comment": {"type": "str", "default": ""},
    "tags": STRINGS,
}
SETTINGS: dict[str, dict[str, t.Any]] = {
    "ssl": {"type": "str", "choices": ["off", "flexible", "full", "strict"]},
    "minimum_tls": {"type": "str", "choices": ["1.0", "1.1", "1.2", "1.3"]},
    "http3": BOOLEAN,
    "always_use_https": BOOLEAN,
    "hsts": {
        "type": "dict",
        "options": {
            "max_age": {"type": "int", "required": True},
            "include_subdomains": BOOLEAN,
            "preload": BOOLEAN,
            "nosniff": BOOLEAN,
        },
    },
    "authenticated_origin_pulls": BOOLEAN,
    "authenticated_origin_pulls_global": BOOLEAN,
    "dnssec": BOOLEAN,
}
ARGUMENT_SPEC: dict[str, t.Any] = {
    **client.OPTIONS,
    "zone": STRING,
    "records": {"type": "list", "elements": "dict", "options": RECORD},
    "owner": {"type": "str", "default": "vise.platform"},
    "purge": {"type": "bool", "default": False},
    "purge_except": STRINGS,
    "adopt": {"type": "bool", "default": False},
    "settings": {"type": "dict", "options": SETTINGS},
    "rules": {
        "type": "dict",
        "options": {phase: {"type": "list", "elements": "dict"} for phase in rules.PHASES},
    },
    "permissions": {**STRINGS, "choices": list(permissions.PROBES)},
}


class InvalidError(Exception):
    """The arguments are invalid; the text lists all problems."""


def read_params(params: dict[str, t.Any], name: str) -> zone.Wanted:
    """Return the wanted state; raise an error with the problems of all records, settings and rules."""
    mark = f"[{' '.join(params['owner'].split())}]"
    settings = zone_settings.from_options(params["settings"] or {})
    phases = {phase: wanted for phase, wanted in (params["rules"] or {}).items() if wanted is not None}
    problems = [
        *records.problems(params["records"] or [], name, mark),
        *zone_settings.problems(settings),
        *(problem for phase, wanted in phases.items() for problem in rules.problems(phase, wanted)),
    ]
    if problems:
        raise InvalidError("\n".join(["nothing was sent: the arguments are invalid", *problems]))
    if params["records"] is None:
        return zone.Wanted(settings, phases, None, params["permissions"])
    wanted = [records.from_options(options, name, mark) for options in params["records"]]
    policy = record_plan.Policy(mark, params["purge"], params["adopt"], params["purge_except"])
    return zone.Wanted(settings, phases, record_changes.Wanted(wanted, policy), params["permissions"])


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    if client.IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("cloudflare"), exception=client.IMPORT_ERROR)
    try:
        name = records.normal_name(module.params["zone"])
        wanted = read_params(module.params, name)
    except (InvalidError, DomainError) as error:
        module.fail_json(msg=str(error))
    session = client.Session(module.params)
    try:
        target = session.zone(name)
        for text in target.warnings(any(one["proxied"] for one in module.params["records"] or ())):
            module.warn(f"{name}: {text}")
        plan = zone.plan(session, target, wanted)
        ds = plan.ds if module.check_mode else zone.apply(session, target, wanted, plan)
    except permissions.PermissionsMissing as error:
        module.fail_json(msg=f"{name}: {error}", missing=error.names, calls=session.calls)
    except client.ApiError as error:
        module.fail_json(msg=f"{name}: {error}", calls=session.calls)
    for text in plan.warnings:
        module.warn(f"{name}: {text}")
    result: dict[str, t.Any] = {"plan": zone.describe_plan(plan), "counts": zone.count_changes(plan)}
    if module._diff and plan.changed:
        result["diff"] = zone.diff(plan, name)
    result.update(changed=plan.changed, differs=plan.changed, settings=plan.settings, ds=ds, calls=session.calls)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
