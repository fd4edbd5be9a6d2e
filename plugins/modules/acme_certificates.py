#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: acme_certificates
short_description: Keep certificates from an ACME server issued, renewed and deployed
version_added: 0.1.0
description:
  - Looks at all certificates that a host needs, and has certbot issue what is missing, is about to end, has other
    domains or came from another ACME directory. The role P(vise.platform.certificates#role) brings certbot and a timer
    that runs the same code twice a day.
  - Each lies at C(/etc/vise/tls/<name>/fullchain.pem) and C(/etc/vise/tls/<name>/privkey.pem). Both are switched in one
    step. Until ACME has answered, there is a self-signed placeholder, so that a web server can start.
  - When the ACME server does not answer, a certificate that is still valid for all domains is kept, with a warning.
    When there is none, the module fails after everything else was done.
  - For HTTP-01, certbot answers on port 80 itself while nobody listens there; otherwise it writes to
    C(/var/lib/acme-webroot), which the web server has to serve.
author:
  - vise.platform contributors (@vise-platform)
options:
  directory:
    description: Address of the ACME server's directory.
    type: str
    required: true
  wanted:
    description: All certificates that the host needs. Others are left alone, and no longer renewed.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Its name, which is the name of its directory.
        type: str
        required: true
      domains:
        description: The domains; a wildcard needs O(wanted[].challenge=dns-01).
        type: list
        elements: str
        required: true
      challenge:
        description:
          - How the domains are proven. V(dns-01) goes through Cloudflare, with the token in
            C(/etc/vise/acme/cloudflare.ini).
        type: str
        choices: [http-01, dns-01]
        default: http-01
  email:
    description: Address that the ACME account is registered with; without it, the account has none.
    type: str
    default: ""
  renew_days:
    description: Days before its end from which a certificate is renewed; never more than a third of its lifetime.
    type: int
    default: 30
  dns_propagation_seconds:
    description: Seconds from the moment that a DNS record is made until the ACME server is told to look.
    type: int
    default: 10
  reload_units:
    description: Units that use the certificates; those that run are reloaded when one has changed.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Says what would be issued, and contacts nobody.
    support: full
  diff_mode:
    description: The actions; never a key.
    support: full
  platform:
    description: Hosts on which it runs.
    support: full
    platforms: debian
"""

EXAMPLES = r"""
- name: Keep the certificates of two sites
  vise.platform.acme_certificates:
    directory: https://acme-v02.api.letsencrypt.org/directory
    email: ops@example.com
    wanted:
      - name: docs
        domains: [docs.example.com]
      - name: everything
        domains: [example.com, "*.example.com"]
        challenge: dns-01
    reload_units: [nginx.service]
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be, in order.
  returned: always
  type: list
  elements: str
  sample: ["issue docs by http-01: there is none", deploy docs, reload nginx.service]
failures:
  description: Why certificates could not be had, each with what is served instead.
  returned: failure
  type: list
  elements: str
  sample: ["docs: not issued (there is none); only a self-signed placeholder is served: connection refused"]
"""

import dataclasses
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils.tls import acme

WANTED = {
    "name": {"type": "str", "required": True},
    "domains": {"type": "list", "elements": "str", "required": True},
    "challenge": {"type": "str", "choices": list(acme.CHALLENGES), "default": "http-01"},
}
ARGUMENT_SPEC: dict[str, t.Any] = {
    "directory": {"type": "str", "required": True},
    "wanted": {"type": "list", "elements": "dict", "default": [], "options": WANTED},
    "email": {"type": "str", "default": ""},
    "renew_days": {"type": "int", "default": 30},
    "dns_propagation_seconds": {"type": "int", "default": 10},
    "reload_units": {"type": "list", "elements": "str", "default": []},
}


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    fields = [field.name for field in dataclasses.fields(acme.Settings)]
    settings = acme.Settings.from_dict({name: module.params[name] for name in fields})
    problems = acme.problems(settings)
    if problems:
        module.fail_json(msg="\n".join(problems))

    def command(argv: list[str]) -> tuple[int, str]:
        code, out, err = module.run_command(argv)
        return code, f"{out}\n{err}"

    outcome = acme.preview(settings) if module.check_mode else acme.run(settings, command)
    for text in outcome.warnings:
        module.warn(text)
    result: dict[str, t.Any] = {"changed": bool(outcome.actions), "actions": outcome.actions}
    if module._diff and outcome.actions:
        result["diff"] = {"prepared": "".join(f"> {action}\n" for action in outcome.actions)}
    if outcome.failures:
        module.fail_json(msg="\n".join(outcome.failures), failures=outcome.failures, **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
