"""Queries to PostgreSQL: by its superuser on the host, and by a user from another machine."""

from __future__ import annotations

from testinfra.backend.base import CommandResult
from testinfra.host import Host

from tests import machines

TLS = "sslmode=verify-full sslrootcert=/etc/vise/tls/internal/ca.pem"
READY = "/var/lib/postgresql/17/main/pg_wal/archive_status/*.ready"


def query(host: Host, *statements: str, database: str = "postgres") -> str:
    """Return the output of statements of the superuser; they must succeed."""
    options = " ".join("-c %s" for _statement in statements)
    command = f"cd / && runuser -u postgres -- psql -XAtq -v ON_ERROR_STOP=1 -d %s {options}"
    return str(host.check_output(command, database, *statements))


def login(
    machine: Host, conninfo: str, password: str, statement: str = "SELECT 1", options: str = TLS
) -> CommandResult:
    """Log in from a machine and run a statement, whatever the result is."""
    command = "PGPASSWORD=%s psql -XAtw %s -c %s"
    return machine.run(command, password, f"connect_timeout=5 {options} {conninfo}", statement)


def wait_until_archived(host: Host, seconds: float = 60) -> None:
    """Wait until no WAL waits for the archive."""
    assert machines.eventually(lambda: host.run(f"ls {READY}").rc != 0, seconds)
