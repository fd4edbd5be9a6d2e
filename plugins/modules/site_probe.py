#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: site_probe
short_description: Ask for sites as a visitor does, at every address that leads to them
version_added: 0.1.0
description:
  - Connects to each address, shakes hands for the name in the URL, verifies the certificate, and asks for the page.
  - Reads only. All that fails is told at once.
author:
  - vise.platform contributors (@vise-platform)
options:
  urls:
    description: What to ask for, each with C(https://).
    type: list
    elements: str
    required: true
  addresses:
    description: IP addresses to ask at; what the name resolves to when empty.
    type: list
    elements: str
    default: []
  ca:
    description: Certificates in PEM that are trusted beside the system's.
    type: str
    default: ""
  status:
    description: The status that a page must have.
    type: int
    default: 200
  timeout:
    description: Seconds for a connection and for each answer.
    type: int
    default: 10
attributes:
  check_mode:
    description: It only reads.
    support: full
  diff_mode:
    description: It changes nothing.
    support: none
  platform:
    description: Where it runs.
    support: full
    platforms: posix
"""

EXAMPLES = r"""
- name: Ask for the site at both addresses of a host
  vise.platform.site_probe:
    urls: [https://docs.example.org/]
    addresses: [192.0.2.10, "2001:db8::10"]
  delegate_to: localhost
"""

RETURN = r"""
probes:
  description: One entry for each URL and address; C(skipped) where the asking machine has no way to that address.
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

NO_WAY = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


class Connection(http.client.HTTPSConnection):
    """HTTPS to a given address, under the name of the URL."""

    def __init__(self, name: str, port: int, address: str, context: ssl.SSLContext, timeout: int) -> None:
        super().__init__(name, port, timeout=timeout, context=context)
        self.address = address
        self.tls = context

    def connect(self) -> None:
        """Connect to the address, and verify that it is who the name says."""
        plain = socket.create_connection((self.address, self.port), self.timeout)
        self.sock = self.tls.wrap_socket(plain, server_hostname=self.host)


def trust(ca: str) -> ssl.SSLContext:
    """Return a context that verifies by the system's authorities and the given ones."""
    context = ssl.create_default_context()
    if ca:
        context.load_verify_locations(cadata=ca)
    return context


def ask(url: str, address: str, context: ssl.SSLContext, timeout: int) -> int:
    """Return the status of one URL at one address."""
    parts = urlsplit(url)
    connection = Connection(parts.hostname or "", parts.port or 443, address, context, timeout)
    try:
        connection.request("GET", parts.path or "/")
        return connection.getresponse().status
    finally:
        connection.close()


def probe(url: str, address: str, context: ssl.SSLContext, params: dict[str, t.Any]) -> dict[str, t.Any]:
    """Return what asking at one address gave."""
    answer: dict[str, t.Any] = {"url": url, "address": address, "status": 0, "problem": "", "skipped": False}
    try:
        answer["status"] = ask(url, address, context, params["timeout"])
    except (OSError, http.client.HTTPException) as error:
        answer["skipped"] = bool(params["addresses"]) and getattr(error, "errno", None) in NO_WAY
        answer["problem"] = f"{type(error).__name__}: {error}"
        return answer
    if answer["status"] != params["status"]:
        answer["problem"] = f"status {answer['status']} in place of {params['status']}"
    return answer


def complaints(probes: list[dict[str, t.Any]]) -> list[str]:
    """Return one line for each probe that failed, and one when there was no way to any address."""
    lines = [
        f"{one['url']} at {one['address']}: {one['problem']}" for one in probes if one["problem"] and not one["skipped"]
    ]
    if probes and all(one["skipped"] for one in probes):
        lines.append("no address could be reached from here: " + ", ".join(one["address"] for one in probes))
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
    context = trust(params["ca"])
    pairs = [(url, address) for url in params["urls"] for address in params["addresses"] or [urlsplit(url).hostname]]
    probes = [probe(url, str(address), context, params) for url, address in pairs]
    failed = complaints(probes)
    if failed:
        module.fail_json(msg="\n".join(failed), probes=probes)
    module.exit_json(changed=False, probes=probes)


if __name__ == "__main__":
    main()
