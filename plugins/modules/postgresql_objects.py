#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_objects
short_description: Keep a PostgreSQL cluster's users, databases, grants, extensions and slots, all in one execution
version_added: 0.1.0
description:
  - Compares what the server holds with what is described, and changes what differs, through the Unix socket as user
    C(postgres).
  - A password is compared with the verifier that the server keeps. The module computes verifiers itself, so that no
    password reaches the server, its log or its statistics.
  - Each database has two groups, C(<name>_read_only) and C(<name>_read_write), with rights on all tables and sequences
    that are there and on those that the owner will make. Rights of these groups that are not described are taken away.
  - A user who was described and no longer is, is locked (C(NOLOGIN)) and its sessions end; what it owns stays. No
    database, extension or slot is ever dropped, except a slot whose WAL is gone.
author:
  - vise.platform contributors (@vise-platform)
options:
  databases:
    description: Databases; others are left alone.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name; small letters, digits and underscores.
        type: str
        required: true
      owner:
        description: User who owns it.
        type: str
        required: true
      read_write:
        description: Users who may change rows.
        type: list
        elements: str
        default: []
      read_only:
        description: Users who may only read.
        type: list
        elements: str
        default: []
      extensions:
        description: Extensions that must be there.
        type: list
        elements: str
        default: []
      connection_limit:
        description: Most sessions at a time; C(-1) for no limit.
        type: int
        default: -1
  users:
    description: Users; none is superuser, or makes databases or other users.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name; small letters, digits and underscores.
        type: str
        required: true
      password:
        description: Password of printable ASCII; without one the user comes in by no password.
        type: str
        default: ""
      addresses:
        description: Where the user comes from; taken so that one list serves C(pg_hba.conf) as well, and only checked.
        type: list
        elements: str
        default: []
      connection_limit:
        description: Most sessions at a time; C(-1) for no limit.
        type: int
        default: -1
      roles:
        description: PostgreSQL's predefined roles, such as C(pg_monitor).
        type: list
        elements: str
        default: []
      replication:
        description: Whether the user may replicate.
        type: bool
        default: false
  extensions:
    description: Extensions of the database C(postgres).
    type: list
    elements: str
    default: []
  slots:
    description: Physical replication slots that must be there; others are warned about.
    type: list
    elements: str
    default: []
  socket:
    description: Directory of the server's socket.
    type: str
    default: /run/postgresql
  port:
    description: The server's port.
    type: int
    default: 5432
attributes:
  check_mode:
    description: Says what would change; where no server runs yet, what an empty one would need.
    support: full
  diff_mode:
    description: The actions; never a password or a verifier.
    support: full
  platform:
    description: Hosts on which it runs; C(python3-psycopg2) must be there.
    support: full
    platforms: debian
"""

EXAMPLES = r"""
- name: Keep the app's database and its users
  vise.platform.postgresql_objects:
    databases:
      - name: edu
        owner: edu
        read_write: [edu_app]
        extensions: [pg_trgm]
    users:
      - {name: edu, password: "{{ vault_edu_owner_password }}"}
      - {name: edu_app, password: "{{ vault_edu_password }}", connection_limit: 40}
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be, in order.
  returned: always
  type: list
  elements: str
  sample: [create user edu, create database edu]
"""

import contextlib
import os
import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.vise.platform.plugins.module_utils.postgresql import catalog, description, objects

NAME: dict[str, t.Any] = {"type": "str", "required": True}
LIMIT: dict[str, t.Any] = {"type": "int", "default": -1}
STRINGS: dict[str, t.Any] = {"type": "list", "elements": "str", "default": []}
DATABASE = {
    "name": NAME,
    "owner": NAME,
    "read_write": STRINGS,
    "read_only": STRINGS,
    "extensions": STRINGS,
    "connection_limit": LIMIT,
}
USER = {
    "name": NAME,
    "password": {"type": "str", "default": "", "no_log": True},
    "addresses": STRINGS,
    "connection_limit": LIMIT,
    "roles": STRINGS,
    "replication": {"type": "bool", "default": False},
}
ARGUMENT_SPEC: dict[str, t.Any] = {
    "databases": {"type": "list", "elements": "dict", "default": [], "options": DATABASE},
    "users": {"type": "list", "elements": "dict", "default": [], "options": USER},
    "extensions": STRINGS,
    "slots": STRINGS,
    "socket": {"type": "str", "default": "/run/postgresql"},
    "port": {"type": "int", "default": 5432},
}


def converge(wanted: objects.Wanted, connect: catalog.Connect, check_mode: bool, running: bool) -> dict[str, t.Any]:
    """Find, plan and apply; return the result."""
    found = catalog.find(connect, wanted) if running or not check_mode else objects.Found()
    wrong = objects.problems(wanted, found)
    if wrong:
        raise catalog.CatalogError("\n".join(wrong))
    steps = objects.plan(wanted, found)
    if not check_mode:
        catalog.execute(connect, steps)
    texts = [step.text for step in steps]
    return {"changed": bool(steps), "actions": texts, "doubts": objects.warnings(wanted, found)}


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    options = module.params
    wrong = description.problems(options["databases"], options["users"])
    if wrong:
        module.fail_json(msg="\n".join(wrong))
    if catalog.IMPORT_ERROR and not module.check_mode:
        module.fail_json(msg=missing_required_lib("psycopg2"), exception=catalog.IMPORT_ERROR)
    running = not catalog.IMPORT_ERROR and os.path.exists(f"{options['socket']}/.s.PGSQL.{options['port']}")
    wanted = objects.Wanted(options["databases"], options["users"], options["extensions"], options["slots"])
    try:
        with contextlib.ExitStack() as stack:
            connect = catalog.connector(options["socket"], options["port"], stack)
            result = converge(wanted, connect, module.check_mode, running)
    except catalog.CatalogError as error:
        module.fail_json(msg=f"PostgreSQL: {error}")
    for doubt in result.pop("doubts"):
        module.warn(doubt)
    if module._diff and result["actions"]:
        result["diff"] = {"prepared": "".join(f"> {action}\n" for action in result["actions"])}
    module.exit_json(**result)


if __name__ == "__main__":
    main()
