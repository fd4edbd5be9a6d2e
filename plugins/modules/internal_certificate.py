#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: internal_certificate
short_description: Manage a host's certificate from the platform's own CA
version_added: 0.1.0
description:
  - Manages C(fullchain.pem), C(privkey.pem) and C(ca.pem) in C(/etc/vise/tls/internal), for connections between
    services. The three files are replaced atomically.
  - The host creates its private key, which never leaves it. The key of the CA never leaves the controller. The host
    creates a signing request, the action plugin signs it.
  - A new certificate is issued when no certificate exists, its names, its issuer or the owner or mode of its key
    differ, the key does not match, or two thirds of the lifetime have passed. When nothing differs, the task needs one
    module execution.
extends_documentation_fragment: [vise.platform.attributes.actions]
author:
  - vise.platform contributors (@vise-platform)
options:
  ca:
    description: Certificate of the CA in PEM format.
    type: str
    required: true
  ca_key:
    description:
      - Private key of the CA in PEM format, on an elliptic curve and without a passphrase.
      - Required by the action plugin, which never sends it to the host.
    type: str
  trusted:
    description:
      - Certificates of further authorities in PEM format that C(ca.pem) contains after O(ca). While an authority is
        replaced, all hosts trust the previous and the next one. A change of them does not issue a certificate.
    type: list
    elements: str
    default: []
  names:
    description: Host names and IP addresses of the certificate. The first is also the common name.
    type: list
    elements: str
    required: true
  days:
    description: Lifetime of a new certificate in days.
    type: int
    default: 365
  group:
    description: Group that may read the private key in addition to root.
    type: str
    default: root
  reload_units:
    description: Units that use the certificate. Running units are reloaded when it has changed.
    type: list
    elements: str
    default: []
  version:
    description: Version on the host whose key the certificate was requested for. The action plugin sets it.
    type: str
  certificate:
    description: The signed certificate in PEM format. The action plugin sets it.
    type: str
attributes:
  check_mode:
    description: Reports whether a certificate would be issued, and why.
    support: full
  platform:
    description: Hosts on which it runs; they need the package C(python3-cryptography).
    support: full
    platforms: debian
"""

EXAMPLES = r"""
- name: Issue the host's internal certificate
  vise.platform.internal_certificate:
    ca: "{{ internal_ca }}"
    ca_key: "{{ vault_internal_ca_key }}"
    names: ["{{ inventory_hostname }}", 10.0.0.1]
    group: ssl-cert
    reload_units: [postgresql.service]
"""

RETURN = r"""
actions:
  description: The actions that were done, or in check mode would be done, in order.
  returned: always
  type: list
  elements: str
  sample: ["issue an internal certificate: no certificate exists", reload postgresql.service]
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils.host import leases, programs
from ansible_collections.vise.platform.plugins.module_utils.tls import internal, store, x509

ARGUMENT_SPEC: dict[str, t.Any] = {
    "ca": {"type": "str", "required": True},
    "ca_key": {"type": "str", "no_log": True},
    "trusted": {"type": "list", "elements": "str", "default": []},
    "names": {"type": "list", "elements": "str", "required": True},
    "days": {"type": "int", "default": 365},
    "group": {"type": "str", "default": "root"},
    "reload_units": {"type": "list", "elements": "str", "default": []},
    "version": {"type": "str"},
    "certificate": {"type": "str"},
}


def converge(module: AnsibleModule, deployed: store.Store) -> dict[str, t.Any]:
    """Install the signed certificate, or create a signing request when a new certificate is needed; then reload units.

    Returns the module's result. A result with ``request`` is for the action plugin, which signs it.
    """
    options = module.params

    def command(argv: list[str]) -> tuple[int, str]:
        result = programs.run(argv)
        return result.code, f"{result.out}\n{result.err}"

    planned: list[str] = []
    trust = internal.join_authorities([options["ca"], *options["trusted"]])
    if options["certificate"]:
        internal.install_certificate(deployed, options["version"], options["certificate"], options["ca"], trust)
    else:
        reason = internal.explain_renewal(deployed, options["ca"], options["names"], x509.now())
        closed = [f"set the permissions of {path}" for path in deployed.find_closed()]
        planned = [f"issue an internal certificate: {reason}"] if reason else closed
        trust_reason = "" if reason else internal.explain_trust(deployed, trust)
        planned += [f"replace {internal.CA}: {trust_reason}"] if trust_reason else []
        if module.check_mode:
            late = reason or trust_reason or not deployed.is_live()
            return {"actions": planned + [f"reload {unit}" for unit in (options["reload_units"] if late else ())]}
        deployed.open_to_readers()
        if trust_reason:
            internal.install_trust(deployed, trust)
        if reason:
            version, request = internal.make_request(deployed, options["names"])
            return {"actions": planned, "version": version, "request": request}
    actions, failures = store.activate([deployed], options["reload_units"], command)
    if failures:
        module.fail_json(msg="\n".join(failures), changed=True, actions=planned + actions)
    return {"actions": planned + actions}


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    leases.keep_alive(module.check_mode)
    options = module.params
    problems = internal.find_problems(options["names"])
    if options["ca_key"]:
        problems.append("ca_key must stay on the controller: only the action plugin may receive it")
    if not x509.HAS_CRYPTOGRAPHY and not module.check_mode:
        problems.append("the package python3-cryptography is not installed on the host: install it")
    if problems:
        module.fail_json(msg="\n".join(problems))
    try:
        result = converge(module, store.Store(internal.NAME, group=options["group"]))
    except (x509.TlsError, KeyError) as error:
        module.fail_json(msg=f"internal certificate: {error}")
    if module._diff and result["actions"]:
        result["diff"] = {"prepared": "".join(f"> {action}\n" for action in result["actions"])}
    module.exit_json(changed=bool(result["actions"]), **result)


if __name__ == "__main__":
    main()
