# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What can be wrong with a description of databases, users and doors, found before anything is touched."""

from __future__ import annotations

import ipaddress
import re
import typing as t

Entry = t.Mapping[str, t.Any]
NAME = re.compile(r"[a-z_][a-z0-9_]{0,50}")  # leaves room for the groups' suffixes within PostgreSQL's 63
WORD = re.compile(r"[+/]?[A-Za-z0-9_.-]+")  # what stands in a rule, as pg_hba.conf has it
RESERVED = ("postgres", "public", "none", "template0", "template1", "current_user", "session_user")
READ_ONLY, READ_WRITE = "_read_only", "_read_write"


def problems(databases: t.Sequence[Entry], users: t.Sequence[Entry], rules: t.Sequence[Entry] = ()) -> list[str]:
    """Return one line for each thing that contradicts itself."""
    return [
        *_names([database["name"] for database in databases]),
        *_names([user["name"] for user in users]),
        *(line for database in databases for line in _database(database, {user["name"] for user in users})),
        *(line for user in users for line in _user(user)),
        *(line for rule in rules for line in _rule(rule)),
    ]


def _names(names: t.Sequence[str]) -> t.Iterator[str]:
    for name in dict.fromkeys(names):
        if names.count(name) > 1:
            yield f"{name} is described twice"
        if name in RESERVED or name.startswith("pg_"):
            yield f"{name} is not for applications"
        elif not NAME.fullmatch(name):
            yield f"{name}: small letters, digits and underscores make a name, at most 51 of them, no digit first"
        if name.endswith((READ_ONLY, READ_WRITE)):
            yield f"{name} is the name of a group that the role makes itself"


def _database(database: Entry, users: set[str]) -> t.Iterator[str]:
    name = database["name"]
    if database["owner"] not in users:
        yield f"{name}: the owner {database['owner']} is not described among the users"
    for member in [*(database.get("read_only") or []), *(database.get("read_write") or [])]:
        if member not in users:
            yield f"{name}: the reader or writer {member} is not described among the users"


def _user(user: Entry) -> t.Iterator[str]:
    name, password = user["name"], user.get("password") or ""
    if not password.isprintable() or not password.isascii():
        yield f"{name}: the password is of printable ASCII"
    if user.get("addresses") and not password:
        yield f"{name}: whoever comes over TCP needs a password"
    for role in user.get("roles") or []:
        if not role.startswith("pg_"):
            yield f"{name}: {role} is none of PostgreSQL's predefined roles"
    yield from _networks(name, user.get("addresses") or [])


def _rule(rule: Entry) -> t.Iterator[str]:
    kind, method, addresses = rule["type"], rule["method"], rule.get("addresses") or []
    where = f"rule {kind} {method}"
    if kind == "host" and method != "reject":
        yield f"{where}: host without TLS is for reject alone"
    if (kind == "local") == bool(addresses):
        yield f"{where}: local has no addresses" if addresses else f"{where}: needs addresses"
    if method == "peer" and kind != "local":
        yield f"{where}: peer is for local alone"
    if method == "cert" and kind != "hostssl":
        yield f"{where}: cert is for hostssl alone"
    for word in [*(rule.get("databases") or []), *(rule.get("users") or []), *(rule.get("options") or {}).values()]:
        if not WORD.fullmatch(str(word)):
            yield f"{where}: {word!r} is no name"
    yield from _networks(where, addresses)


def _networks(where: str, addresses: t.Sequence[str]) -> t.Iterator[str]:
    for address in addresses:
        try:
            ipaddress.ip_network(address)
        except ValueError as error:
            yield f"{where}: {error}"
        else:
            if "/" not in address:
                yield f"{where}: {address} needs its prefix length, as in {address}/32"
