# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run pgBackRest and PostgreSQL's programs as user postgres, and hide credentials in their output."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import time
import typing as t

from ..host import files, programs
from ..host.programs import Result
from ..postgresql import session

USER = "postgres"
ENVIRONMENT = {"PGCONNECT_TIMEOUT": "10", "PGAPPNAME": "vise"}
SECRET = re.compile(r"^repo\d+-(?:s3-key|s3-key-secret|s3-token|cipher-pass)\s*=\s*(\S.*?)\s*$", re.MULTILINE)
# pgBackRest's first line about an error that ends it.
VERDICT = b"ERROR: ["
GRACE = 5.0  # seconds after the verdict
DATA = re.compile(r"^pg1-path\s*=\s*(\S.*?)\s*$", re.MULTILINE)
QUERY_SECONDS = 600.0  # a query that takes longer has lost its server


def pgbackrest(config: str, stanza: str, *arguments: str) -> Result:
    """Run pgBackRest with a configuration file and a stanza; settings of the server do not end its session."""
    argv = ["pgbackrest", f"--config={config}", f"--stanza={stanza}", *arguments]
    run = run_to_verdict if "restore" in arguments else run_program
    return run(argv, hide=read_secrets(config), **session.build_environment(read_version(config)))


def psql(query: str, socket: str, port: int, version: str = "", seconds: float = QUERY_SECONDS) -> Result:
    """Run a query over the socket; the output has no header, and its columns are separated by tabs.

    With the server's major version, all of its settings that limit a session are overridden.
    """
    argv = ["psql", "-X", "-A", "-t", "-q", "-F", "\t", "-v", "ON_ERROR_STOP=1"]
    argv += ["-h", socket, "-p", str(port), "-d", "postgres", "-c", query]
    environment = {**ENVIRONMENT, **session.build_environment(version)}
    return programs.run(argv, user=USER, environment=environment, timeout=seconds)


def run_program(argv: t.Sequence[str], hide: t.Iterable[str] = (), **environment: str) -> Result:
    """Run a program as postgres, also when the caller is root, without the strings in `hide` in its output."""
    return programs.run(argv, user=USER, environment={**ENVIRONMENT, **environment}, hide=hide)


def run_to_verdict(argv: t.Sequence[str], hide: t.Iterable[str] = (), **environment: str) -> Result:
    """Run pgBackRest as postgres, and kill it when it has reported an error and does not end within some seconds.

    When `pgbackrest restore` cannot decompress an object, it waits a long time for its own dead process.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        settings = {**ENVIRONMENT, **environment}
        process = programs.start([*programs.END_WITH_PARENT, *argv], out=out, err=err, user=USER, environment=settings)
        try:
            _end_after_verdict(process, out.fileno())
        finally:
            # Also when this run is interrupted
            if process.poll() is None:
                _kill(process)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(programs.hide_secrets(file.read().decode("utf-8", "replace"), hide))
    return Result(process.returncode, *texts)


def _end_after_verdict(process: subprocess.Popen[bytes], out: int) -> None:
    printed_at = 0.0
    while process.poll() is None:
        time.sleep(0.1)
        if not printed_at and VERDICT in os.pread(out, 1 << 20, 0):
            printed_at = time.monotonic()
        if printed_at and time.monotonic() - printed_at > GRACE:
            _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def read_version(config: str) -> str:
    """Return the major version of the cluster in a pgBackRest configuration file; empty when it is unknown."""
    found = DATA.search(files.read_text(config))
    return session.read_version(found[1]) if found else ""


def read_secrets(path: str) -> list[str]:
    """Return the credentials in a pgBackRest configuration file."""
    with open(path, encoding="utf-8") as handle:
        return SECRET.findall(handle.read())
