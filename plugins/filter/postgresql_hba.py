# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Derive the lines of pg_hba.conf, which control how clients may connect."""

from __future__ import annotations

DOCUMENTATION = r"""
name: postgresql_hba
short_description: Derive the lines of pg_hba.conf from databases and users
version_added: 0.1.0
description:
  - Each user with C(addresses) may connect over TLS with SCRAM from these addresses. It may use the databases that name
    it as owner, reader or writer; a user with C(roles) may use all described databases. A user with C(replication) may
    only replicate and run pg_rewind.
  - Superusers may connect only through the socket; connections that no line names are rejected.
  - An inconsistent description is an error that lists each inconsistency.
positional: users, rules
options:
  _input:
    description: The databases, with C(name), C(owner), C(read_only) and C(read_write).
    type: list
    elements: dict
    required: true
  users:
    description: The users, with C(name), C(addresses), C(replication) and C(roles).
    type: list
    elements: dict
    required: true
  rules:
    description: Further lines - C(type), C(databases), C(users), C(addresses), C(method) and C(options).
    type: list
    elements: dict
    default: []
author:
  - vise.platform contributors (@vise-platform)
"""

EXAMPLES = r"""
- name: Show the lines for one user
  ansible.builtin.debug:
    msg: >-
      {{ [{'name': 'edu', 'owner': 'edu'}]
      | vise.platform.postgresql_hba([{'name': 'edu', 'addresses': ['192.0.2.0/24']}]) }}
"""

RETURN = r"""
_value:
  description: The lines in order; PostgreSQL uses the first line that matches.
  type: list
  elements: str
  sample: ['hostssl "edu" "edu" 192.0.2.0/24 scram-sha-256']
"""

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.vise.platform.plugins.module_utils.postgresql import description

Entry = t.Mapping[str, t.Any]

FIRST = ["local all postgres peer", "host all postgres all reject", "host replication postgres all reject"]
LAST = ["local all all scram-sha-256", "host all all all reject"]


def postgresql_hba(
    databases: t.Sequence[Entry], users: t.Sequence[Entry], rules: t.Sequence[Entry] | None = None
) -> list[str]:
    """Return the lines in order; raise AnsibleFilterError when the description is inconsistent."""
    problems = description.find_problems(databases, users, rules or [])
    if problems:
        raise AnsibleFilterError("\n".join(problems))
    described = [line for rule in rules or [] for line in _rule(rule)]
    derived = [line for user in users for line in _user(user, databases)]
    return [*FIRST, *described, *derived, *LAST]


def _user(user: Entry, databases: t.Sequence[Entry]) -> list[str]:
    # pg_rewind reads files through functions in the database postgres; the user has no other privileges there.
    own = ",".join(_quote(name) for name in list_databases(user, databases))
    allowed = "replication,postgres" if user.get("replication") else own
    if not allowed:
        return []
    name = _quote(user["name"])
    return [f"hostssl {allowed} {name} {address} scram-sha-256" for address in user.get("addresses") or []]


def list_databases(user: Entry, databases: t.Sequence[Entry]) -> list[str]:
    """Return the databases that a user may connect to; a user with a predefined role may connect to all."""
    name = user["name"]
    if user.get("roles"):
        return ["postgres", *(database["name"] for database in databases)]
    return [
        database["name"]
        for database in databases
        if name in (database["owner"], *(database.get("read_only") or []), *(database.get("read_write") or []))
    ]


def _rule(rule: Entry) -> t.Iterator[str]:
    head = [rule["type"], ",".join(rule.get("databases") or ["all"]), ",".join(rule.get("users") or ["all"])]
    tail = [rule["method"], *(f'{key}="{value}"' for key, value in (rule.get("options") or {}).items())]
    if rule["type"] == "local":
        yield " ".join([*head, *tail])
        return
    for address in rule.get("addresses") or []:
        yield " ".join([*head, address, *tail])


def _quote(name: str) -> str:
    # In quotes, `all` and `replication` are names without a special meaning.
    return '"' + name.replace('"', '""') + '"'


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filters by name."""
        return {"postgresql_hba": postgresql_hba}
