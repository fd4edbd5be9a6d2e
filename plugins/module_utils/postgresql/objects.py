# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plan the changes of a cluster's users, databases and grants: pure functions from the two states to steps."""

from __future__ import annotations

import dataclasses
import typing as t

from . import scram
from .description import READ_ONLY, READ_WRITE

MARK = "managed by vise.platform"
MAINTENANCE = "postgres"
# Privileges of the members of a database's two groups, by kind of object.
PRIVILEGES: dict[str, dict[str, frozenset[str]]] = {
    READ_ONLY: {
        "DATABASE": frozenset({"CONNECT"}),
        "SCHEMA": frozenset({"USAGE"}),
        "TABLE": frozenset({"SELECT"}),
        "SEQUENCE": frozenset({"SELECT"}),
    },
    READ_WRITE: {
        "DATABASE": frozenset({"CONNECT", "TEMPORARY"}),
        "SCHEMA": frozenset({"USAGE"}),
        "TABLE": frozenset({"DELETE", "INSERT", "SELECT", "UPDATE"}),
        "SEQUENCE": frozenset({"SELECT", "UPDATE", "USAGE"}),
    },
}
NOTHING: frozenset[str] = frozenset()
# Functions that pg_rewind calls on the primary; each reads only files in the data directory, as a base backup does.
REWIND = (
    "pg_ls_dir(text, boolean, boolean)",
    "pg_stat_file(text, boolean)",
    "pg_read_binary_file(text)",
    "pg_read_binary_file(text, bigint, bigint, boolean)",
)


@dataclasses.dataclass(frozen=True)
class Step:
    """One SQL statement, its database, and a description for the operator that contains no secret."""

    text: str
    sql: str
    database: str = MAINTENANCE
    autocommit: bool = False  # the statement cannot run in a transaction


@dataclasses.dataclass(frozen=True)
class Role:
    """A user or a group."""

    login: bool = False
    superuser: bool = False
    createdb: bool = False
    createrole: bool = False
    replication: bool = False
    bypassrls: bool = False
    limit: int = -1
    verifier: str = ""
    comment: str = ""


@dataclasses.dataclass(frozen=True)
class DatabaseContent:
    """Extensions, schemas, objects and privileges in one database."""

    extensions: frozenset[str] = NOTHING
    schemas: tuple[str, ...] = ("public",)
    # (kind, schema, name) of each table and sequence
    objects: tuple[tuple[str, str, str], ...] = ()
    # (group, kind, schema, name) -> privileges; for kind SCHEMA, name is the schema's name again
    grants: t.Mapping[tuple[str, str, str, str], frozenset[str]] = dataclasses.field(default_factory=dict)
    # (group, kind) -> default privileges on the owner's future objects
    defaults: t.Mapping[tuple[str, str], frozenset[str]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Database:
    """A database with its owner, limit, privileges and content."""

    owner: str = ""
    limit: int = -1
    # group -> privileges; the empty name is PUBLIC
    grants: t.Mapping[str, frozenset[str]] = dataclasses.field(
        default_factory=lambda: {"": frozenset({"CONNECT", "TEMPORARY"})}
    )
    content: DatabaseContent = dataclasses.field(default_factory=DatabaseContent)


@dataclasses.dataclass(frozen=True)
class Slot:
    """A physical replication slot."""

    lost: bool = False


@dataclasses.dataclass(frozen=True)
class CurrentState:
    """Current state of the cluster."""

    roles: t.Mapping[str, Role] = dataclasses.field(default_factory=dict)
    members: frozenset[tuple[str, str]] = frozenset()  # (role, member)
    databases: t.Mapping[str, Database] = dataclasses.field(default_factory=lambda: {MAINTENANCE: Database("postgres")})
    slots: t.Mapping[str, Slot] = dataclasses.field(default_factory=dict)
    available: frozenset[str] | None = None  # extensions that can be created; None when no server runs yet
    rewinders: frozenset[str] = NOTHING  # users who may execute the functions in REWIND


@dataclasses.dataclass(frozen=True)
class DesiredState:
    """Desired state of the cluster, from the module's options."""

    databases: t.Sequence[t.Mapping[str, t.Any]] = ()
    users: t.Sequence[t.Mapping[str, t.Any]] = ()
    extensions: t.Sequence[str] = ()  # of the maintenance database
    slots: t.Sequence[str] = ()


def quote_ident(name: str) -> str:
    """Quote a name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def quote_literal(text: str) -> str:
    """Quote a string as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def find_problems(desired: DesiredState, current: CurrentState) -> list[str]:
    """Return one message for each described object that the server does not support."""
    if current.available is None:
        return []
    extensions = {*desired.extensions, *(name for database in desired.databases for name in database["extensions"])}
    roles = {"pg_monitor", *(name for name in current.roles if name.startswith("pg_"))}
    return [
        *(f"extension {name} is not available: install its package" for name in sorted(extensions - current.available)),
        *(
            f"{user['name']}: PostgreSQL has no role {role}"
            for user in desired.users
            for role in user["roles"]
            if role not in roles
        ),
    ]


def list_warnings(desired: DesiredState, current: CurrentState) -> list[str]:
    """Return one message for each undescribed object that a person has to decide about."""
    return [
        f"slot {name} retains WAL, but no described standby uses it: remove it by pg_drop_replication_slot('{name}')"
        for name in sorted(current.slots.keys() - set(desired.slots))
    ]


def plan(desired: DesiredState, current: CurrentState) -> list[Step]:
    """Return the steps from the current to the desired state, in order."""
    steps = [
        *(step for user in desired.users for step in _user(user, current)),
        *(step for database in desired.databases for step in _groups(database["name"], current)),
        *_lock_users(desired, current),
        *_memberships(desired, current),
        *_rewind_privileges(desired, current),
        *(step for name in desired.slots for step in _slot(name, current)),
        *(step for database in desired.databases for step in _database(database, current)),
    ]
    steps += _extensions(MAINTENANCE, desired.extensions, current.databases[MAINTENANCE].content)
    for database in desired.databases:
        content = current.databases.get(database["name"], Database()).content
        steps += _extensions(database["name"], database["extensions"], content)
        steps += _content_grants(database, content)
    return steps


def build_role(user: t.Mapping[str, t.Any], stored: Role) -> Role:
    """Return the desired role of a described user; a stored verifier that belongs to the password is kept."""
    password, verifier = user["password"], ""
    if password:
        verifier = stored.verifier if scram.matches(stored.verifier, password) else scram.verifier(password)
    return Role(
        login=True,
        replication=user["replication"],
        limit=user["connection_limit"],
        verifier=verifier,
        comment=MARK,
    )


def format_attributes(role: Role) -> str:
    """Return a role's attributes as SQL for CREATE ROLE and ALTER ROLE."""
    switches = {
        "LOGIN": role.login,
        "SUPERUSER": role.superuser,
        "CREATEDB": role.createdb,
        "CREATEROLE": role.createrole,
        "REPLICATION": role.replication,
        "BYPASSRLS": role.bypassrls,
    }
    words = [name if on else f"NO{name}" for name, on in switches.items()]
    password = quote_literal(role.verifier) if role.verifier else "NULL"
    return " ".join([*words, f"CONNECTION LIMIT {role.limit}", f"PASSWORD {password}"])


def _user(user: t.Mapping[str, t.Any], current: CurrentState) -> t.Iterator[Step]:
    return _role("user", user["name"], build_role(user, current.roles.get(user["name"], Role())), current)


def _groups(database: str, current: CurrentState) -> t.Iterator[Step]:
    for suffix in PRIVILEGES:
        yield from _role("group", database + suffix, Role(comment=MARK), current)


def _role(kind: str, name: str, desired: Role, current: CurrentState) -> t.Iterator[Step]:
    existing = current.roles.get(name)
    if existing is None:
        yield Step(f"create {kind} {name}", f"CREATE ROLE {quote_ident(name)} {format_attributes(desired)}")
        existing = dataclasses.replace(desired, comment="")
    differs = [
        "password" if field.name == "verifier" else field.name
        for field in dataclasses.fields(Role)
        if field.name != "comment" and getattr(existing, field.name) != getattr(desired, field.name)
    ]
    if differs:
        yield Step(
            f"{kind} {name}: set {', '.join(differs)}", f"ALTER ROLE {quote_ident(name)} {format_attributes(desired)}"
        )
    if existing.comment != MARK:
        yield Step(f"mark {kind} {name} as managed", f"COMMENT ON ROLE {quote_ident(name)} IS {quote_literal(MARK)}")


def _lock_users(desired: DesiredState, current: CurrentState) -> t.Iterator[Step]:
    described = {user["name"] for user in desired.users}
    for name, role in sorted(current.roles.items()):
        if role.comment == MARK and role.login and name not in described:
            yield Step(f"lock user {name}", f"ALTER ROLE {quote_ident(name)} NOLOGIN")
            yield Step(
                f"end the sessions of {name}",
                f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = {quote_literal(name)}",  # noqa: S608
            )


def _memberships(desired: DesiredState, current: CurrentState) -> t.Iterator[Step]:
    described = {user["name"] for user in desired.users}
    groups = {database["name"] + suffix for database in desired.databases for suffix in PRIVILEGES}
    memberships = {(role, user["name"]) for user in desired.users for role in user["roles"]}
    for database in desired.databases:
        memberships |= {(database["name"] + READ_ONLY, name) for name in database["read_only"]}
        memberships |= {(database["name"] + READ_WRITE, name) for name in database["read_write"]}
    managed = {(role, member) for role, member in current.members if role in groups or member in described}
    for role, member in sorted(managed - memberships):
        yield Step(f"remove {member} from {role}", f"REVOKE {quote_ident(role)} FROM {quote_ident(member)}")
    for role, member in sorted(memberships - managed):
        yield Step(f"add {member} to {role}", f"GRANT {quote_ident(role)} TO {quote_ident(member)}")


def _rewind_privileges(desired: DesiredState, current: CurrentState) -> t.Iterator[Step]:
    functions = ", ".join(f"pg_catalog.{function}" for function in REWIND)
    followers = {user["name"] for user in desired.users if user["replication"]}
    managed = {name for name in current.rewinders if current.roles.get(name, Role()).comment == MARK}
    for name in sorted(followers - current.rewinders):
        yield Step(f"allow pg_rewind for {name}", f"GRANT EXECUTE ON FUNCTION {functions} TO {quote_ident(name)}")
    for name in sorted(managed - followers):
        yield Step(f"forbid pg_rewind for {name}", f"REVOKE EXECUTE ON FUNCTION {functions} FROM {quote_ident(name)}")


def _slot(name: str, current: CurrentState) -> t.Iterator[Step]:
    slot = current.slots.get(name)
    if slot and slot.lost:
        yield Step(f"drop slot {name}, whose WAL is lost", f"SELECT pg_drop_replication_slot({quote_literal(name)})")
    if not slot or slot.lost:
        yield Step(f"create slot {name}", f"SELECT pg_create_physical_replication_slot({quote_literal(name)}, true)")


def _database(database: t.Mapping[str, t.Any], current: CurrentState) -> t.Iterator[Step]:
    name, owner, limit = database["name"], database["owner"], database["connection_limit"]
    existing = current.databases.get(name)
    if existing is None:
        yield Step(
            f"create database {name}",
            f"CREATE DATABASE {quote_ident(name)} OWNER {quote_ident(owner)}",
            autocommit=True,
        )
        existing = Database(owner)
    if existing.owner != owner:
        yield Step(f"{name}: owner {owner}", f"ALTER DATABASE {quote_ident(name)} OWNER TO {quote_ident(owner)}")
    if existing.limit != limit:
        yield Step(f"{name}: connection limit {limit}", f"ALTER DATABASE {quote_ident(name)} CONNECTION LIMIT {limit}")
    if existing.grants.get("", NOTHING):
        yield Step(
            f"{name}: revoke the privileges of PUBLIC", f"REVOKE ALL ON DATABASE {quote_ident(name)} FROM PUBLIC"
        )
    for suffix, privileges in PRIVILEGES.items():
        held = existing.grants.get(name + suffix, NOTHING)
        yield from _grant(MAINTENANCE, name + suffix, f"DATABASE {quote_ident(name)}", held, privileges["DATABASE"])


def _extensions(database: str, names: t.Sequence[str], content: DatabaseContent) -> list[Step]:
    return [
        Step(
            f"{database}: create extension {name}",
            f"SET LOCAL search_path = public; CREATE EXTENSION {quote_ident(name)}",
            database,
        )
        for name in names
        if name not in content.extensions
    ]


def _content_grants(database: t.Mapping[str, t.Any], content: DatabaseContent) -> t.Iterator[Step]:
    name = database["name"]
    everything = [*(("SCHEMA", schema, schema) for schema in content.schemas), *content.objects]
    for suffix, privileges in PRIVILEGES.items():
        group = name + suffix
        for kind, schema, thing in everything:
            held = content.grants.get((group, kind, schema, thing), NOTHING)
            where = quote_ident(schema) if kind == "SCHEMA" else f"{quote_ident(schema)}.{quote_ident(thing)}"
            yield from _grant(name, group, f"{kind} {where}", held, privileges[kind])
        for kind in ("SCHEMA", "TABLE", "SEQUENCE"):
            held = content.defaults.get((group, kind), NOTHING)
            owner = f"ALTER DEFAULT PRIVILEGES FOR ROLE {quote_ident(database['owner'])}"
            yield from _grant(name, group, f"{kind}S", held, privileges[kind], owner)


def _grant(
    database: str, group: str, target: str, held: frozenset[str], desired: frozenset[str], prefix: str = ""
) -> t.Iterator[Step]:
    place = f"{database}: " if database != MAINTENANCE else ""
    future = " that the owner will create" if prefix else ""
    for word, joint, privileges in (("REVOKE", "FROM", held - desired), ("GRANT", "TO", desired - held)):
        if privileges:
            listed = ", ".join(sorted(privileges))
            text = f"{place}{word.lower()} {listed} on {target}{future} {joint.lower()} {group}".replace('"', "")
            yield Step(text, f"{prefix} {word} {listed} ON {target} {joint} {quote_ident(group)}".strip(), database)
