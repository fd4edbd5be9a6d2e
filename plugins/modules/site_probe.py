#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: site_probe
short_description: Request sites as a visitor does, at each of their addresses
version_added: 0.1.0
description:
  - For each URL and address, connects to the address, verifies the certificate for the name in the URL, and requests
    the page.
  - Reads only. Reports all failures in one message.
extends_documentation_fragment: [vise.platform.attributes.controller, vise.platform.attributes.reads]
author:
  - vise.platform contributors (@vise-platform)
options:
  urls:
    description: URLs of the pages, each with C(https://).
    type: list
    elements: str
    required: true
  addresses:
    description: IP addresses to connect to. The default is to resolve the name in the URL.
    type: list
    elements: str
    default: []
  ca:
    description: CA certificates in PEM format to trust in addition to those of the system.
    type: str
    default: ""
  status:
    description: HTTP status that each page must have; V(0) permits each one below 500.
    type: int
    default: 200
  timeout:
    description: Timeout in seconds for a connection and for each response.
    type: int
    default: 10
"""

EXAMPLES = r"""
- name: Request the site at both addresses of a host
  vise.platform.site_probe:
    urls: [https://docs.example.org/]
    addresses: [192.0.2.10, "2001:db8::10"]
  delegate_to: localhost
"""

RETURN = r"""
probes:
  description:
    - One entry for each URL and address. C(problem) is empty when the request succeeded.
    - C(skipped) is true for one of the O(addresses) to which this machine has no route.
  returned: always
  type: list
  elements: dict
  sample: [{url: https://docs.example.org/, address: 192.0.2.10, status: 200, problem: "", skipped: false}]
"""

import errno
import http.client
import socket
import ssl
import typing as t
from urllib.parse import urlsplit

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils.host import clients

NO_ROUTE = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)

# OpenSSL's codes: self-signed, self-signed in the chain, issuer not found
UNKNOWN_AUTHORITY = (18, 19, 20)


class Connection(http.client.HTTPSConnection):
    """An HTTPS connection to a given address, with the name in the URL for the certificate."""

    def __init__(self, name: str, port: int, address: str, context: ssl.SSLContext, timeout: int) -> None:
        super().__init__(name, port, timeout=timeout, context=context)
        self.address = address
        self.tls = context

    def connect(self) -> None:
        """Connect to the address and verify its certificate for the name."""
        plain = socket.create_connection((self.address, self.port), self.timeout)
        self.sock = self.tls.wrap_socket(plain, server_hostname=self.host)


def create_context(ca: str) -> ssl.SSLContext:
    """Return a context that trusts the system's CAs and the given ones."""
    return clients.make_tls_context(ca_data=ca)


def request_status(url: str, address: str, context: ssl.SSLContext, timeout: int) -> int:
    """Return the HTTP status of one URL at one address."""
    parts = urlsplit(url)
    connection = Connection(parts.hostname or "", parts.port or 443, address, context, timeout)
    try:
        connection.request("GET", parts.path or "/", headers={"User-Agent": "vise-probe"})
        return connection.getresponse().status
    finally:
        connection.close()


def probe(url: str, address: str, context: ssl.SSLContext, params: dict[str, t.Any]) -> dict[str, t.Any]:
    """Request one URL at one address; return the entry of the result."""
    result: dict[str, t.Any] = {"url": url, "address": address, "status": 0, "problem": "", "skipped": False}
    try:
        result["status"] = request_status(url, address, context, params["timeout"])
    except (OSError, http.client.HTTPException) as error:
        result["skipped"] = bool(params["addresses"]) and getattr(error, "errno", None) in NO_ROUTE
        result["problem"] = f"{type(error).__name__}: {error}"
        if getattr(error, "verify_code", 0) in UNKNOWN_AUTHORITY:
            result["problem"] += "; if the authority is not public, add its root certificate to smoke_ca"
        return result
    if params["status"] == 0 and result["status"] < 500:
        return result
    if result["status"] != params["status"]:
        result["problem"] = f"status {result['status']} instead of {params['status'] or 'one below 500'}"
    return result


def describe_failures(probes: list[dict[str, t.Any]]) -> list[str]:
    """Return one line for each failed probe, and one when this machine has no route to any address."""
    lines = [
        f"{one['url']} at {one['address']}: {one['problem']}" for one in probes if one["problem"] and not one["skipped"]
    ]
    if probes and all(one["skipped"] for one in probes):
        lines.append("this machine has no route to any address: " + ", ".join(one["address"] for one in probes))
    return lines


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(
        {
            "urls": {"type": "list", "elements": "str", "required": True},
            "addresses": {"type": "list", "elements": "str", "default": []},
            "ca": {"type": "str", "default": ""},
            "status": {"type": "int", "default": 200},
            "timeout": {"type": "int", "default": 10},
        },
        supports_check_mode=True,
    )
    params = module.params
    context = create_context(params["ca"])
    pairs = [(url, address) for url in params["urls"] for address in params["addresses"] or [urlsplit(url).hostname]]
    probes = [probe(url, str(address), context, params) for url, address in pairs]
    failures = describe_failures(probes)
    if failures:
        module.fail_json(msg="\n".join(failures), probes=probes)
    module.exit_json(changed=False, probes=probes)


if __name__ == "__main__":
    main()
