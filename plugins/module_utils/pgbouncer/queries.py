# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Queries to the console of PgBouncer and to PostgreSQL, over their Unix sockets."""

from __future__ import annotations

from ..host import programs
from ..postgresql import session
from . import state
from .settings import PgbouncerError, Settings

ENVIRONMENT = {"HOME": "/", "PGCONNECT_TIMEOUT": "10"}


# psql reads the text line by line.
UNLIMITED = f"{session.REMOVE_NEWER_LIMITS} \\g /dev/null\n"


def run_query(text: str, directory: str, port: int, database: str, *options: str, session_options: str = "") -> str:
    """Return the output of a query to the server whose socket is in a directory, as its superuser."""
    address = ["-h", directory, "-p", str(port), "-U", "postgres", "-d", database]
    argv = ["psql", "-X", "-q", "-w", "-v", "ON_ERROR_STOP=1", *address, *options]
    result = programs.run(argv, user="postgres", stdin=text, environment={**ENVIRONMENT, "PGOPTIONS": session_options})
    if result.failed:
        raise PgbouncerError(result.err.strip())
    return result.out


def query_postgresql(settings: Settings, text: str) -> str:
    """Return one value from PostgreSQL on this host, whatever the limits of its sessions are; empty without a row."""
    address = (settings.server_host, settings.server_port, "postgres")
    out = run_query(UNLIMITED + text, *address, "-A", "-t", session_options=session.build_options(""))
    return out.removesuffix("\n")


def query_console(settings: Settings, text: str, directory: str = "") -> str:
    """Return the answer of a console as CSV: that of the live instance, or of one whose socket is in a directory."""
    return run_query(text, directory or settings.socket_directory, settings.port, "pgbouncer", "--csv")


def read_state(settings: Settings, directory: str = "") -> state.State:
    """Return the state of the live instance, or of one whose socket is in a directory."""
    named = state.read_section(settings.read_config(), "users")
    return state.parse_answer(query_console(settings, state.QUERY, directory), named)
