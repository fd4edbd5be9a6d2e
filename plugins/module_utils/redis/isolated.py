# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An isolated Redis, which clients cannot reach and which leaves no files: it interprets configurations and dumps."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
import typing as t

from ..host import files, servers
from . import included, state
from .client import Client
from .settings import LoadingError, RedisError, Settings, UnreachableError

PATIENCE = 30  # seconds


def read_wanted_state(settings: Settings, certificate: bool = False) -> state.State:
    """Return the state that the files describe; with `certificate` Redis also loads the certificate.

    Raises:
        RedisError: Redis rejects the files or does not show what they contain, or the memory limit is more than the
            host has.
    """
    secret, text = included.read_secret(settings), settings.read_config()
    # Before Redis reads it: a renamed command could be one that reads the state.
    reject_unseen(text, state.read_literal_settings(text).keys() - state.UNSEEN.keys(), settings.run)
    with scratch_directory(settings, "/tmp") as directory:
        included.write_included(settings, directory, secret)
        private = text.replace(settings.run, directory)
        # Without a port Redis does not load its certificate, except for replication.
        private += "tls-replication yes\n" if certificate else ""
        with run_isolated(settings, directory, private, secret) as client:
            found = client.read_state()
    if int(found.settings["maxmemory"]) > included.read_host_memory():
        raise RedisError(f"redis_memory is {settings.memory}, more than the host has")
    reject_unseen(text, found.settings, settings.run)
    return state.describe_live(found, text)


def reject_unseen(text: str, shown: t.Container[str], run: str) -> None:
    """Raise RedisError for settings whose live value Redis does not show."""
    unseen = state.find_unseen(text, shown, run)
    if unseen:
        raise RedisError("\n".join(unseen))


@contextlib.contextmanager
def scratch_directory(settings: Settings, parent: str) -> t.Iterator[str]:
    """Yield a temporary directory that Redis can read, with the subdirectory `own`, which Redis will own.

    It is outside of the data directory: backup jobs can only read there, and Redis could replace the directory.
    """
    with tempfile.TemporaryDirectory(prefix=".vise-", dir=parent) as name:
        for directory in (name, os.path.join(name, "own")):
            included.make_directory(directory, settings.account)
        yield name


@contextlib.contextmanager
def run_isolated(
    settings: Settings, directory: str, text: str, secret: str, patience: float = PATIENCE
) -> t.Iterator[Client]:
    """Run Redis with a configuration in a scratch directory; yield a connection after it has loaded its data."""
    config, own = os.path.join(directory, "isolated.conf"), os.path.join(directory, "own")
    socket = os.path.join(own, "socket")
    overrides = ["port 0", "tls-port 0", f"unixsocket {socket}", "unixsocketperm 700", f"dir {own}", 'logfile ""']
    files.replace_file(config, "\n".join([text, *overrides, ""]), mode=0o640, group=settings.account)
    # Redis owns this directory from now on, so root must not touch files in it.
    shutil.chown(own, settings.account, settings.account)
    with servers.run_server(
        ["redis-server", config], user=settings.account, groups=[settings.key_readers], directory=own, umask=0o077
    ) as server:
        yield wait_until_loaded(server, socket, secret, patience)


def wait_until_loaded(server: servers.Server, path: str, secret: str, patience: float) -> Client:
    """Return a connection to a new Redis after it has loaded its data."""
    client: Client | None = None
    deadline = time.monotonic() + patience
    while True:
        if server.ended:
            raise RedisError(state.find_errors(server.output))
        with contextlib.suppress(LoadingError, UnreachableError):
            client = client or Client(path, secret)
            if client.read_info()["loading"] == 0:
                return client
        if time.monotonic() > deadline:
            raise RedisError(f"Redis does not answer after {patience:g} s")
        time.sleep(0.01)
