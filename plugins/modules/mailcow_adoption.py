#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: mailcow_adoption
short_description: Refuse a mailcow that the role mailcow did not install, or take it over
version_added: 0.1.0
description:
  - Compares the checkout on the host with the one that the role has made, and queries Docker for containers and volumes
    of the project. On a host without mailcow, or with the role's own, the module changes nothing.
  - A mailcow that somebody else has installed, or whose release was changed by hand, is an error which lists its
    release and its changed files. With O(adopt), the module takes it over; its files are not changed.
  - Before it takes a mailcow over, the module stops it for a snapshot of its volumes and its directory in
    C(/var/lib/vise/mailcow/snapshots), and starts it again.
extends_documentation_fragment: [vise.platform.attributes, vise.platform.attributes.actions]
author:
  - vise.platform contributors (@vise-platform)
attributes:
  check_mode:
    description: Reports whether a mailcow would be taken over.
    support: full
options:
  directory:
    description: Directory of the checkout.
    type: path
    required: true
  version:
    description: The configured release. It must be the release of the mailcow that is taken over.
    type: str
    required: true
  names:
    description: Variables of C(mailcow.conf) with the name of the project, and the names of the database and its user.
    type: dict
    required: true
  passwords:
    description:
      - Variables of C(mailcow.conf) with the passwords of the databases.
      - mailcow uses O(names) and O(passwords) when it creates its databases. Therefore, the mailcow that is taken over
        must have the same values.
    type: dict
    required: true
  adopt:
    description: Whether to take over a mailcow that somebody else has installed.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Refuse a mailcow that somebody else has installed
  vise.platform.mailcow_adoption:
    directory: /opt/mailcow-dockerized
    version: 2026-07a
    names: {COMPOSE_PROJECT_NAME: mailcowdockerized, DBNAME: mailcow, DBUSER: mailcow}
    passwords:
      DBPASS: "{{ vault_mail_database }}"
      DBROOT: "{{ vault_mail_database_root }}"
      REDISPASS: "{{ vault_mail_redis }}"
"""

RETURN = r"""
actions:
  description: The actions, or in check mode the planned actions, in order.
  returned: always
  type: list
  elements: str
  sample: [create the snapshot before-adoption-20260301T020000, take over mailcow 2026-07a]
"""

import os
import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils.host import leases
from ansible_collections.vise.platform.plugins.module_utils.mailcow_host import adoption
from ansible_collections.vise.platform.plugins.module_utils.mailcow_host.settings import Problem, Settings

OPTIONS: dict[str, t.Any] = {
    "directory": {"type": "path", "required": True},
    "version": {"type": "str", "required": True},
    "names": {"type": "dict", "required": True},
    "passwords": {"type": "dict", "required": True, "no_log": True},
    "adopt": {"type": "bool", "default": False},
}


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(OPTIONS, supports_check_mode=True)
    leases.keep_alive(module.check_mode)
    params = module.params
    config = Settings(Path(params["directory"]), "", params["version"], "", "", 0, 0)
    # The snapshot contains mails and keys
    os.umask(0o077)
    variables = {name: str(value) for name, value in {**params["names"], **params["passwords"]}.items()}
    try:
        snapshot = adoption.adopt(config, variables, params["adopt"], module.check_mode)
    except (Problem, OSError) as error:
        module.fail_json(msg=str(error))
    actions = [f"create the snapshot {snapshot}", f"take over mailcow {config.version}"] if snapshot else []
    result: dict[str, t.Any] = {"changed": bool(actions), "actions": actions}
    if module._diff and actions:
        result["diff"] = {"prepared": "".join(f"> {action}\n" for action in actions)}
    module.exit_json(**result)


if __name__ == "__main__":
    main()
