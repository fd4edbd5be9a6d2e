#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: host_check
short_description: Check from a host what its first run will need outside of it
version_added: 0.1.0
description:
  - Requests the directory of the ACME server, connects to port 25 of other mail servers, which many providers block,
    and writes, reads and removes a small object in each bucket with each credential. It needs only Python, so that it
    works before the first run.
  - A check that fails is part of the result and hides no other.
  - The objects are located below C(vise-check/locks/) of the backups' path, where also the credentials of hosts may
    remove objects.
extends_documentation_fragment: [vise.platform.attributes]
attributes:
  check_mode:
    description: It runs as usual, because it leaves nothing changed.
    support: full
  diff_mode:
    description: It shows no difference.
    support: none
author:
  - vise.platform contributors (@vise-platform)
options:
  acme_directory:
    description:
      - URL of the ACME server's directory; empty if the host needs no certificate. The action plugin derives it.
    type: str
    default: ""
  mail_servers:
    description:
      - Mail servers of others, of which one must answer at port 25; empty if the host sends no mail. The action plugin
        passes them only for hosts of the group C(mail).
    type: list
    elements: str
    default: []
  repositories:
    description: The places of backups that the host uses, each with one credential. The action plugin derives them.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name for messages.
        type: str
        required: true
      endpoint:
        description: Host of the S3 API.
        type: str
        required: true
      region:
        description: Region of the bucket.
        type: str
        required: true
      bucket:
        description: Name of the bucket.
        type: str
        required: true
      path:
        description: Path of the backups in the bucket.
        type: str
        default: ""
      uri_style:
        description: Whether requests contain the bucket's name in the host name or in the path.
        type: str
        choices: [host, path]
        default: host
      key:
        description: Access key.
        type: str
        required: true
      secret:
        description: Secret of the access key.
        type: str
        required: true
  timeout:
    description: Seconds for each connection.
    type: int
    default: 10
"""

EXAMPLES = r"""
- name: Check what the host reaches
  vise.platform.host_check:
    mail_servers: [gmail-smtp-in.l.google.com]
  register: reached
  ignore_unreachable: true
"""

RETURN = r"""
checks:
  description: The checks, each with its area, state (V(ok), V(problem) or V(unknown)), text and remedy.
  returned: always
  type: list
  elements: dict
  sample: [{area: port 25, state: ok, text: gmail-smtp-in.l.google.com answers, remedy: ""}]
time:
  description: Seconds since 1970 by the clock of the host.
  returned: always
  type: float
"""

import json
import secrets
import socket
import time
import typing as t
from concurrent import futures

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils import object_storage
from ansible_collections.vise.platform.plugins.module_utils.host import clients

REPOSITORY: dict[str, dict[str, t.Any]] = {
    "name": {"type": "str", "required": True},
    "endpoint": {"type": "str", "required": True},
    "region": {"type": "str", "required": True},
    "bucket": {"type": "str", "required": True},
    "path": {"type": "str", "default": ""},
    "uri_style": {"type": "str", "choices": ["host", "path"], "default": "host"},
    "key": {"type": "str", "required": True, "no_log": True},
    "secret": {"type": "str", "required": True, "no_log": True},
}
ARGUMENT_SPEC: dict[str, t.Any] = {
    "acme_directory": {"type": "str", "default": ""},
    "mail_servers": {"type": "list", "elements": "str", "default": []},
    "repositories": {"type": "list", "elements": "dict", "default": [], "options": REPOSITORY},
    "timeout": {"type": "int", "default": 10},
}
Check = dict[str, str]


def report(area: str, state: str, text: str, remedy: str = "") -> Check:
    """Return the result of a check."""
    return {"area": area, "state": state, "text": text, "remedy": remedy}


def check_acme(url: str, timeout: float) -> Check:
    """Check whether the ACME server answers with its directory."""
    try:
        with clients.open_url(url, timeout=timeout) as answer:
            known = json.load(answer)
    except (OSError, ValueError) as error:
        remedy = "allow outgoing connections to it, or correct acme_directory"
        return report("ACME", "problem", f"{url} gives no directory: {getattr(error, 'reason', error)}", remedy)
    if not isinstance(known, dict) or "newOrder" not in known:
        return report("ACME", "problem", f"{url} is no directory of an ACME server", "correct acme_directory")
    return report("ACME", "ok", f"{url} answers")


def check_port_25(names: t.Sequence[str], timeout: float) -> Check:
    """Check whether the host can connect to port 25 of any mail server of others."""
    unresolved = []
    for name in names:
        try:
            with socket.create_connection((name, 25), timeout):
                return report("port 25", "ok", f"{name} answers")
        except socket.gaierror:
            unresolved.append(name)
        except OSError:
            continue
    if len(unresolved) == len(names):
        text = f"the names {', '.join(names)} do not resolve on this host"
        return report("port 25", "unknown", text, "look at /etc/resolv.conf, or set check_mail_servers")
    remedy = "ask the provider to open outgoing port 25, or send by a relay: mail_relay_hosts and mail_transports"
    return report("port 25", "problem", f"no answer at port 25 of {', '.join(names)}: outgoing mail is blocked", remedy)


def check_repository(one: dict[str, t.Any], timeout: float) -> Check:
    """Check whether a credential can write and read objects."""
    places = (one[key] for key in ("endpoint", "region", "bucket", "key", "secret", "uri_style"))
    bucket = object_storage.Bucket(*places)
    content = secrets.token_hex(16)
    path = f"{one['path']}/vise-check/locks/{content}"
    problem = object_storage.prove(bucket, path, content.encode(), timeout)
    if problem:
        remedy = f"correct bucket, region, credential or its policy in backup_repositories ({one['name']})"
        return report("storage", "problem", f"{one['name']}: {problem}", remedy)
    return report("storage", "ok", f"{one['name']}: an object was written, read and removed")


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    params, timeout = module.params, module.params["timeout"]
    with futures.ThreadPoolExecutor() as pool:
        running = [pool.submit(check_repository, one, timeout) for one in params["repositories"]]
        if params["acme_directory"]:
            running.append(pool.submit(check_acme, params["acme_directory"], timeout))
        if params["mail_servers"]:
            running.append(pool.submit(check_port_25, params["mail_servers"], timeout))
        checks = [one.result() for one in running]
    module.exit_json(changed=False, checks=checks, time=time.time())


if __name__ == "__main__":
    main()
