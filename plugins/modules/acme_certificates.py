#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: acme_certificates
short_description: Issue, renew and deploy certificates from an ACME server
version_added: 0.1.0
description:
  - Compares all certificates that a host needs with the current ones. Runs certbot for a certificate that is missing,
    is about to expire, has other domains or was issued by another ACME server. The role
    P(vise.platform.certificates#role) installs certbot and a timer that runs the same code twice a day.
  - Each certificate is located at C(/etc/vise/tls/<name>/fullchain.pem) and its key at
    C(/etc/vise/tls/<name>/privkey.pem). Both are replaced atomically. Until the first certificate is issued, a
    self-signed placeholder is located there, so that a web server can start.
  - When issuing fails, a certificate that is still valid for all domains stays in use, and the module warns. Without
    such a certificate the module fails, after it has processed all other certificates.
  - For HTTP-01, certbot itself answers on port 80 when no other process listens there. Otherwise it writes to
    C(/var/lib/acme-webroot), which the web server must serve.
extends_documentation_fragment: [vise.platform.attributes, vise.platform.attributes.actions]
author:
  - vise.platform contributors (@vise-platform)
options:
  directory:
    description: URL of the ACME server's directory.
    type: str
    required: true
  wanted:
    description: All certificates that the host needs. Other certificates stay on the host, but are no longer renewed.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the certificate and of its directory.
        type: str
        required: true
      domains:
        description: Domains of the certificate. A wildcard needs O(wanted[].challenge=dns-01).
        type: list
        elements: str
        required: true
      challenge:
        description:
          - How the host proves that it controls the domains. V(dns-01) uses Cloudflare, with the API token in
            C(/etc/vise/acme/cloudflare.ini).
        type: str
        choices: [http-01, dns-01]
        default: http-01
  later:
    description:
      - Names of certificates that a later execution issues, because an authority cannot reach this host yet. Until then
        a placeholder or the present certificate is located there.
    type: list
    elements: str
    default: []
  email:
    description: E-mail address of the ACME account. Without it, the account is registered without an address.
    type: str
    default: ""
  renew_days:
    description: Days before its expiry at which a certificate is renewed; at most a third of its lifetime.
    type: int
    default: 30
  dns_propagation_seconds:
    description: Seconds to wait between the creation of the DNS record and its validation by the ACME server.
    type: int
    default: 10
  reload_units:
    description: Units that use the certificates. Running units are reloaded when a certificate has changed.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Reports which certificates would be issued; contacts no server.
    support: full
"""

EXAMPLES = r"""
- name: Issue the certificates of two sites
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
  description: The actions that were done, or in check mode would be done, in order.
  returned: always
  type: list
  elements: str
  sample: ["issue docs by http-01: no certificate exists", deploy docs, reload nginx.service]
failures:
  description: Why certificates were not issued, and which certificate is served instead.
  returned: failure
  type: list
  elements: str
  sample: ["docs: not issued (no certificate exists); only a self-signed placeholder is served: connection refused"]
"""

import dataclasses
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils.host import leases, programs
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
    "later": {"type": "list", "elements": "str", "default": []},
}


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    leases.keep_alive(module.check_mode)
    fields = [field.name for field in dataclasses.fields(acme.Settings)]
    settings = acme.Settings.from_dict({name: module.params[name] for name in fields})
    problems = acme.find_problems(settings)
    if problems:
        module.fail_json(msg="\n".join(problems))

    def command(argv: list[str]) -> tuple[int, str]:
        result = programs.run(argv)
        return result.code, f"{result.out}\n{result.err}"

    outcome = acme.preview(settings) if module.check_mode else acme.run(settings, command)
    for text in outcome.warnings + outcome.notes:
        module.warn(text)
    result: dict[str, t.Any] = {"changed": bool(outcome.actions), "actions": outcome.actions}
    if module._diff and outcome.actions:
        result["diff"] = {"prepared": "".join(f"> {action}\n" for action in outcome.actions)}
    if outcome.failures:
        module.fail_json(msg="\n".join(outcome.failures), failures=outcome.failures, **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
