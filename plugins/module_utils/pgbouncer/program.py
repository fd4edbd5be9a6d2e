# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Query and change the PgBouncer of this host.

PgBouncer itself interprets its files: an isolated instance without clients reads them, and its state is compared with
the state of the live instance.
"""

from __future__ import annotations

import inspect
import socket
import struct
import sys
import typing as t

from ..host import certificates, programs
from . import isolated, limits, lookup, queries, state
from .settings import PgbouncerError, Settings

USAGE = """usage: vise-pgbouncer verify          check that the live state is the state in the files
       vise-pgbouncer apply           make the files live, with a restart only where PgBouncer requires it
       vise-pgbouncer check           check that PgBouncer accepts the files
       vise-pgbouncer console QUERY   run a query such as "SHOW POOLS" in the live console"""
UNIT = "pgbouncer.service"
# PostgreSQL's message that asks for TLS.
SSL_REQUEST = struct.pack("!ii", 8, 80877103)


def check(settings: Settings) -> None:
    """Raise when PgBouncer rejects the files, or when the host does not permit what they need."""
    limits.check_limit(settings)
    isolated.read_wanted_state(settings)
    lookup.check_user(settings)


def verify(settings: Settings) -> None:
    """Raise when the live state differs from the state in the files; print the live generation."""
    wanted, live = isolated.read_wanted_state(settings), queries.read_state(settings)
    differences = state.find_differences(wanted, live)
    if differences:
        raise PgbouncerError(f"the live state differs from the files in {', '.join(differences)}")
    limits.verify_limit(settings)
    lookup.verify_grant(settings)
    address = live.settings["listen_addr"].split(",")[0]
    served = certificates.read_served(address, settings.port, request_tls)
    if served != certificates.read_first(live.settings["client_tls_cert_file"]):
        raise PgbouncerError("the certificate that clients get is not the certificate on disk")
    print(live.settings["syslog_ident"])


def request_tls(connection: socket.socket) -> None:
    """Begin TLS as clients of PostgreSQL do."""
    connection.sendall(SSL_REQUEST)
    if connection.recv(1) != b"S":
        raise PgbouncerError("PgBouncer does not offer TLS")


def apply(settings: Settings) -> None:
    """Make the files live."""
    lookup.grant(settings)
    if programs.run(["systemctl", "is-active", UNIT]).out.strip() == "inactive":
        return  # the next start reads the files
    try:
        queries.query_console(settings, "RELOAD")
        restart = bool(state.find_differences(isolated.read_wanted_state(settings), queries.read_state(settings)))
    except PgbouncerError:
        restart = True
    if restart:
        restart_unit()


def restart_unit() -> None:
    """Restart PgBouncer, also after failed starts."""
    programs.run(["systemctl", "reset-failed", UNIT])
    result = programs.run(["systemctl", "restart", UNIT])
    if result.failed:
        raise PgbouncerError(f"PgBouncer does not start: {result.err.strip()}; see journalctl -u {UNIT}")


def console(settings: Settings, query: str) -> None:
    """Print the answer of the live console."""
    print(queries.query_console(settings, query), end="")


COMMANDS: dict[str, t.Callable[..., None]] = {"apply": apply, "check": check, "console": console, "verify": verify}


def main(arguments: t.Sequence[str]) -> int:
    """Run one of the commands."""
    name, operands = arguments[0] if arguments else "", arguments[1:]
    if name not in COMMANDS or len(operands) != len(inspect.signature(COMMANDS[name]).parameters) - 1:
        print(USAGE, file=sys.stderr)
        return 2
    try:
        COMMANDS[name](Settings.load(), *operands)
    except (OSError, ValueError, PgbouncerError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0
