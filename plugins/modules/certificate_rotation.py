#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: certificate_rotation
short_description: Renew certificates of an ACME server before they are due
version_added: 0.1.0
description:
  - Works on the certificates that P(vise.platform.certificates#role) has configured on the host. A host without this
    role has no certificates.
  - Keeps the private key, because a TLSA record in the DNS may contain it, unless O(new_key) is set.
  - A certificate that is younger than O(hours) counts as renewed, so that a killed run can be started again.
  - After a failure the previous certificate stays in use, and the module fails.
extends_documentation_fragment: [vise.platform.attributes, vise.platform.attributes.actions]
author:
  - vise.platform contributors (@vise-platform)
options:
  state:
    description:
      - V(planned) reads the certificates, and what was issued for them in the last seven days.
      - V(rehearsed) orders the certificates from the ACME server without storing them. For Let's Encrypt, certbot uses
        the staging environment.
      - V(renewed) issues and deploys them and reloads the services.
    type: str
    choices: [planned, rehearsed, renewed]
    default: planned
  names:
    description: Names of the certificates. Names that the host does not have are ignored. V(all) means all.
    type: list
    elements: str
    default: []
  hours:
    description: Age in hours below which a certificate counts as renewed.
    type: int
    default: 24
  new_key:
    description: Whether the certificates get new private keys.
    type: bool
    default: false
attributes:
  check_mode:
    description: Reports which certificates would be issued; contacts no server.
    support: full
"""

EXAMPLES = r"""
- name: Rehearse the renewal of all certificates
  vise.platform.certificate_rotation:
    state: rehearsed
    names: [all]

- name: Renew one certificate with a new key
  vise.platform.certificate_rotation:
    state: renewed
    names: [docs]
    new_key: true
"""

RETURN = r"""
actions:
  description: The actions that were done, or in check mode would be done, in order.
  returned: always
  type: list
  elements: str
  sample: ["issue docs by http-01: its renewal is requested", deploy docs, reload nginx.service]
certificates:
  description:
    - The certificates of the host after the actions, each with what services read now. C(key) is the SHA-256 of its
      public key, and C(issued) when certificates for the same domains were issued in the last seven days.
  returned: always
  type: list
  elements: dict
  sample:
    - {name: docs, domains: [docs.example.com], serial: 5A0F, begin: 2026-11-30 08:00 UTC, end: 2027-02-28 08:00 UTC,
       key: 9f86d081884c7d65, young: false, problem: "", issued: [1796025600.0],
       directory: "https://acme-v02.api.letsencrypt.org/directory"}
"""

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils.host import leases, programs
from ansible_collections.vise.platform.plugins.module_utils.tls import acme, program, rotation, store

ARGUMENT_SPEC: dict[str, t.Any] = {
    "state": {"type": "str", "choices": ["planned", "rehearsed", "renewed"], "default": "planned"},
    "names": {"type": "list", "elements": "str", "default": []},
    "hours": {"type": "int", "default": 24},
    "new_key": {"type": "bool", "default": False},
}
ALL = "all"


def run_command(argv: list[str]) -> tuple[int, str]:
    """Run a command; return its exit code and its output."""
    result = programs.run(argv)
    return result.code, f"{result.out}\n{result.err}"


def act(settings: acme.Settings, names: list[str], params: dict[str, t.Any], check: bool) -> acme.Outcome:
    """Rehearse or renew; in check mode return what would be done."""
    hours = params["hours"]
    if params["state"] == "planned" or (check and params["state"] == "rehearsed"):
        return acme.Outcome()
    if check:
        return acme.Outcome(actions=rotation.preview(settings, names, hours))
    if params["state"] == "rehearsed":
        return acme.Outcome(failures=rotation.rehearse(settings, names, hours, run_command, store.ROOT))
    return rotation.renew(settings, names, hours, run_command, new_key=params["new_key"])


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    leases.keep_alive(module.check_mode)
    params = module.params
    if not os.path.exists(program.SETTINGS):
        module.exit_json(changed=False, actions=[], certificates=[])
    try:
        settings = program.load_settings()
    except ValueError as error:
        module.fail_json(msg=str(error))
    known = [wanted.name for wanted in settings.wanted]
    names = [name for name in known if name in params["names"] or ALL in params["names"]]
    outcome = act(settings, names, params, module.check_mode)
    result: dict[str, t.Any] = {
        "changed": bool(outcome.actions),
        "actions": outcome.actions,
        "certificates": rotation.survey(settings, params["hours"]),
    }
    if module._diff and outcome.actions:
        result["diff"] = {"prepared": "".join(f"> {action}\n" for action in outcome.actions)}
    if outcome.failures:
        module.fail_json(msg="\n".join(outcome.failures), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
