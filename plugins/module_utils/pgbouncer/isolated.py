# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An isolated PgBouncer, which clients cannot reach: it reads the files, and reports the state that they describe."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import time
import typing as t

from ..host import files, servers
from . import queries, state
from .settings import PgbouncerError, Settings

ACCOUNT = "postgres"
PATIENCE = 20  # seconds


def read_wanted_state(settings: Settings) -> state.State:
    """Return the state that the files describe; raises PgbouncerError when PgBouncer rejects them."""
    text = settings.read_config()
    with run_isolated(settings, text) as directory:
        isolated = queries.read_state(settings, directory)
    return state.describe_live(isolated, text, settings.config)


@contextlib.contextmanager
def run_isolated(settings: Settings, text: str) -> t.Iterator[str]:
    """Run PgBouncer with a configuration; yield the directory of its socket."""
    with tempfile.TemporaryDirectory(prefix="vise-pgbouncer-") as directory:
        config = os.path.join(directory, "pgbouncer.ini")
        override = f"{text}\nlisten_addr =\nunix_socket_dir = {directory}\n"
        files.create_file(config, override, owner=ACCOUNT, group=ACCOUNT)
        shutil.chown(directory, ACCOUNT, ACCOUNT)
        argv = ["pgbouncer", config]
        with servers.run_server(argv, user=ACCOUNT, groups=["ssl-cert"], directory=directory) as server:
            wait_for_socket(server, os.path.join(directory, f".s.PGSQL.{settings.port}"))
            yield directory


def wait_for_socket(server: servers.Server, path: str) -> None:
    """Wait until a new PgBouncer listens; a warning is an error, because PgBouncer has then ignored a setting."""
    deadline = time.monotonic() + PATIENCE
    while not (server.ended or os.path.exists(path)) and time.monotonic() < deadline:
        time.sleep(0.01)
    complaints = [line for line in server.output.splitlines() if re.search(" (ERROR|FATAL|WARNING) ", line)]
    if complaints or not os.path.exists(path):
        raise PgbouncerError("\n".join(complaints) or "PgBouncer does not start")
