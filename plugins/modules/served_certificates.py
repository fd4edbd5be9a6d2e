#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: served_certificates
short_description: Read the certificates that visitors get, and compare them with those of the host
version_added: 0.1.0
description:
  - Connects to each domain of O(certificates) at each of O(addresses), port 443, verifies the whole chain for the
    name, and returns serial number and begin of the certificate. With O(mail_host), also to its ports 465 and 993.
  - With O(before), fails if a place that answered then does not answer now, or presents another certificate than that
    of O(certificates). A place that did not answer then, or with a certificate of other names, proves nothing; a
    certificate without any proof is returned in RV(unproven).
  - A wildcard is not a name to connect to, so a certificate that has only wildcards has no place.
extends_documentation_fragment: [vise.platform.attributes.controller, vise.platform.attributes.reads]
author:
  - vise.platform contributors (@vise-platform)
options:
  certificates:
    description: The certificates of one host, each with C(name), C(domains) and C(serial).
    type: list
    elements: dict
    required: true
  addresses:
    description: The addresses at which visitors reach the host.
    type: list
    elements: str
    required: true
  mail_host:
    description: The name of the mail server, if the host is one.
    type: str
    default: ""
  before:
    description: RV(places) of an earlier execution.
    type: list
    elements: dict
  ca:
    description: CA certificates in PEM format to trust in addition to those of the system.
    type: str
    default: ""
  seconds:
    description: How long to wait until all places present the new certificates, because services reload gracefully.
    type: int
    default: 30
  timeout:
    description: Timeout in seconds of a connection.
    type: int
    default: 5
"""

EXAMPLES = r"""
- name: Verify that visitors get the new certificates
  vise.platform.served_certificates:
    certificates: "{{ renewed.certificates }}"
    addresses: [192.0.2.10]
    before: "{{ served.places }}"
  delegate_to: localhost
"""

RETURN = r"""
places:
  description: Each place with the serial number and the begin of what it presents, or the problem.
  returned: always
  type: list
  elements: dict
  sample: [{certificate: docs, name: docs.example.org, address: 192.0.2.10, port: 443, serial: 5A0F,
    begin: "Nov 30 08:00:00 2026 GMT", problem: "", answers: true}]
unproven:
  description: The certificates for which no place answers that is in O(before) too.
  returned: always
  type: list
  elements: str
  sample: [wild]
"""

import socket
import ssl
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils.host import clients

ARGUMENT_SPEC: dict[str, t.Any] = {
    "certificates": {"type": "list", "elements": "dict", "required": True},
    "addresses": {"type": "list", "elements": "str", "required": True},
    "mail_host": {"type": "str", "default": ""},
    "before": {"type": "list", "elements": "dict"},
    "ca": {"type": "str", "default": ""},
    "seconds": {"type": "int", "default": 30},
    "timeout": {"type": "int", "default": 5},
}
WEB = 443
MAIL = (465, 993)
OTHER_NAME = 62  # OpenSSL's code for a certificate that does not have the name

Place = dict[str, t.Any]


def list_places(certificates: list[dict[str, t.Any]], addresses: list[str], mail_host: str) -> list[Place]:
    """Return where visitors get the certificates."""
    return [
        {"certificate": one["name"], "name": name, "address": address, "port": port}
        for one in certificates
        for name in one["domains"]
        if not name.startswith("*.")
        for address in addresses
        for port in ((WEB, *MAIL) if name == mail_host else (WEB,))
    ]


def read_place(place: Place, context: ssl.SSLContext, timeout: int) -> Place:
    """Return a place with what it presents."""
    found = {**place, "serial": "", "begin": "", "problem": "", "answers": True}
    try:
        with (
            socket.create_connection((place["address"], place["port"]), timeout) as plain,
            context.wrap_socket(plain, server_hostname=place["name"]) as secure,
        ):
            facts = secure.getpeercert() or {}
    except ssl.SSLCertVerificationError as error:
        # A server that presents a certificate of other names does not serve this one.
        found["answers"] = error.verify_code != OTHER_NAME
        return {**found, "problem": f"its certificate is not valid: {error.verify_message}"}
    except OSError as error:
        return {**found, "problem": f"no TLS connection: {error}", "answers": False}
    return {**found, "serial": str(facts["serialNumber"]).lstrip("0"), "begin": str(facts["notBefore"])}


def compare(places: list[Place], certificates: list[dict[str, t.Any]], before: list[Place]) -> list[str]:
    """Return the problems of places that answered before."""
    serials = {one["name"]: one["serial"] for one in certificates}
    answered = {identify(place) for place in before if place["answers"]}
    problems = []
    for place in places:
        if identify(place) not in answered:
            continue
        where = f"{place['name']} at {place['address']} port {place['port']}"
        if place["problem"]:
            problems.append(f"{where}: {place['problem']}")
        elif place["serial"] != serials[place["certificate"]]:
            problems.append(
                f"{where}: it presents the certificate {place['serial']} of {place['begin']}, not the new one of "
                f"{place['certificate']}, {serials[place['certificate']]}"
            )
    return problems


def identify(place: Place) -> tuple[t.Any, ...]:
    """Return what a place is, without what it presents."""
    return tuple(place[key] for key in ("certificate", "name", "address", "port"))


def list_unproven(places: list[Place], certificates: list[dict[str, t.Any]], before: list[Place]) -> list[str]:
    """Return the certificates that no place has proven."""
    answered = {identify(place) for place in before if place["answers"]}
    proven = {place["certificate"] for place in places if place["answers"] and identify(place) in answered}
    return [one["name"] for one in certificates if one["name"] not in proven]


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    try:
        context = clients.make_tls_context(ca_data=params["ca"])
    except OSError as error:
        module.fail_json(msg=f"ca has no usable certificate: {error}")
    wanted = list_places(params["certificates"], params["addresses"], params["mail_host"])
    before = params["before"]
    end = time.monotonic() + (params["seconds"] if before else 0)
    while True:
        places = [read_place(place, context, params["timeout"]) for place in wanted]
        problems = compare(places, params["certificates"], before or [])
        if not problems or time.monotonic() > end:
            break
        time.sleep(1)
    unproven = list_unproven(places, params["certificates"], places if before is None else before)
    if problems:
        module.fail_json(msg="\n".join(problems), places=places, unproven=unproven)
    module.exit_json(changed=False, places=places, unproven=unproven)


if __name__ == "__main__":
    main()
