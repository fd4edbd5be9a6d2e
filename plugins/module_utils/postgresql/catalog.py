# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read the objects of a running cluster and run the statements that change them: all functions query the server."""

from __future__ import annotations

import contextlib
import itertools
import locale
import os
import pwd
import traceback
import typing as t

from ansible_collections.vise.platform.plugins.module_utils.host import clients
from ansible_collections.vise.platform.plugins.module_utils.postgresql import session
from ansible_collections.vise.platform.plugins.module_utils.postgresql.locales import Locale
from ansible_collections.vise.platform.plugins.module_utils.postgresql.objects import (
    INVALID_LIMIT,
    MAINTENANCE,
    PRIVILEGES,
    REWIND,
    CurrentState,
    Database,
    DatabaseContent,
    DesiredState,
    Role,
    Setting,
    Slot,
    Step,
)

try:
    import psycopg2  # type: ignore[import-not-found,import-untyped,unused-ignore]

    IMPORT_ERROR = ""
except ImportError:
    psycopg2 = None
    IMPORT_ERROR = traceback.format_exc()

Connect = t.Callable[[str], t.Any]

# Statements contain verifiers, therefore nothing is logged. The archive guard may set the cluster to read-only.
OPTIONS = (
    "-c log_statement=none -c log_min_duration_statement=-1 -c log_min_error_statement=panic "
    "-c pg_stat_statements.track_utility=off -c default_transaction_read_only=off "
)
ROLES = """
    SELECT rolname, rolcanlogin, rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls, rolconnlimit,
      coalesce(rolpassword, ''), coalesce(shobj_description(oid, 'pg_authid'), ''), rolinherit,
      coalesce(nullif(rolvaliduntil, 'infinity')::text, '')
    FROM pg_authid
"""
# The option per membership exists since PostgreSQL 16.
MEMBERS = """
    SELECT role.rolname, member.rolname, coalesce((to_jsonb(m) ->> 'inherit_option')::boolean, true)
    FROM pg_auth_members AS m
    JOIN pg_roles AS role ON role.oid = m.roleid JOIN pg_roles AS member ON member.oid = m.member
"""
DATABASES = """
    SELECT d.datname, owner.rolname, d.datconnlimit, coalesce(grantee.rolname, ''), acl.privilege_type, d.datallowconn,
      d.datlocprovider::text, d.datcollate, d.datctype,
      coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale', ''), pg_encoding_to_char(d.encoding)
    FROM pg_database AS d
    JOIN pg_roles AS owner ON owner.oid = d.datdba
    LEFT JOIN aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) AS acl ON true
    LEFT JOIN pg_roles AS grantee ON grantee.oid = acl.grantee
"""
SETTINGS = """
    SELECT coalesce(r.rolname, ''), coalesce(d.datname, ''), split_part(setting, '=', 1)
    FROM pg_db_role_setting AS s CROSS JOIN unnest(s.setconfig) AS setting
    LEFT JOIN pg_roles AS r ON r.oid = s.setrole LEFT JOIN pg_database AS d ON d.oid = s.setdatabase
"""
HOLDINGS = """
    SELECT 'DATABASE', datname, pg_get_userbyid(datdba) FROM pg_database
    UNION ALL SELECT 'TABLESPACE', spcname, pg_get_userbyid(spcowner) FROM pg_tablespace
"""
# Only the names that the default version requires, from the control file of the extension
AVAILABLE = """
    SELECT name, coalesce(v.requires::text[], '{}') FROM pg_available_extensions AS a
    LEFT JOIN pg_available_extension_versions AS v USING (name)
    WHERE v.version IS NULL OR v.version = a.default_version
"""
SLOTS = """
    SELECT slot_name, wal_status IS NOT DISTINCT FROM 'lost' FROM pg_replication_slots
    WHERE slot_type = 'physical' AND NOT temporary
"""
REWINDERS = """
    SELECT rolname FROM pg_roles CROSS JOIN regexp_split_to_table(%s, ';') AS function
    WHERE NOT rolsuper AND rolname !~ '^pg_'
    GROUP BY rolname HAVING bool_and(has_function_privilege(rolname, function, 'EXECUTE'))
"""
SCHEMAS = """
    SELECT nspname FROM pg_namespace
    WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
      AND NOT EXISTS (SELECT FROM pg_depend AS d
        WHERE d.classid = 'pg_namespace'::regclass AND d.objid = pg_namespace.oid AND d.deptype = 'e')
"""
# Objects of an extension are excluded: the extension manages their privileges.
OBJECTS = f"""
    SELECT CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, nspname, relname, g.rolname, acl.privilege_type
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    LEFT JOIN aclexplode(c.relacl) AS acl ON true
    LEFT JOIN pg_roles AS g ON g.oid = acl.grantee
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND n.nspname IN ({SCHEMAS})
      AND NOT EXISTS (SELECT FROM pg_depend AS d
        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
"""  # noqa: S608  # a constant of this file
# pg_shdepend does not record what belongs to the superuser of the cluster; of this, the tables are listed.
OWNERS = f"""
    SELECT pg_get_userbyid(refobjid), count(*)::int FROM pg_shdepend
    WHERE deptype = 'o' AND classid <> 'pg_default_acl'::regclass
      AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
    GROUP BY 1
    UNION ALL
    SELECT pg_get_userbyid(c.relowner), count(*)::int
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.relowner = 10 AND n.nspname IN ({SCHEMAS})
      AND NOT EXISTS (SELECT FROM pg_depend AS d
        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('e', 'a', 'i'))
    GROUP BY 1
"""  # noqa: S608  # a constant of this file
# What PostgreSQL gives to an owner by default, and this one does not have.
WITHHELD = f"""
    SELECT kind, schema, name, d.privilege_type
    FROM (
      SELECT CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, nspname, relname, relowner, relacl,
        CASE relkind WHEN 'S' THEN 's'::"char" ELSE 'r'::"char" END
      FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
      WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
      UNION ALL SELECT 'SCHEMA', nspname, nspname, nspowner, nspacl, 'n'::"char" FROM pg_namespace
    ) AS object (kind, schema, name, owner, acl, type)
    CROSS JOIN aclexplode(acldefault(type, owner)) AS d
    WHERE acl IS NOT NULL AND owner = %s::regrole AND d.grantee = owner AND schema IN ({SCHEMAS})
      AND NOT EXISTS (SELECT FROM aclexplode(acl) AS a
        WHERE a.grantee = owner AND a.privilege_type = d.privilege_type)
"""  # noqa: S608  # a constant of this file
SCHEMA_GRANTS = """
    SELECT nspname, g.rolname, acl.privilege_type
    FROM pg_namespace AS n CROSS JOIN aclexplode(n.nspacl) AS acl JOIN pg_roles AS g ON g.oid = acl.grantee
"""
DEFAULTS = """
    SELECT CASE defaclobjtype WHEN 'r' THEN 'TABLE' WHEN 'S' THEN 'SEQUENCE' ELSE 'SCHEMA' END, g.rolname,
      acl.privilege_type
    FROM pg_default_acl CROSS JOIN aclexplode(defaclacl) AS acl JOIN pg_roles AS g ON g.oid = acl.grantee
    WHERE defaclnamespace = 0 AND defaclobjtype IN ('r', 'S', 'n') AND defaclrole = %s::regrole
"""


class CatalogError(Exception):
    """A query or statement that the server refused; the message is for the operator."""


def make_connector(socket: str, port: int, stack: contextlib.ExitStack) -> Connect:
    """Return a function that connects to a database as user postgres through the socket, once per database."""
    connections: dict[str, t.Any] = {}
    options = OPTIONS + session.build_options("")

    def connect(database: str) -> t.Any:
        if database not in connections:
            try:
                with _as_postgres(), clients.clean_environment():
                    connection = psycopg2.connect(
                        host=socket, port=port, dbname=database, user="postgres", connect_timeout=10, options=options
                    )
            except (psycopg2.Error, KeyError) as error:
                raise CatalogError(f"database {database}: {error}".strip()) from error
            stack.callback(connection.close)
            _fetch_rows(connection, session.REMOVE_NEWER_LIMITS)
            connection.commit()
            connections[database] = connection
        return connections[database]

    return connect


@contextlib.contextmanager
def _as_postgres() -> t.Iterator[None]:
    """Switch the effective user to postgres, which the server authenticates through the socket (peer)."""
    previous = os.geteuid()
    os.seteuid(pwd.getpwnam("postgres").pw_uid)
    try:
        yield
    finally:
        os.seteuid(previous)


def read_state(connect: Connect, desired: DesiredState) -> CurrentState:
    """Return the current state of the described objects."""
    rows = _fetch_rows(connect(MAINTENANCE), ROLES)
    databases = _fetch_rows(connect(MAINTENANCE), DATABASES)
    present = {row[0] for row in databases}
    closed = {row[0] for row in databases if not row[5] or row[2] == INVALID_LIMIT}
    members = _fetch_rows(connect(MAINTENANCE), MEMBERS)
    owners = {MAINTENANCE: "postgres", **{d["name"]: d["owner"] for d in desired.databases if d["name"] in present}}
    roles = {row[0]: Role(*row[1:]) for row in rows}
    return CurrentState(
        roles,
        frozenset((role, member) for role, member, _inherits in members),
        {
            name: _read_database(
                name,
                databases,
                DatabaseContent()
                if name in closed
                else _read_content(connect(name), name, owner if owner in roles else ""),
            )
            for name, owner in owners.items()
        },
        {name: Slot(lost) for name, lost in _fetch_rows(connect(MAINTENANCE), SLOTS)},
        {name: frozenset(requires) for name, requires in _fetch_rows(connect(MAINTENANCE), AVAILABLE)},
        frozenset(name for (name,) in _fetch_rows(connect(MAINTENANCE), REWINDERS, ";".join(REWIND))),
        frozenset(Setting(*row) for row in _fetch_rows(connect(MAINTENANCE), SETTINGS)),
        # Two roles can have granted the same membership; one that is inherited is enough.
        frozenset((r, m) for r, m, inherits in members if not inherits)
        - {(r, m) for r, m, inherits in members if inherits},
        frozenset(tuple(row) for row in _fetch_rows(connect(MAINTENANCE), HOLDINGS)),
        frozenset(name for one in desired.databases if (name := one.get("locale")) and not is_locale(name)),
    )


def is_locale(name: str) -> bool:
    """Return whether the C library of this host has a locale; PostgreSQL uses the same library."""
    previous = locale.setlocale(locale.LC_COLLATE)
    try:
        locale.setlocale(locale.LC_COLLATE, name)
    except locale.Error:
        return False
    finally:
        locale.setlocale(locale.LC_COLLATE, previous)
    return True


def _read_database(name: str, rows: t.Iterable[t.Sequence[t.Any]], content: DatabaseContent) -> Database:
    own = [row for row in rows if row[0] == name]
    owner = own[0][1]
    grants = _group_values((row[3], row[4]) for row in own if row[4] and row[3] != owner)
    of_owner = frozenset(row[4] for row in own if row[3] == owner)
    return Database(owner, own[0][2], grants, content, of_owner, Locale(*own[0][6:]), own[0][5])


def _read_content(connection: t.Any, name: str, owner: str) -> DatabaseContent:
    extensions = frozenset(row[0] for row in _fetch_rows(connection, "SELECT extname FROM pg_extension"))
    if name == MAINTENANCE:
        return DatabaseContent(extensions)
    groups = {name + suffix for suffix in PRIVILEGES}
    objects = _fetch_rows(connection, OBJECTS)
    grants = [((row[3], *row[:3]), row[4]) for row in objects if row[3] in groups]
    grants += [((g, "SCHEMA", n, n), p) for n, g, p in _fetch_rows(connection, SCHEMA_GRANTS) if g in groups]
    defaults = _fetch_rows(connection, DEFAULTS, f'"{owner}"') if owner else []
    withheld = _fetch_rows(connection, WITHHELD, f'"{owner}"') if owner else []
    return DatabaseContent(
        extensions,
        tuple(sorted(row[0] for row in _fetch_rows(connection, SCHEMAS))),
        tuple(sorted({tuple(row[:3]) for row in objects})),
        _group_values(grants),
        _group_values(((group, kind), privilege) for kind, group, privilege in defaults if group in groups),
        dict(_fetch_rows(connection, OWNERS)),
        _group_values((tuple(row[:3]), row[3]) for row in withheld),
    )


def _group_values(pairs: t.Iterable[tuple[t.Any, str]]) -> dict[t.Any, frozenset[str]]:
    grouped: dict[t.Any, set[str]] = {}
    for key, value in pairs:
        grouped.setdefault(key, set()).add(value)
    return {key: frozenset(values) for key, values in grouped.items()}


def _fetch_rows(connection: t.Any, query: str, *parameters: str) -> list[t.Any]:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters or None)
        return list(cursor.fetchall())


def execute_steps(connect: Connect, steps: t.Iterable[Step]) -> None:
    """Run the steps; consecutive steps in one database share a transaction."""
    for (database, autocommit), group in itertools.groupby(steps, key=lambda step: (step.database, step.autocommit)):
        connection = connect(database)
        connection.rollback()
        connection.autocommit = autocommit
        for step in group:
            try:
                with connection.cursor() as cursor:
                    cursor.execute(step.sql)
            except psycopg2.Error as error:
                raise CatalogError(f"{step.text}: {error.diag.message_primary}") from error
        if not autocommit:
            connection.commit()
        connection.autocommit = False
