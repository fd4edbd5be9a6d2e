#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: internal_certificate
short_description: Keep a host's certificate from the platform's own CA
version_added: 0.1.0
description:
  - Keeps C(fullchain.pem), C(privkey.pem) and C(ca.pem) in C(/etc/vise/tls/internal), for services that talk to each
    other. The three are switched in one step.
  - The private key is made on the host and never leaves it; the CA's key is used on the controller and never leaves
    that. The host makes a request, the action plugin signs it.
  - A new certificate is made when there is none, the names or the CA differ, the key is not guarded, or two thirds of
    the lifetime have passed. When nothing differs, that is one module execution.
author:
  - vise.platform contributors (@vise-platform)
options:
  ca:
    description: The CA's certificate in PEM.
    type: str
    required: true
  ca_key:
    description: The CA's private key in PEM, on an elliptic curve and without a passphrase. It stays on the controller.
    type: str
  names:
    description: Host names and IP addresses of the certificate, the first also as its common name.
    type: list
    elements: str
    required: true
  days:
    description: Lifetime of a new certificate.
    type: int
    default: 365
  group:
    description: Group that may read the private key beside root.
    type: str
    default: root
  reload_units:
    description: Units that use the certificate; those that run are reloaded when it has changed.
    type: list
    elements: str
    default: []
  version:
    description: What the certificate was requested for; set by the action plugin.
    type: str
  certificate:
    description: What the CA has signed; set by the action plugin.
    type: str
attributes:
  check_mode:
    description: Says whether a certificate would be made, and why.
    support: full
  diff_mode:
    description: The actions; never a key.
    support: full
  platform:
    description: Hosts on which it runs; C(python3-cryptography) must be there.
    support: full
    platforms: debian
"""

EXAMPLES = r"""
- name: Keep the host's certificate for its peers
  vise.platform.internal_certificate:
    ca: "{{ internal_ca }}"
    ca_key: "{{ vault_internal_ca_key }}"
    names: ["{{ inventory_hostname }}", 10.0.0.1]
    group: ssl-cert
    reload_units: [postgresql.service]
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be, in order.
  returned: always
  type: list
  elements: str
  sample: ["make an internal certificate: there is none", reload postgresql.service]
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils.tls import internal, store, x509

ARGUMENT_SPEC: dict[str, t.Any] = {
    "ca": {"type": "str", "required": True},
    "ca_key": {"type": "str", "no_log": True},
    "names": {"type": "list", "elements": "str", "required": True},
    "days": {"type": "int", "default": 365},
    "group": {"type": "str", "default": "root"},
    "reload_units": {"type": "list", "elements": "str", "default": []},
    "version": {"type": "str"},
    "certificate": {"type": "str"},
}


def converge(module: AnsibleModule, kept: store.Store) -> dict[str, t.Any]:
    """Do what this execution can do: look, ask for a certificate, or take it."""
    options = module.params

    def command(argv: list[str]) -> tuple[int, str]:
        code, out, err = module.run_command(argv)
        return code, f"{out}\n{err}"

    if options["certificate"]:
        internal.finish(kept, options["version"], options["certificate"], options["ca"])
    else:
        why = internal.reason(kept, options["ca"], options["names"], x509.now())
        steps = [f"make an internal certificate: {why}"] if why else []
        if module.check_mode:
            steps += [f"reload {unit}" for unit in options["reload_units"]] if why or not kept.live() else []
            return {"actions": steps}
        if why:
            version, request = internal.begin(kept, options["names"])
            return {"actions": steps, "version": version, "request": request}
    done, failed = store.activate([kept], options["reload_units"], command)
    if failed:
        module.fail_json(msg="\n".join(failed), changed=True, actions=done)
    return {"actions": done}


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    options = module.params
    problems = internal.problems(options["names"])
    if options["ca_key"]:
        problems.append("the CA's key must stay on the controller: it is for the action plugin alone")
    if not x509.HAS_CRYPTOGRAPHY and not module.check_mode:
        problems.append("python3-cryptography is not installed on the host")
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
