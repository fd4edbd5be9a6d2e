"""Use PgBouncer as applications do: from another machine, over TLS.

Usage: outside.py pooling | open CONNINFO
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg2

CONNINFO = sys.argv[2]


def connect() -> Any:
    """Return a connection of the application, in which each statement is a transaction."""
    connection = psycopg2.connect(CONNINFO)
    connection.autocommit = True
    return connection


def query(connection: Any, text: str, *values: object) -> Any:
    """Return the first column of the first row."""
    with connection.cursor() as cursor:
        cursor.execute(text, values or None)
        return cursor.fetchone()[0]


def work(number: int) -> set[int]:
    """Work as one of many clients; return the server processes that worked for it."""
    connection, servers = connect(), set()
    for turn in range(20):
        pid, answer = query(
            connection, "SELECT (pg_backend_pid(), %s::int + count(pg_sleep(0.002)))::text", number * turn
        )[1:-1].split(",")
        assert int(answer) == number * turn + 1
        servers.add(int(pid))
    connection.close()
    return servers


def pooling() -> None:
    """Let 60 clients work at once; print how many connections to the server they shared."""
    with ThreadPoolExecutor(60) as pool:
        print(len(set().union(*pool.map(work, range(60)))))


def stay() -> None:
    """Open a connection, and use it again once /tmp/enough exists."""
    connection = connect()
    query(connection, "SELECT 1")
    Path("/tmp/opened").touch()
    end = time.monotonic() + 120
    while not Path("/tmp/enough").exists() and time.monotonic() < end:
        time.sleep(0.1)
    print(query(connection, "SELECT 2"))


if __name__ == "__main__":
    {"pooling": pooling, "open": stay}[sys.argv[1]]()
