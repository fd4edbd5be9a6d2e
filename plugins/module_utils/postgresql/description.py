# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Validate a description of databases, users and pg_hba.conf rules before anything is changed."""

from __future__ import annotations

import ipaddress
import re
import typing as t

from ..model import names
from . import locales

Entry = t.Mapping[str, t.Any]
WORD = re.compile(r"[+/]?[A-Za-z0-9_.-]+")  # a field of a pg_hba.conf rule
READ_ONLY, READ_WRITE = "_read_only", "_read_write"


def find_problems(databases: t.Sequence[Entry], users: t.Sequence[Entry], rules: t.Sequence[Entry] = ()) -> list[str]:
    """Return one message for each error in the description."""
    invalid = [
        *names.list_option_problems("postgresql_databases", databases),
        *names.list_option_problems("postgresql_users", users),
    ]
    return invalid or [
        *_duplicates([database["name"] for database in databases]),
        *_duplicates([user["name"] for user in users]),
        *(line for database in databases for line in _database(database, {user["name"] for user in users})),
        *(line for user in users for line in _user(user)),
        *(line for rule in rules for line in _rule(rule)),
    ]


def _duplicates(found: t.Sequence[str]) -> t.Iterator[str]:
    yield from (f"{name} is listed twice" for name in dict.fromkeys(found) if found.count(name) > 1)


def _database(database: Entry, users: set[str]) -> t.Iterator[str]:
    name = database["name"]
    yield from locales.find_contradictions(database)
    if database["owner"] not in users:
        yield f"{name}: the owner {database['owner']} is not in the list of users"
    for member in [*(database.get("read_only") or []), *(database.get("read_write") or [])]:
        if member not in users:
            yield f"{name}: the reader or writer {member} is not in the list of users"


def _user(user: Entry) -> t.Iterator[str]:
    name, password = user["name"], user.get("password") or ""
    if not password.isprintable() or not password.isascii():
        yield f"{name}: the password must be printable ASCII"
    if user.get("addresses") and not password:
        yield f"{name}: a user with addresses needs a password"
    for role in user.get("roles") or []:
        if not role.startswith("pg_"):
            yield f"{name}: {role} is not a predefined role of PostgreSQL (pg_...)"
    yield from _networks(name, user.get("addresses") or [])


def _rule(rule: Entry) -> t.Iterator[str]:
    kind, method, addresses = rule["type"], rule["method"], rule.get("addresses") or []
    where = f"rule {kind} {method}"
    if kind == "host" and method != "reject":
        yield f"{where}: type host (without TLS) is only allowed with method reject"
    if (kind == "local") == bool(addresses):
        yield f"{where}: type local takes no addresses" if addresses else f"{where}: addresses are missing"
    if method == "peer" and kind != "local":
        yield f"{where}: method peer is only allowed with type local"
    if method == "cert" and kind != "hostssl":
        yield f"{where}: method cert is only allowed with type hostssl"
    for word in [*(rule.get("databases") or []), *(rule.get("users") or []), *(rule.get("options") or {}).values()]:
        if not WORD.fullmatch(str(word)):
            yield f"{where}: {word!r} is not a valid name"
    yield from _networks(where, addresses)


def _networks(where: str, addresses: t.Sequence[str]) -> t.Iterator[str]:
    for address in addresses:
        try:
            ipaddress.ip_network(address)
        except ValueError as error:
            yield f"{where}: {error}"
        else:
            if "/" not in address:
                yield f"{where}: {address} needs a prefix length, as in {address}/32"
