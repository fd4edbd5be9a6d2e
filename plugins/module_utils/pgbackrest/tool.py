# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run pgBackRest and PostgreSQL's programs as their user, and keep credentials out of what they say."""

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
class Answer:
    """What a program answered."""

    status: int
    out: str
    text: str  # both of its outputs

    @property
    def failed(self) -> bool:
        """Whether it says so itself."""
        return self.status != 0


@contextlib.contextmanager
def as_postgres() -> t.Iterator[None]:
    """Have no more rights than postgres, whose directories may hold links to anybody's files; for root alone."""
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
    """Be postgres for good, where the caller is root."""
    if os.geteuid() == 0:
        user = pwd.getpwnam(USER)
        os.setgroups([])
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)


def run(argv: t.Sequence[str], hide: t.Iterable[str] = (), verdict: str = "") -> Answer:
    """Run a program as postgres, also when the caller is root; never by a shell or su, which outlive a time limit.

    With a verdict, a program that has said it and then does not end is ended: after an object that it cannot
    decompress, `pgbackrest restore` waits long for a process of its own that is dead.
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
        said, complained = (scrub(part.read().decode("utf-8", "replace"), hide) for part in (out, err))
    return Answer(status, said, f"{said}\n{complained}".strip())


def _end_after(process: subprocess.Popen[bytes], out: t.IO[bytes], verdict: str, grace: float = 5.0) -> None:
    said = 0.0
    while process.poll() is None:
        time.sleep(0.1)
        if not said and verdict.encode() in os.pread(out.fileno(), 1 << 20, 0):
            said = time.monotonic()
        if said and time.monotonic() - said > grace:
            os.killpg(process.pid, signal.SIGKILL)
            return


def scrub(text: str, hide: t.Iterable[str]) -> str:
    """Return the text without the secrets."""
    for secret in sorted(hide, key=len, reverse=True):
        text = text.replace(secret, "(hidden)")
    return text


def secrets(path: str) -> list[str]:
    """Return the credentials that a configuration holds."""
    with open(path, encoding="utf-8") as handle:
        return SECRET.findall(handle.read())


def pgbackrest(config: str, stanza: str, *arguments: str) -> Answer:
    """Run pgBackRest with a configuration."""
    argv = ["pgbackrest", f"--config={config}", f"--stanza={stanza}", *arguments]
    return run(argv, hide=secrets(config), verdict="ERROR: [" if "restore" in arguments else "")


def psql(query: str, socket: str, port: int, database: str = "postgres") -> Answer:
    """Ask PostgreSQL over its socket; the answer is bare, columns by tabs."""
    argv = ["psql", "-X", "-A", "-t", "-q", "-F", "\t", "-v", "ON_ERROR_STOP=1"]
    return run([*argv, "-h", socket, "-p", str(port), "-d", database, "-c", query])
