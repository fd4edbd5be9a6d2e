# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run programs of the host."""

from __future__ import annotations

import contextlib
import dataclasses
import grp
import os
import pwd
import signal
import subprocess
import typing as t

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# All that a program gets besides its arguments. The environment of this process may contain settings of an operator or
# of the host (/etc/environment), such as PGHOST, DOCKER_HOST, HTTPS_PROXY or LANG. The home directory does not exist,
# because programs read settings and credentials from files in it.
ENVIRONMENT = {"PATH": PATH, "LC_ALL": "C.UTF-8", "HOME": "/nonexistent"}
# Variables that describe the terminal.
TERMINAL = ("TERM", "COLUMNS", "LINES")
# The exit codes of a shell for a missing program, and of timeout(1) for one that took too long.
NOT_FOUND, TIMED_OUT = 127, 124
LONGEST_MESSAGE = 2000
# Put before a command line, so that the program does not outlive the process that started it, even when it is killed.
END_WITH_PARENT = ("setpriv", "--pdeathsig", "KILL")
# How a program ends that took too long: first a signal at which programs remove their locks. Each one has seconds until
# its output is closed; a daemon with a session of its own could keep it open for ever.
PATIENCE = ((signal.SIGTERM, 15), (signal.SIGKILL, 5))


class ProgramError(Exception):
    """A program failed; the message is for the operator."""


@dataclasses.dataclass(frozen=True)
class Result:
    """Exit code and output of a program."""

    code: int
    out: str  # standard output
    err: str = ""  # standard error

    @property
    def failed(self) -> bool:
        """Whether the exit code is not 0."""
        return self.code != 0

    @property
    def parts(self) -> tuple[int, str, str]:
        """Exit code, standard output and standard error."""
        return self.code, self.out, self.err

    @property
    def text(self) -> str:
        """Standard output and standard error, without white space around them."""
        return "\n".join(filter(None, (self.out.strip(), self.err.strip())))


def run(
    argv: t.Sequence[str],
    *,
    user: str = "",
    stdin: str = "",
    environment: t.Mapping[str, str] | None = None,
    keep: t.Iterable[str] = (),
    directory: str = "/",
    umask: int = -1,
    timeout: float | None = None,
    hide: t.Iterable[str] = (),
) -> Result:
    """Run a program to its end, whatever its exit code is.

    Args:
        argv: the program and its arguments; nothing secret, because every user of the host can read them.
        user: name of the user that runs it, with that user's groups; without the rights of root it stays this user.
        stdin: text for its standard input.
        environment: variables in addition to ENVIRONMENT.
        keep: names of variables of this process that it gets too.
        directory: its working directory.
        umask: its umask; by default that of this process.
        timeout: seconds after which the program and its children are terminated; its code is then TIMED_OUT.
        hide: secrets that are removed from the output.

    Returns:
        The result; the code of a missing program is NOT_FOUND.

    Raises:
        KeyError: the user does not exist on this host.
        FileNotFoundError: the working directory does not exist.
    """
    try:
        child = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            umask=umask,
            **_settings(user, build_environment(environment, keep), directory),
        )
    except FileNotFoundError as error:
        if error.filename == directory:
            raise
        return Result(NOT_FOUND, "", f"{argv[0]}: program not found")
    with child:
        try:
            out, err = child.communicate(stdin or None, timeout=timeout)
        except subprocess.TimeoutExpired:
            out, err = _terminate(child)
            err = f"{err}{argv[0]}: timed out after {timeout:g} s"
            return Result(TIMED_OUT, hide_secrets(out, hide), hide_secrets(err, hide))
        except BaseException:
            _terminate(child)
            raise
    return Result(child.returncode, hide_secrets(out, hide), hide_secrets(err, hide))


def call(argv: t.Sequence[str], **options: t.Any) -> str:
    """Run a program that must succeed, with the options of `run`; return its standard output.

    Raises:
        ProgramError: it failed, with its exit code and the end of what it printed.
    """
    result = run(argv, **options)
    if result.failed:
        raise ProgramError(describe_failure(argv, result))
    return result.out


def start(
    argv: t.Sequence[str],
    *,
    out: t.IO[bytes],
    err: t.IO[bytes] | None = None,
    user: str = "",
    environment: t.Mapping[str, str] | None = None,
    directory: str = "/",
) -> subprocess.Popen[bytes]:
    """Start a program in the background, as the leader of a process group; the caller ends it.

    Args:
        argv: the program and its arguments; nothing secret, because every user of the host can read them.
        out: open file for its standard output.
        err: open file for its standard error; by default that of the output.
        user: name of the user that runs it, as for `run`.
        environment: variables in addition to ENVIRONMENT.
        directory: its working directory.

    Raises:
        FileNotFoundError: the program does not exist.
        KeyError: the user does not exist on this host.
    """
    settings = _settings(user, build_environment(environment), directory)
    return subprocess.Popen(
        list(argv), stdin=subprocess.DEVNULL, stdout=out, stderr=err or subprocess.STDOUT, **settings
    )


def replace_process(argv: t.Sequence[str], environment: t.Mapping[str, str], keep: t.Iterable[str] = ()) -> t.NoReturn:
    """Replace this process by a program that a person uses at a terminal; the arguments are those of `run`.

    Raises:
        OSError: the program cannot be started.
    """
    os.execvpe(argv[0], list(argv), build_environment(environment, {*keep, *TERMINAL}))  # noqa: S606


def build_environment(environment: t.Mapping[str, str] | None = None, keep: t.Iterable[str] = ()) -> dict[str, str]:
    """Return all variables of a program: ENVIRONMENT, those of this process that are kept, and the given ones."""
    kept = {name: os.environ[name] for name in keep if name in os.environ}
    return {**ENVIRONMENT, **kept, **(environment or {})}


def describe_failure(argv: t.Sequence[str], result: Result) -> str:
    """Return which command failed, how, and the end of what it printed."""
    reason = (result.err.strip() or result.out.strip())[-LONGEST_MESSAGE:]
    return f"`{' '.join(argv)}` failed (exit {result.code}): {reason or 'it printed nothing'}"


def hide_secrets(text: str, hide: t.Iterable[str]) -> str:
    """Return the text with each secret replaced by "(hidden)", the longest first."""
    for secret in sorted(filter(None, hide), key=len, reverse=True):
        text = text.replace(secret, "(hidden)")
    return text


def _settings(user: str, environment: t.Mapping[str, str], directory: str) -> dict[str, t.Any]:
    # A group of its own, so that a shell's children end with it.
    return {"env": environment, "cwd": directory, "start_new_session": True, **identity(user)}


def identity(user: str, groups: t.Iterable[str] = ()) -> dict[str, t.Any]:
    """Return the options of Popen for a user with its own and further groups; none without the rights of root.

    Raises:
        KeyError: the user or a group does not exist on this host.
    """
    if not user:
        return {}
    entry = pwd.getpwnam(user)
    if os.geteuid():
        return {}
    members = [*os.getgrouplist(user, entry.pw_gid), *(grp.getgrnam(name).gr_gid for name in groups)]
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": members}


def _terminate(child: subprocess.Popen[str]) -> tuple[str, str]:
    read = [b"", b""]
    for number, seconds in PATIENCE:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        try:
            return child.communicate(timeout=seconds)
        except subprocess.TimeoutExpired as expired:
            # Bytes, although the child's output is text.
            read = [expired.stdout or b"", expired.stderr or b""]
    out, err = (part.decode("utf-8", "replace") for part in read)
    return out, err
