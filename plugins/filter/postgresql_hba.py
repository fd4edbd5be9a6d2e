# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who may come in by which door: the lines of pg_hba.conf."""

from __future__ import annotations

DOCUMENTATION = r"""
name: postgresql_hba
short_description: Derive the lines of pg_hba.conf from databases and users
version_added: 0.1.0
description:
  - Each user with C(addresses) comes in over TLS with SCRAM, from those addresses, to the databases that name the user
    as owner, reader or writer, or to all of the described ones with C(roles). One with C(replication) may only
    replicate.
  - Superusers come in by the socket alone; what no line names is refused.
  - A description that contradicts itself is an error that names each contradiction.
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
- name: Show who may come in
  ansible.builtin.debug:
    msg: >-
      {{ [{'name': 'edu', 'owner': 'edu'}]
      | vise.platform.postgresql_hba([{'name': 'edu', 'addresses': ['192.0.2.0/24']}]) }}
"""

RETURN = r"""
_value:
  description: The lines in order; the first that matches decides.
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
    """Return the lines in order; raises where the description contradicts itself."""
    wrong = description.problems(databases, users, rules or [])
    if wrong:
        raise AnsibleFilterError("\n".join(wrong))
    given = [line for rule in rules or [] for line in _rule(rule)]
    derived = [line for user in users for line in _user(user, databases)]
    return [*FIRST, *given, *derived, *LAST]


def _user(user: Entry, databases: t.Sequence[Entry]) -> list[str]:
    # pg_rewind fetches files by functions of a database, in which the user may do nothing else.
    named = ",".join(_quoted(name) for name in reach(user, databases))
    places = "replication,postgres" if user.get("replication") else named
    if not places:
        return []
    name = _quoted(user["name"])
    return [f"hostssl {places} {name} {address} scram-sha-256" for address in user.get("addresses") or []]


def reach(user: Entry, databases: t.Sequence[Entry]) -> list[str]:
    """Return the databases that a user has to do with; who has a role of the server has to do with all."""
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


def _quoted(name: str) -> str:
    # Quoted, `all` or `replication` is a name like any other.
    return '"' + name.replace('"', '""') + '"'


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filters by name."""
        return {"postgresql_hba": postgresql_hba}
