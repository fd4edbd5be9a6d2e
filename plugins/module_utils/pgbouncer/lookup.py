# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The function of PostgreSQL from which PgBouncer gets password verifiers."""

from __future__ import annotations

from .queries import query_postgresql
from .settings import PgbouncerError, Settings

# Superusers and users with replication rights cannot connect through the pool.
LOOKUP = """
  SELECT rolname::text, rolpassword FROM pg_catalog.pg_authid
  WHERE rolname = who AND rolcanlogin AND NOT rolsuper AND NOT rolreplication
    AND (rolvaliduntil IS NULL OR rolvaliduntil > pg_catalog.now())
"""
# The lock is for two runs at the same time: one of them would fail to create what the other one creates.
GRANT = """
BEGIN;
SELECT pg_advisory_xact_lock(6432);
CREATE SCHEMA IF NOT EXISTS pgbouncer;
CREATE OR REPLACE FUNCTION pgbouncer.lookup(who text) RETURNS TABLE (name text, secret text)
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $${lookup}$$;
REVOKE ALL ON SCHEMA pgbouncer FROM PUBLIC;
REVOKE ALL ON FUNCTION pgbouncer.lookup(text) FROM PUBLIC;
GRANT USAGE ON SCHEMA pgbouncer TO "{user}";
GRANT EXECUTE ON FUNCTION pgbouncer.lookup(text) TO "{user}";
COMMIT;
"""
GRANT_CHECK = """
SELECT p.prosrc FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname = 'pgbouncer' AND p.proname = 'lookup' AND p.prosecdef
  AND has_function_privilege('{user}', p.oid, 'execute') AND has_schema_privilege('{user}', n.oid, 'usage')
  AND NOT EXISTS (SELECT FROM aclexplode(p.proacl) WHERE grantee = 0)
"""
USER_CHECK = "SELECT 1 FROM pg_roles WHERE rolname = '{user}' AND rolcanlogin AND NOT rolsuper"


def check_user(settings: Settings) -> None:
    """Raise when PostgreSQL on this host has no suitable user for PgBouncer."""
    user = settings.auth_user
    if settings.server_is_local and not query_postgresql(settings, USER_CHECK.format(user=user)):
        raise PgbouncerError(f"PostgreSQL has no user {user} that can log in and is not a superuser")


def grant(settings: Settings) -> None:
    """Create the function on a primary on this host; a standby replicates it from its primary."""
    if settings.server_is_local and query_postgresql(settings, "SELECT pg_is_in_recovery()") == "f":
        query_postgresql(settings, GRANT.format(lookup=LOOKUP, user=settings.auth_user))


def verify_grant(settings: Settings) -> None:
    """Raise when the function on this host or its privileges differ from those of the role."""
    check = GRANT_CHECK.format(user=settings.auth_user)
    if settings.server_is_local and query_postgresql(settings, check) != LOOKUP:
        raise PgbouncerError("the function pgbouncer.lookup or its privileges differ from those of the role")
