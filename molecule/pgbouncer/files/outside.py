"""Meet PgBouncer as applications do: from another machine, over TLS.

Usage: outside.py access | pooling | open | leaf, with ADDRESS and HOST in the environment.
"""

# ruff: noqa: S106  # the passwords of a test
from __future__ import annotations

import os
import socket
import ssl
import struct
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg2

CA = "/etc/vise/tls/internal/ca.pem"


def connect(**changes: Any) -> Any:
    """Return a connection of the application's, in which each statement is a transaction."""
    options = {
        "host": os.environ["HOST"],
        "hostaddr": os.environ["ADDRESS"],
        "port": 6432,
        "dbname": "edu",
        "user": "edu",
        "password": "canary-edu-password-1",
        "sslmode": "verify-full",
        "sslrootcert": CA,
        "connect_timeout": 10,
    }
    connection = psycopg2.connect(**{**options, **changes})
    connection.autocommit = True
    return connection


def ask(connection: Any, text: str, *values: object) -> Any:
    """Return the first column of the first row."""
    with connection.cursor() as cursor:
        cursor.execute(text, values or None)
        return cursor.fetchone()[0]


def refused(says: str, **changes: Any) -> None:
    """Expect that a connection is refused, with the reason."""
    try:
        connect(**changes)
    except psycopg2.OperationalError as error:
        assert says in str(error), error
    else:
        raise AssertionError(f"{changes} came in")


def access() -> None:
    """Let in who should be, and nobody else."""
    connection = connect()
    assert connection.info.ssl_attribute("protocol") == "TLSv1.3"
    assert ask(connection, "SELECT current_user") == "edu"
    refused("SASL authentication failed", password="wrong")
    refused("no such user", user="nobody")
    refused("SSL required", sslmode="disable")
    refused("certificate verify failed", sslrootcert="/etc/ssl/certs/ca-certificates.crt")
    for database in ("postgres", "pgbouncer", "other"):
        for user in ("edu", "postgres", "pgbouncer"):
            refused("FATAL", dbname=database, user=user, password="canary-pgbouncer-password")
    refused("FATAL", user="postgres", password="")
    refused("FATAL", user="pgbouncer", password="canary-pgbouncer-password", dbname="postgres")


def one_client(number: int) -> set[int]:
    """Work as one of many; return the server processes that worked for it."""
    connection, servers = connect(), set()
    for turn in range(20):
        pid, answer = ask(
            connection, "SELECT (pg_backend_pid(), %s::int + count(pg_sleep(0.002)))::text", number * turn
        )[1:-1].split(",")
        assert int(answer) == number * turn + 1
        servers.add(int(pid))
    connection.close()
    return servers


def pooling() -> None:
    """Share few connections to the server between many clients."""
    with ThreadPoolExecutor(60) as pool:
        found = list(pool.map(one_client, range(60)))
    servers = set().union(*found)
    assert 1 <= len(servers) <= 3, servers
    print(f"60 clients, {len(servers)} connections to the server")


def stay() -> None:
    """Keep a connection open, tell so, and use it again once told."""
    connection = connect()
    ask(connection, "SELECT 1")
    print("open", flush=True)
    sys.stdin.readline()
    print("still", ask(connection, "SELECT 2"))


def leaf() -> None:
    """Show the certificate that is served."""
    context = ssl.create_default_context(cafile=CA)
    with socket.create_connection((os.environ["ADDRESS"], 6432), 10) as plain:
        plain.sendall(struct.pack("!ii", 8, 80877103))
        assert plain.recv(1) == b"S"
        with context.wrap_socket(plain, server_hostname=os.environ["HOST"]) as secure:
            print((secure.getpeercert() or {})["serialNumber"])


if __name__ == "__main__":
    {"access": access, "pooling": pooling, "open": stay, "leaf": leaf}[sys.argv[1]]()
