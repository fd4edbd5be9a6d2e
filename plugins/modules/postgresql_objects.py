#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_objects
short_description: Manage a PostgreSQL cluster's users, databases, grants, extensions and slots in one execution
version_added: 0.1.0
description:
  - Compares the server's objects with the options and changes the differences, through the Unix socket as user
    C(postgres).
  - A password is compared with the verifier that the server stores. The module computes verifiers itself, so that a
    password never reaches the server, its log or its statistics.
  - Each database has two groups, C(<name>_read_only) and C(<name>_read_write), with privileges on all existing tables
    and sequences and on those that the owner will create. Other privileges of these groups are revoked.
  - Everything that decides the login of a user is compared and corrected, C(VALID UNTIL) and privileges of the owner
    included; settings of C(ALTER ROLE) and C(ALTER DATABASE) with which a session could not begin or write are reset.
    Other such settings, and objects of others in a database, are reported by a warning.
  - When a database gets another owner, the objects of the former one go with it. So do those of a locked user.
  - A user that is removed from the options is locked (C(NOLOGIN)) and its sessions are ended; its objects stay where
    it is not a former owner.
    Databases, extensions and slots are never dropped, except a slot whose WAL is lost.
extends_documentation_fragment: [vise.platform.attributes.actions]
author:
  - vise.platform contributors (@vise-platform)
options:
  databases:
    description: Databases; other databases are not changed.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name; lower-case letters, digits and underscores.
        type: str
        required: true
      owner:
        description: User that owns the database.
        type: str
        required: true
      read_write:
        description: Users that may read and change rows.
        type: list
        elements: str
        default: []
      read_only:
        description: Users that may only read rows.
        type: list
        elements: str
        default: []
      extensions:
        description: Extensions to create, each after those that it requires, which must be listed or exist.
        type: list
        elements: str
        default: []
      locale:
        description:
          - Locale of a new database; an existing one with another locale is refused. Default is that of the cluster.
        type: str
        default: ""
      locale_provider:
        description: Provider of the locale. C(builtin) needs PostgreSQL 17. Default is C(libc).
        type: str
        choices: ["", libc, icu, builtin]
        default: ""
      encoding:
        description: Encoding of a new database; an existing one with another encoding is refused.
        type: str
        default: ""
      template:
        description: Database that a new database copies. With a locale or an encoding it is C(template0).
        type: str
        default: ""
      connection_limit:
        description: Maximum number of sessions; C(-1) for no limit.
        type: int
        default: -1
  users:
    description: Users; they are not superusers and cannot create databases or users.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name; lower-case letters, digits and underscores.
        type: str
        required: true
      password:
        description: Password in printable ASCII; if empty, the user cannot log in by password.
        type: str
        default: ""
      addresses:
        description: Networks of the user's clients; only validated here, so that one list serves C(pg_hba.conf), too.
        type: list
        elements: str
        default: []
      connection_limit:
        description: Maximum number of sessions; C(-1) for no limit.
        type: int
        default: -1
      roles:
        description: Predefined roles of PostgreSQL, such as C(pg_monitor).
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
    description: Physical replication slots to create; the module warns about other slots.
    type: list
    elements: str
    default: []
  socket:
    description: Directory of the server's Unix socket.
    type: str
    default: /run/postgresql
  port:
    description: The server's port.
    type: int
    default: 5432
attributes:
  check_mode:
    description: Reports the changes; if no server runs yet, the changes for an empty cluster.
    support: full
  platform:
    description: Hosts on which it runs; C(python3-psycopg2) must be installed.
    support: full
    platforms: debian
"""

EXAMPLES = r"""
- name: Create the database of an application and its users
  vise.platform.postgresql_objects:
    databases:
      - name: edu
        owner: edu
        read_write: [edu_app]
        extensions: [pg_trgm]
      - {name: synapse, owner: edu, locale: C, encoding: UTF8}
    users:
      - {name: edu, password: "{{ vault_edu_owner_password }}"}
      - {name: edu_app, password: "{{ vault_edu_password }}", connection_limit: 40}
"""

RETURN = r"""
actions:
  description: The actions of this run, in order; in check mode, the actions that a run would take.
  returned: always
  type: list
  elements: str
  sample: [create user edu, create database edu]
"""

import contextlib
import os
import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.vise.platform.plugins.module_utils.host import leases
from ansible_collections.vise.platform.plugins.module_utils.postgresql import catalog, description, locales, objects

NAME: dict[str, t.Any] = {"type": "str", "required": True}
TEXT: dict[str, t.Any] = {"type": "str", "default": ""}
LIMIT: dict[str, t.Any] = {"type": "int", "default": -1}
STRINGS: dict[str, t.Any] = {"type": "list", "elements": "str", "default": []}
DATABASE = {
    "name": NAME,
    "owner": NAME,
    "read_write": STRINGS,
    "read_only": STRINGS,
    "extensions": STRINGS,
    "locale": TEXT,
    "locale_provider": {**TEXT, "choices": ["", *locales.PROVIDERS]},
    "encoding": TEXT,
    "template": TEXT,
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


def converge(
    desired: objects.DesiredState, connect: catalog.Connect, check_mode: bool, running: bool
) -> dict[str, t.Any]:
    """Read the current state, plan and apply; return the module's result with its warnings."""
    current = catalog.read_state(connect, desired) if running or not check_mode else objects.CurrentState()
    refuse_problems(desired, current)
    entry = [] if check_mode else objects.plan_entry(desired, current)
    if entry:
        catalog.execute_steps(connect, entry)
        current = catalog.read_state(connect, desired)
        refuse_problems(desired, current)
    steps = objects.plan(desired, current)
    if not check_mode:
        catalog.execute_steps(connect, steps)
    steps = [*entry, *steps]
    actions = [step.text for step in steps]
    return {"changed": bool(steps), "actions": actions, "warnings": objects.list_warnings(desired, current)}


def refuse_problems(desired: objects.DesiredState, current: objects.CurrentState) -> None:
    """Raise CatalogError when the server does not support the description."""
    problems = objects.find_problems(desired, current)
    if problems:
        raise catalog.CatalogError("\n".join(problems))


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    leases.keep_alive(module.check_mode)
    options = module.params
    problems = description.find_problems(options["databases"], options["users"])
    if problems:
        module.fail_json(msg="\n".join(problems))
    if catalog.IMPORT_ERROR and not module.check_mode:
        module.fail_json(msg=missing_required_lib("psycopg2"), exception=catalog.IMPORT_ERROR)
    running = not catalog.IMPORT_ERROR and os.path.exists(f"{options['socket']}/.s.PGSQL.{options['port']}")
    desired = objects.DesiredState(options["databases"], options["users"], options["extensions"], options["slots"])
    try:
        with contextlib.ExitStack() as stack:
            connect = catalog.make_connector(options["socket"], options["port"], stack)
            result = converge(desired, connect, module.check_mode, running)
    except catalog.CatalogError as error:
        module.fail_json(msg=f"PostgreSQL: {error}")
    for warning in result.pop("warnings"):
        module.warn(warning)
    if module._diff and result["actions"]:
        result["diff"] = {"prepared": "".join(f"> {action}\n" for action in result["actions"])}
    module.exit_json(**result)


if __name__ == "__main__":
    main()
