# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run pgBackRest and PostgreSQL's programs as user postgres, and hide credentials in their output."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pwd
import re
import signal
import subprocess
import tempfile
import time
import typing as t

USER = "postgres"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SECRET = re.compile(r"^repo\d+-(?:s3-key|s3-key-secret|s3-token|cipher-pass)\s*=\s*(\S.*?)\s*$", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Result:
    """Exit status and output of a program."""

    status: int
    out: str  # standard output
    text: str  # standard output and standard error

    @property
    def failed(self) -> bool:
        """Whether the exit status is not 0."""
        return self.status != 0


@contextlib.contextmanager
def as_postgres() -> t.Iterator[None]:
    """Switch root to the rights of postgres, because directories of postgres may contain links to any file."""
    if os.geteuid():
        yield
        return
    user, groups = pwd.getpwnam(USER), os.getgroups()
    os.setgroups([])
    os.setegid(user.pw_gid)
    os.seteuid(user.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


def become_postgres() -> None:
    """Switch root permanently to user postgres."""
    if os.geteuid() == 0:
        user = pwd.getpwnam(USER)
        os.setgroups([])
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)


def run(argv: t.Sequence[str], hide: t.Iterable[str] = (), verdict: str = "") -> Result:
    """Run a program as postgres, also when the caller is root.

    It is not run by a shell or su, because these would outlive a time limit. The strings in `hide` are removed from the
    output. A program that has printed `verdict` and then does not end within 5 s is killed: when `pgbackrest restore`
    cannot decompress an object, it waits a long time for its own dead process.
    """
    identity: dict[str, t.Any] = {"user": USER, "group": USER, "extra_groups": []} if os.geteuid() == 0 else {}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            cwd="/",
            env={"PATH": PATH, "LC_ALL": "C.UTF-8", "PGCONNECT_TIMEOUT": "10", "PGAPPNAME": "vise"},
            start_new_session=bool(verdict),
            **identity,
        )
        if verdict:
            _end_after(process, out, verdict)
        status = process.wait()
        out.seek(0)
        err.seek(0)
        output, errors = (hide_secrets(part.read().decode("utf-8", "replace"), hide) for part in (out, err))
    return Result(status, output, f"{output}\n{errors}".strip())


def _end_after(process: subprocess.Popen[bytes], out: t.IO[bytes], verdict: str, grace: float = 5.0) -> None:
    printed_at = 0.0
    while process.poll() is None:
        time.sleep(0.1)
        if not printed_at and verdict.encode() in os.pread(out.fileno(), 1 << 20, 0):
            printed_at = time.monotonic()
        if printed_at and time.monotonic() - printed_at > grace:
            os.killpg(process.pid, signal.SIGKILL)
            return


def hide_secrets(text: str, hide: t.Iterable[str]) -> str:
    """Return the text with each secret replaced by "(hidden)"."""
    for secret in sorted(hide, key=len, reverse=True):
        text = text.replace(secret, "(hidden)")
    return text


def read_secrets(path: str) -> list[str]:
    """Return the credentials in a pgBackRest configuration file."""
    with open(path, encoding="utf-8") as handle:
        return SECRET.findall(handle.read())


def pgbackrest(config: str, stanza: str, *arguments: str) -> Result:
    """Run pgBackRest with a configuration file and a stanza."""
    argv = ["pgbackrest", f"--config={config}", f"--stanza={stanza}", *arguments]
    return run(argv, hide=read_secrets(config), verdict="ERROR: [" if "restore" in arguments else "")


def psql(query: str, socket: str, port: int, database: str = "postgres") -> Result:
    """Run a query over the socket; the output has no header, and its columns are separated by tabs."""
    argv = ["psql", "-X", "-A", "-t", "-q", "-F", "\t", "-v", "ON_ERROR_STOP=1"]
    return run([*argv, "-h", socket, "-p", str(port), "-d", database, "-c", query])
