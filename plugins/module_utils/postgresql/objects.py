# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plan the changes of a cluster's users, databases and grants: pure functions from the two states to steps."""

from __future__ import annotations

import dataclasses
import typing as t

from . import extensions, locales, scram
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
OWNER_PRIVILEGES = frozenset({"CONNECT", "CREATE", "TEMPORARY"})
# Without one of these an owner cannot read its own data. Without another one it cannot change them, which an
# application may intend, for example for a table that only grows.
OWNER_READS = {"SCHEMA": frozenset({"USAGE"}), "TABLE": frozenset({"SELECT"}), "SEQUENCE": frozenset({"SELECT"})}
# Settings of a user or database with which its sessions cannot begin or write, or have other privileges.
HARMFUL_SETTINGS = (
    "default_transaction_read_only",
    "local_preload_libraries",
    "role",
    "session_authorization",
    "session_preload_libraries",
    "transaction_read_only",
)
# The connection limit of a database whose DROP DATABASE was interrupted
INVALID_LIMIT = -2
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
    inherit: bool = True
    valid_until: str = ""  # empty: without a limit


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
    # owner -> number of its objects
    owners: t.Mapping[str, int] = dataclasses.field(default_factory=dict)
    # (kind, schema, name) of an object of the database's owner -> privileges that were revoked from this owner
    withheld: t.Mapping[tuple[str, str, str], frozenset[str]] = dataclasses.field(default_factory=dict)


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
    owner_grants: frozenset[str] = OWNER_PRIVILEGES
    locale: locales.Locale = dataclasses.field(default_factory=locales.Locale)
    open: bool = True  # whether it permits connections


class Setting(t.NamedTuple):
    """A setting that ALTER ROLE or ALTER DATABASE stored; an empty role or database stands for all."""

    role: str
    database: str
    name: str

    @property
    def place(self) -> str:
        """The subject of the statement that changes it."""
        if not self.role and self.database:
            return f"DATABASE {quote_ident(self.database)}"
        inside = f" IN DATABASE {quote_ident(self.database)}" if self.database else ""
        return f"ROLE {quote_ident(self.role) if self.role else 'ALL'}{inside}"


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
    # Extensions that can be created, with those that they require; None when no server runs yet
    available: t.Mapping[str, frozenset[str]] | None = None
    rewinders: frozenset[str] = NOTHING  # users who may execute the functions in REWIND
    settings: frozenset[Setting] = frozenset()
    uninherited: frozenset[tuple[str, str]] = frozenset()  # of `members`, those whose members do not inherit
    # (kind, name, owner) of each database and tablespace
    holdings: frozenset[tuple[str, str, str]] = frozenset()
    missing_locales: frozenset[str] = NOTHING  # described locales of libc that the host does not have


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
    wanted = {MAINTENANCE: desired.extensions, **{one["name"]: one["extensions"] for one in desired.databases}}
    present = {name for kind, name, _owner in current.holdings if kind == "DATABASE"}
    roles = {"pg_monitor", *(name for name in current.roles if name.startswith("pg_"))}
    return [
        *(
            problem
            for name, listed in wanted.items()
            for problem in extensions.find_problems(
                name, listed, current.databases.get(name, Database()).content.extensions, current.available
            )
        ),
        *(
            f"{one['name']}: a DROP DATABASE was interrupted, and nobody can connect: complete it as postgres by "
            f'DROP DATABASE "{one["name"]}", then run again and restore its data from a backup'
            for one in desired.databases
            if current.databases.get(one["name"], Database()).limit == INVALID_LIMIT
        ),
        *(
            problem
            for one in desired.databases
            if one["name"] in current.databases
            for problem in locales.find_differences(one, current.databases[one["name"]].locale)
        ),
        *locales.find_missing(desired.databases, current.databases, current.missing_locales),
        *(
            f"{one['name']}: its template {one['template']} does not exist: create that database first"
            for one in desired.databases
            if one.get("template") and one["name"] not in current.databases and one["template"] not in present
        ),
        *(
            f"{user['name']}: PostgreSQL has no role {role}"
            for user in desired.users
            for role in user["roles"]
            if role not in roles
        ),
    ]


def plan_entry(desired: DesiredState, current: CurrentState) -> list[Step]:
    """Return the steps after which the content of each described database can be read."""
    closed = [one["name"] for one in desired.databases if not current.databases.get(one["name"], Database()).open]
    return [_open_database(name) for name in closed]


def list_warnings(desired: DesiredState, current: CurrentState) -> list[str]:
    """Return one message for each undescribed object that a person has to decide about."""
    return [
        *(_describe_slot(name) for name in sorted(current.slots.keys() - set(desired.slots))),
        *(_describe_setting(one) for one in _settings(desired, current) if one.name not in HARMFUL_SETTINGS),
        *(line for database in desired.databases for line in _foreign_objects(database, desired, current)),
        *(line for database in desired.databases for line in _withheld_privileges(database, current)),
    ]


def _describe_slot(name: str) -> str:
    advice = f"remove it by pg_drop_replication_slot('{name}')"
    return f"slot {name} retains WAL, but no described standby uses it: {advice}"


def _describe_setting(one: Setting) -> str:
    place = f"ALTER {one.place}"
    return f"{place} has set {one.name}, which is not described: keep it, or run {place} RESET {one.name}"


def _foreign_objects(database: t.Mapping[str, t.Any], desired: DesiredState, current: CurrentState) -> t.Iterator[str]:
    name, owner = database["name"], database["owner"]
    for holder, number in sorted(_content(database, current).owners.items()):
        if holder not in (owner, *_former_owners(database, desired, current)):
            yield (
                f"{name}: {number} objects belong to {holder}, and the owner {owner} may not be able to read them: "
                f"change their owner by ALTER ... OWNER TO {owner}"
            )


def _describe_place(kind: str, schema: str, name: str) -> str:
    return f"{kind} {quote_ident(schema) if kind == 'SCHEMA' else f'{quote_ident(schema)}.{quote_ident(name)}'}"


def _withheld_privileges(database: t.Mapping[str, t.Any], current: CurrentState) -> t.Iterator[str]:
    name, owner = database["name"], database["owner"]
    for place, privileges in sorted(_content(database, current).withheld.items()):
        kept = ", ".join(sorted(privileges - OWNER_READS[place[0]]))
        if kept:
            where = _describe_place(*place)
            grant = f"GRANT {kept} ON {where} TO {quote_ident(owner)}"
            yield f"{name}: the owner {owner} lacks {kept} on {where}: keep it, or run {grant} in database {name}"


def _owner_privileges(database: t.Mapping[str, t.Any], content: DatabaseContent) -> t.Iterator[Step]:
    """Yield the steps after which the owner can read its own objects again."""
    name, owner = database["name"], database["owner"]
    for place, privileges in sorted(content.withheld.items()):
        lost = ", ".join(sorted(privileges & OWNER_READS[place[0]]))
        if lost:
            where = _describe_place(*place)
            text = f"{name}: grant {lost} on {where} to its owner {owner}".replace('"', "")
            yield Step(text, f"GRANT {lost} ON {where} TO {quote_ident(owner)}", name)


def plan(desired: DesiredState, current: CurrentState) -> list[Step]:
    """Return the steps from the current to the desired state, in order."""
    steps = [
        *(step for user in desired.users for step in _user(user, current)),
        *(step for database in desired.databases for step in _groups(database["name"], current)),
        *_lock_users(desired, current),
        *_memberships(desired, current),
        *_rewind_privileges(desired, current),
        *_reset_settings(desired, current),
        *(step for name in desired.slots for step in _slot(name, current)),
        *(step for database in desired.databases for step in _database(database, current)),
    ]
    known = current.available or {}
    steps += _extensions(MAINTENANCE, desired.extensions, current.databases[MAINTENANCE].content, known)
    for database in desired.databases:
        content = _content(database, current)
        steps += _transfer_objects(database, desired, current)
        steps += _extensions(database["name"], database["extensions"], content, known)
        steps += _owner_privileges(database, content)
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
        "INHERIT": role.inherit,
    }
    words = [name if on else f"NO{name}" for name, on in switches.items()]
    password = quote_literal(role.verifier) if role.verifier else "NULL"
    until = quote_literal(role.valid_until or "infinity")
    return " ".join([*words, f"CONNECTION LIMIT {role.limit}", f"VALID UNTIL {until}", f"PASSWORD {password}"])


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
        {"verifier": "password", "valid_until": "valid until"}.get(field.name, field.name)
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
    for role, member in sorted(memberships & current.uninherited):
        grant = f"GRANT {quote_ident(role)} TO {quote_ident(member)} WITH INHERIT TRUE"
        yield Step(f"{member} inherits the privileges of {role}", grant)
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


def _settings(desired: DesiredState, current: CurrentState) -> list[Setting]:
    """Return the stored settings that described users and databases get."""
    users = {"", *(user["name"] for user in desired.users)}
    databases = {"", MAINTENANCE, *(database["name"] for database in desired.databases)}
    return [one for one in sorted(current.settings) if one.role in users and one.database in databases]


def _reset_settings(desired: DesiredState, current: CurrentState) -> t.Iterator[Step]:
    for one in _settings(desired, current):
        if one.name in HARMFUL_SETTINGS:
            text = f"reset {one.name} of {one.place}".replace('"', "")
            yield Step(text, f"ALTER {one.place} RESET {one.name}")


def _content(database: t.Mapping[str, t.Any], current: CurrentState) -> DatabaseContent:
    return current.databases.get(database["name"], Database()).content


def _former_owners(database: t.Mapping[str, t.Any], desired: DesiredState, current: CurrentState) -> list[str]:
    """Return the owners of objects in a database whose objects its described owner gets: those that owned it before."""
    described = {user["name"] for user in desired.users}
    existing = current.databases.get(database["name"], Database())

    def was_owner(name: str) -> bool:
        role = current.roles.get(name, Role())
        if role.superuser or name == database["owner"]:
            return False
        return name == existing.owner or (role.comment == MARK and name not in described)

    return [name for name in sorted(existing.content.owners) if was_owner(name)]


def _transfer_objects(
    database: t.Mapping[str, t.Any], desired: DesiredState, current: CurrentState
) -> t.Iterator[Step]:
    """Yield the steps that give the objects of former owners to the owner; one transaction for each database."""
    name, owner = database["name"], database["owner"]
    wanted = {one["name"]: one["owner"] for one in desired.databases}
    for former in _former_owners(database, desired, current):
        yield Step(
            f"{name}: the objects of {former} belong to {owner}",
            f"REASSIGN OWNED BY {quote_ident(former)} TO {quote_ident(owner)}",
            name,
        )
        # The statement also changes databases and tablespaces of the former owner.
        for kind, thing, holder in sorted(current.holdings):
            kept = holder == former and (kind != "DATABASE" or wanted.get(thing, former) == former)
            if kept:
                sql = f"ALTER {kind} {quote_ident(thing)} OWNER TO {quote_ident(former)}"
                yield Step(f"{former} keeps {kind.lower()} {thing}", sql, name)


def _slot(name: str, current: CurrentState) -> t.Iterator[Step]:
    slot = current.slots.get(name)
    if slot and slot.lost:
        yield Step(f"drop slot {name}, whose WAL is lost", f"SELECT pg_drop_replication_slot({quote_literal(name)})")
    if not slot or slot.lost:
        yield Step(f"create slot {name}", f"SELECT pg_create_physical_replication_slot({quote_literal(name)}, true)")


def _open_database(name: str) -> Step:
    return Step(f"{name}: permit connections", f"ALTER DATABASE {quote_ident(name)} ALLOW_CONNECTIONS true")


def _database(database: t.Mapping[str, t.Any], current: CurrentState) -> t.Iterator[Step]:
    name, owner, limit = database["name"], database["owner"], database["connection_limit"]
    existing = current.databases.get(name)
    if existing is None:
        yield Step(
            f"create database {name}",
            f"CREATE DATABASE {quote_ident(name)} OWNER {quote_ident(owner)}"
            + locales.write_clauses(database, quote_ident, quote_literal),
            autocommit=True,
        )
        existing = Database(owner)
    if not existing.open:
        yield _open_database(name)
    if existing.owner != owner:
        yield Step(f"{name}: owner {owner}", f"ALTER DATABASE {quote_ident(name)} OWNER TO {quote_ident(owner)}")
    if existing.limit != limit:
        yield Step(f"{name}: connection limit {limit}", f"ALTER DATABASE {quote_ident(name)} CONNECTION LIMIT {limit}")
    if existing.owner == owner and OWNER_PRIVILEGES - existing.owner_grants:
        grant = f"GRANT ALL ON DATABASE {quote_ident(name)} TO {quote_ident(owner)}"
        yield Step(f"{name}: grant the privileges of the owner {owner}", grant)
    if existing.grants.get("", NOTHING):
        yield Step(
            f"{name}: revoke the privileges of PUBLIC", f"REVOKE ALL ON DATABASE {quote_ident(name)} FROM PUBLIC"
        )
    for suffix, privileges in PRIVILEGES.items():
        held = existing.grants.get(name + suffix, NOTHING)
        yield from _grant(MAINTENANCE, name + suffix, f"DATABASE {quote_ident(name)}", held, privileges["DATABASE"])


def _extensions(
    database: str, names: t.Sequence[str], content: DatabaseContent, known: extensions.Requirements
) -> list[Step]:
    return [
        Step(
            f"{database}: create extension {name}",
            f"SET LOCAL search_path = public; CREATE EXTENSION {quote_ident(name)}",
            database,
        )
        for name in extensions.order_extensions(names, known)
        if name not in content.extensions
    ]


def _content_grants(database: t.Mapping[str, t.Any], content: DatabaseContent) -> t.Iterator[Step]:
    name = database["name"]
    everything = [*(("SCHEMA", schema, schema) for schema in content.schemas), *content.objects]
    for suffix, privileges in PRIVILEGES.items():
        group = name + suffix
        for kind, schema, thing in everything:
            held = content.grants.get((group, kind, schema, thing), NOTHING)
            yield from _grant(name, group, _describe_place(kind, schema, thing), held, privileges[kind])
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
