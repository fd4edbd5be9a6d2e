# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What has to be done to a cluster's users, databases and grants: pure functions from wanted and found to steps."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.vise.platform.plugins.module_utils.postgresql import scram
from ansible_collections.vise.platform.plugins.module_utils.postgresql.description import READ_ONLY, READ_WRITE

MARK = "managed by vise.platform"
MAINTENANCE = "postgres"
# What the members of a database's two groups may do, by kind of object.
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
# What pg_rewind calls on the primary; each reads below the data directory alone, as a base backup does.
REWIND = (
    "pg_ls_dir(text, boolean, boolean)",
    "pg_stat_file(text, boolean)",
    "pg_read_binary_file(text)",
    "pg_read_binary_file(text, bigint, bigint, boolean)",
)


@dataclasses.dataclass(frozen=True)
class Step:
    """One statement, where it runs, and what it does in words that hold no secret."""

    text: str
    sql: str
    database: str = MAINTENANCE
    alone: bool = False  # cannot run in a transaction


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
class Inside:
    """What is in one database."""

    extensions: frozenset[str] = NOTHING
    schemas: tuple[str, ...] = ("public",)
    # (kind, schema, name) of what the groups may use; a schema has its own name twice.
    objects: tuple[tuple[str, str, str], ...] = ()
    # (group, kind, schema, name) -> privileges
    grants: t.Mapping[tuple[str, str, str, str], frozenset[str]] = dataclasses.field(default_factory=dict)
    # (group, kind) -> privileges on what the owner will make
    defaults: t.Mapping[tuple[str, str], frozenset[str]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Database:
    """A database as the cluster sees it."""

    owner: str = ""
    limit: int = -1
    # Group, or nothing for everybody -> privileges
    grants: t.Mapping[str, frozenset[str]] = dataclasses.field(
        default_factory=lambda: {"": frozenset({"CONNECT", "TEMPORARY"})}
    )
    inside: Inside = dataclasses.field(default_factory=Inside)


@dataclasses.dataclass(frozen=True)
class Slot:
    """A physical replication slot."""

    lost: bool = False


@dataclasses.dataclass(frozen=True)
class Found:
    """What the cluster holds."""

    roles: t.Mapping[str, Role] = dataclasses.field(default_factory=dict)
    members: frozenset[tuple[str, str]] = frozenset()  # (role, member)
    databases: t.Mapping[str, Database] = dataclasses.field(default_factory=lambda: {MAINTENANCE: Database("postgres")})
    slots: t.Mapping[str, Slot] = dataclasses.field(default_factory=dict)
    available: frozenset[str] | None = None  # extensions that could be made; None before there is a server
    rewinders: frozenset[str] = NOTHING  # users who may fetch the files that pg_rewind wants


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What is described."""

    databases: t.Sequence[t.Mapping[str, t.Any]] = ()
    users: t.Sequence[t.Mapping[str, t.Any]] = ()
    extensions: t.Sequence[str] = ()  # of the maintenance database
    slots: t.Sequence[str] = ()


def ident(name: str) -> str:
    """Return a name as SQL takes it."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return a string as SQL takes it."""
    return "'" + text.replace("'", "''") + "'"


def problems(wanted: Wanted, found: Found) -> list[str]:
    """Return why the plan could not be carried out."""
    if found.available is None:
        return []
    asked = {*wanted.extensions, *(name for database in wanted.databases for name in database["extensions"])}
    known = {"pg_monitor", *(name for name in found.roles if name.startswith("pg_"))}
    return [
        *(f"there is no extension {name}: is its package installed?" for name in sorted(asked - found.available)),
        *(
            f"{user['name']}: PostgreSQL has no role {role}"
            for user in wanted.users
            for role in user["roles"]
            if role not in known
        ),
    ]


def warnings(wanted: Wanted, found: Found) -> list[str]:
    """Return what nobody described and nobody but a person should decide about."""
    return [
        f"slot {name} keeps WAL and belongs to no described standby: pg_drop_replication_slot('{name}') removes it"
        for name in sorted(found.slots.keys() - set(wanted.slots))
    ]


def plan(wanted: Wanted, found: Found) -> list[Step]:
    """Return the steps in order."""
    steps = [
        *(step for user in wanted.users for step in _user(user, found)),
        *(step for database in wanted.databases for step in _groups(database["name"], found)),
        *_locked(wanted, found),
        *_members(wanted, found),
        *_rewinders(wanted, found),
        *(step for name in wanted.slots for step in _slot(name, found)),
        *(step for database in wanted.databases for step in _database(database, found)),
    ]
    steps += _extensions(MAINTENANCE, wanted.extensions, found.databases[MAINTENANCE].inside)
    for database in wanted.databases:
        inside = found.databases.get(database["name"], Database()).inside
        steps += _extensions(database["name"], database["extensions"], inside)
        steps += _inside(database, inside)
    return steps


def role_of(user: t.Mapping[str, t.Any], kept: Role) -> Role:
    """Return what a described user should be; a verifier that fits the password stays."""
    password, verifier = user["password"], ""
    if password:
        verifier = kept.verifier if scram.matches(kept.verifier, password) else scram.verifier(password)
    return Role(
        login=True,
        replication=user["replication"],
        limit=user["connection_limit"],
        verifier=verifier,
        comment=MARK,
    )


def attributes(role: Role) -> str:
    """Return a role's attributes as SQL takes them."""
    switches = {
        "LOGIN": role.login,
        "SUPERUSER": role.superuser,
        "CREATEDB": role.createdb,
        "CREATEROLE": role.createrole,
        "REPLICATION": role.replication,
        "BYPASSRLS": role.bypassrls,
    }
    words = [name if on else f"NO{name}" for name, on in switches.items()]
    password = literal(role.verifier) if role.verifier else "NULL"
    return " ".join([*words, f"CONNECTION LIMIT {role.limit}", f"PASSWORD {password}"])


def _user(user: t.Mapping[str, t.Any], found: Found) -> t.Iterator[Step]:
    return _role("user", user["name"], role_of(user, found.roles.get(user["name"], Role())), found)


def _groups(database: str, found: Found) -> t.Iterator[Step]:
    for suffix in PRIVILEGES:
        yield from _role("group", database + suffix, Role(comment=MARK), found)


def _role(kind: str, name: str, wanted: Role, found: Found) -> t.Iterator[Step]:
    kept = found.roles.get(name)
    if kept is None:
        yield Step(f"create {kind} {name}", f"CREATE ROLE {ident(name)} {attributes(wanted)}")
        kept = dataclasses.replace(wanted, comment="")
    differs = [
        "password" if field.name == "verifier" else field.name
        for field in dataclasses.fields(Role)
        if field.name != "comment" and getattr(kept, field.name) != getattr(wanted, field.name)
    ]
    if differs:
        yield Step(f"{kind} {name}: set {', '.join(differs)}", f"ALTER ROLE {ident(name)} {attributes(wanted)}")
    if kept.comment != MARK:
        yield Step(f"mark {kind} {name} as managed", f"COMMENT ON ROLE {ident(name)} IS {literal(MARK)}")


def _locked(wanted: Wanted, found: Found) -> t.Iterator[Step]:
    described = {user["name"] for user in wanted.users}
    for name, role in sorted(found.roles.items()):
        if role.comment == MARK and role.login and name not in described:
            yield Step(f"lock user {name}", f"ALTER ROLE {ident(name)} NOLOGIN")
            yield Step(
                f"end the sessions of {name}",
                f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = {literal(name)}",  # noqa: S608
            )


def _members(wanted: Wanted, found: Found) -> t.Iterator[Step]:
    described = {user["name"] for user in wanted.users}
    groups = {database["name"] + suffix for database in wanted.databases for suffix in PRIVILEGES}
    pairs = {(role, user["name"]) for user in wanted.users for role in user["roles"]}
    for database in wanted.databases:
        pairs |= {(database["name"] + READ_ONLY, name) for name in database["read_only"]}
        pairs |= {(database["name"] + READ_WRITE, name) for name in database["read_write"]}
    ours = {(role, member) for role, member in found.members if role in groups or member in described}
    for role, member in sorted(ours - pairs):
        yield Step(f"take {member} out of {role}", f"REVOKE {ident(role)} FROM {ident(member)}")
    for role, member in sorted(pairs - ours):
        yield Step(f"put {member} into {role}", f"GRANT {ident(role)} TO {ident(member)}")


def _rewinders(wanted: Wanted, found: Found) -> t.Iterator[Step]:
    functions = ", ".join(f"pg_catalog.{function}" for function in REWIND)
    followers = {user["name"] for user in wanted.users if user["replication"]}
    ours = {name for name in found.rewinders if found.roles.get(name, Role()).comment == MARK}
    for name in sorted(followers - found.rewinders):
        yield Step(f"let {name} rewind", f"GRANT EXECUTE ON FUNCTION {functions} TO {ident(name)}")
    for name in sorted(ours - followers):
        yield Step(f"let {name} rewind no more", f"REVOKE EXECUTE ON FUNCTION {functions} FROM {ident(name)}")


def _slot(name: str, found: Found) -> t.Iterator[Step]:
    slot = found.slots.get(name)
    if slot and slot.lost:
        yield Step(f"drop slot {name}, whose WAL is gone", f"SELECT pg_drop_replication_slot({literal(name)})")
    if not slot or slot.lost:
        yield Step(f"create slot {name}", f"SELECT pg_create_physical_replication_slot({literal(name)}, true)")


def _database(database: t.Mapping[str, t.Any], found: Found) -> t.Iterator[Step]:
    name, owner, limit = database["name"], database["owner"], database["connection_limit"]
    kept = found.databases.get(name)
    if kept is None:
        yield Step(f"create database {name}", f"CREATE DATABASE {ident(name)} OWNER {ident(owner)}", alone=True)
        kept = Database(owner)
    if kept.owner != owner:
        yield Step(f"{name}: owner {owner}", f"ALTER DATABASE {ident(name)} OWNER TO {ident(owner)}")
    if kept.limit != limit:
        yield Step(f"{name}: connection limit {limit}", f"ALTER DATABASE {ident(name)} CONNECTION LIMIT {limit}")
    if kept.grants.get("", NOTHING):
        yield Step(f"{name}: take everybody's rights", f"REVOKE ALL ON DATABASE {ident(name)} FROM PUBLIC")
    for suffix, privileges in PRIVILEGES.items():
        held = kept.grants.get(name + suffix, NOTHING)
        yield from _grant(MAINTENANCE, name + suffix, f"DATABASE {ident(name)}", held, privileges["DATABASE"])


def _extensions(database: str, names: t.Sequence[str], inside: Inside) -> list[Step]:
    return [
        Step(
            f"{database}: create extension {name}",
            f"SET LOCAL search_path = public; CREATE EXTENSION {ident(name)}",
            database,
        )
        for name in names
        if name not in inside.extensions
    ]


def _inside(database: t.Mapping[str, t.Any], inside: Inside) -> t.Iterator[Step]:
    name = database["name"]
    everything = [*(("SCHEMA", schema, schema) for schema in inside.schemas), *inside.objects]
    for suffix, privileges in PRIVILEGES.items():
        group = name + suffix
        for kind, schema, thing in everything:
            held = inside.grants.get((group, kind, schema, thing), NOTHING)
            where = ident(schema) if kind == "SCHEMA" else f"{ident(schema)}.{ident(thing)}"
            yield from _grant(name, group, f"{kind} {where}", held, privileges[kind])
        for kind in ("SCHEMA", "TABLE", "SEQUENCE"):
            held = inside.defaults.get((group, kind), NOTHING)
            owner = f"ALTER DEFAULT PRIVILEGES FOR ROLE {ident(database['owner'])}"
            yield from _grant(name, group, f"{kind}S", held, privileges[kind], owner)


def _grant(
    database: str, group: str, what: str, held: frozenset[str], wanted: frozenset[str], prefix: str = ""
) -> t.Iterator[Step]:
    place = f"{database}: " if database != MAINTENANCE else ""
    future = " that the owner will make" if prefix else ""
    for word, joint, privileges in (("REVOKE", "FROM", held - wanted), ("GRANT", "TO", wanted - held)):
        if privileges:
            listed = ", ".join(sorted(privileges))
            text = f"{place}{word.lower()} {listed} on {what}{future} {joint.lower()} {group}".replace('"', "")
            yield Step(text, f"{prefix} {word} {listed} ON {what} {joint} {ident(group)}".strip(), database)
