# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run a server for the time of a context, such as a private one that reads new configuration files."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import subprocess
import tempfile
import typing as t

from . import programs


@dataclasses.dataclass(frozen=True)
class Server:
    """A running server."""

    process: subprocess.Popen[bytes]
    log: int  # descriptor of the file that gets its output

    @property
    def ended(self) -> bool:
        """Whether it has stopped."""
        return self.process.poll() is not None

    @property
    def output(self) -> str:
        """Its standard output and standard error until now."""
        # With a position, because the server writes at the position that both processes share.
        return os.pread(self.log, os.fstat(self.log).st_size, 0).decode("utf-8", "replace")


@contextlib.contextmanager
def run_server(
    argv: t.Sequence[str], *, user: str, groups: t.Iterable[str] = (), directory: str = "/", umask: int = -1
) -> t.Iterator[Server]:
    """Start a server, and kill it at the end of the context: what it writes is not needed afterwards.

    Args:
        argv: the program and its arguments; it must stay in the foreground.
        user: name of the user that runs it; without the rights of root it stays the user of this process.
        groups: names of groups in addition to those of the user.
        directory: its working directory.
        umask: its umask; by default that of this process.

    Raises:
        KeyError: the user or a group does not exist on this host.
        OSError: the program does not exist.
    """
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env=programs.ENVIRONMENT,
            umask=umask,
            **programs.identity(user, groups),
        )
        try:
            yield Server(process, log.fileno())
        finally:
            process.kill()
            process.wait()
