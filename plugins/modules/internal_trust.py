#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: internal_trust
short_description: Read which authorities a host trusts, and which ones its services present
version_added: 0.1.0
description:
  - Connects to each service of the host that presents a certificate of the platform's own authority, as its clients do,
    and verifies it with C(/etc/vise/tls/internal/ca.pem). PostgreSQL, PgBouncer and Redis are also verified for the
    name of the host.
  - Certificates of other authorities, such as those of public sites, are not part of the result.
extends_documentation_fragment: [vise.platform.attributes, vise.platform.attributes.reads]
author:
  - vise.platform contributors (@vise-platform)
options:
  authorities:
    description: Certificates of the platform's authorities in PEM format, current and former or future ones.
    type: list
    elements: str
    required: true
  name:
    description: The name of the host that its certificate contains.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Read which authorities are in use
  vise.platform.internal_trust:
    authorities: ["{{ internal_ca }}"]
    name: "{{ inventory_hostname }}"
"""

RETURN = r"""
trusts:
  description: SHA-256 fingerprints of the authorities that the host trusts.
  returned: always
  type: list
  elements: str
  sample: [9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08]
leaf:
  description: Fingerprint of the authority that has issued the certificate of the host; empty if it is not one of them.
  returned: always
  type: str
  sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
is_live:
  description: Whether the services have loaded the files.
  returned: always
  type: bool
  sample: true
services:
  description: Each service with the fingerprint of the issuer of what it presents, and why a client cannot connect.
  returned: always
  type: list
  elements: dict
  sample:
    - {service: redis, place: port 6379, problem: "",
       issuer: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08}
"""

import os
import socket
import ssl
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils.host import certificates, clients
from ansible_collections.vise.platform.plugins.module_utils.host_status import facts
from ansible_collections.vise.platform.plugins.module_utils.tls import internal, store, x509

ARGUMENT_SPEC: dict[str, t.Any] = {
    "authorities": {"type": "list", "elements": "str", "required": True},
    "name": {"type": "str", "required": True},
}
# Their clients verify the name of the host; the edge verifies the name of a site.
NAMED = ("postgresql", "pgbouncer", "redis")


def read_service(place: facts.Data, authorities: list[str], bundle: str, name: str) -> dict[str, str] | None:
    """Return a service with its issuer; None if its certificate is not one of the platform's authority."""
    own = place["service"].startswith(NAMED)
    found = {"service": place["service"], "place": f"{place.get('name') or 'port'} {place['port']}"}
    try:
        served = connect(place)
    except (OSError, ValueError) as error:
        return {**found, "issuer": "", "problem": f"no TLS connection: {error}"} if own else None
    issuer = find_issuer(ssl.DER_cert_to_PEM_cert(served or b""), authorities)
    if not issuer and not own:
        return None
    return {**found, "issuer": issuer, "problem": verify(place, bundle, name if own else "")}


def connect(place: facts.Data, context: ssl.SSLContext | None = None, name: str = "") -> bytes | None:
    """Connect to a service and return its certificate; with a context, verify it."""

    def begin(connection: socket.socket) -> None:
        connection.sendall(place["begin"])
        if connection.recv(1) != b"S":
            raise OSError("the server refuses TLS")

    prepare = begin if "begin" in place else None
    address, requested = place.get("address") or "127.0.0.1", name or place.get("name", "")
    return certificates.read_served(address, place["port"], prepare, place.get("client"), requested, context)


def verify(place: facts.Data, bundle: str, name: str) -> str:
    """Return why a client that trusts only the bundle cannot connect; empty if it can."""
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = bool(name)
        context.load_verify_locations(cadata=bundle)
        connect(place, context, name)
    except ssl.SSLCertVerificationError as error:
        return f"a client of this host cannot verify it: {error.verify_message}"
    except (OSError, ValueError) as error:
        return f"no TLS connection: {error}"
    return ""


def find_issuer(chain: str, authorities: list[str]) -> str:
    """Return the fingerprint of the authority that has issued a certificate, or an empty text."""
    return next((internal.fingerprint(pem) for pem in authorities if x509.is_issued_by(chain, pem)), "")


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    deployed = store.Store(internal.NAME)
    bundle, authorities = deployed.read(store.CA), params["authorities"]
    if not x509.HAS_CRYPTOGRAPHY or not os.path.exists(deployed.link):
        module.fail_json(msg=f"{deployed.link} does not exist: run baseline.yml on this host first")
    with clients.clean_environment():
        services = [read_service(place, authorities, bundle, params["name"]) for place in facts.list_places()]
    module.exit_json(
        changed=False,
        trusts=[internal.fingerprint(pem) for pem in internal.split_authorities(bundle)],
        leaf=find_issuer(deployed.read(store.CHAIN), authorities),
        is_live=deployed.is_live(),
        services=[one for one in services if one],
    )


if __name__ == "__main__":
    main()
