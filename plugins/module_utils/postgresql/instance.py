# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run a private PostgreSQL server on a data directory, without its unit, and read the state of a data directory."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
import typing as t

from ..host import files, programs

SEVERE = re.compile(r"\b(?:ERROR|FATAL|PANIC): .*")
# Replies to clients that connect while the server starts or stops.
REPLY = "the database system is "
# A private server runs next to the real one, on a host that may be sized for only one of them.
SMALL_MEMORY = {"shared_buffers": "128MB", "huge_pages": "off", "min_dynamic_shared_memory": "0"}
# Recovery needs these settings to be at least as high as on the server that wrote the WAL. The control file contains
# the values that the replayed WAL has reached, by these labels.
RECOVERY_MINIMA = {
    "max_connections": "max_connections setting",
    "max_worker_processes": "max_worker_processes setting",
    "max_wal_senders": "max_wal_senders setting",
    "max_prepared_transactions": "max_prepared_xacts setting",
    "max_locks_per_transaction": "max_locks_per_xact setting",
}
# The lines of postmaster.pid that are used here.
PID, PORT, STATUS = 0, 3, 7


class InstanceError(Exception):
    """A server does not start; the message is for the operator."""


# ---- the data directory ----


def parse_controldata(text: str) -> dict[str, str]:
    """Parse the output of pg_controldata, or another text with one "label: value" a line; return value by label."""
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {label.strip(): value.strip() for label, value in pairs}


def parse_recovery_minima(text: str) -> dict[str, int]:
    """Return the lowest values of the settings with which the WAL can be replayed, from pg_controldata's output."""
    return select_recovery_minima(parse_controldata(text))


def select_recovery_minima(values: t.Mapping[str, str]) -> dict[str, int]:
    """Return the same from the values of the control file."""
    return {name: int(values[label]) for name, label in RECOVERY_MINIMA.items() if values.get(label, "").isdigit()}


def describe_low_settings(minima: t.Mapping[str, int], current: t.Mapping[str, int]) -> str:
    """Describe the settings that are too low for recovery; empty when there are none."""
    low = {name: value for name, value in minima.items() if value > current.get(name, value)}
    return ", ".join(f"{name} is {current[name]}, and the WAL needs {value}" for name, value in low.items())


def get_pid(data: str) -> int:
    """Return the process id of the server that runs on a data directory, or 0."""
    with contextlib.suppress(ValueError, FileNotFoundError, ProcessLookupError):
        pid = int(_read_postmaster_file(data, PID))
        with open(f"/proc/{pid}/comm", encoding="utf-8") as handle:
            return pid if handle.read().strip() == "postgres" else 0
    return 0


def get_port(data: str, default: int) -> int:
    """Return the port of the server that runs on a data directory; its files may already contain another one."""
    text = _read_postmaster_file(data, PORT)
    return int(text) if text.isdigit() else default


def is_ready(data: str) -> bool:
    """Return whether the server that runs on a data directory accepts connections."""
    return _read_postmaster_file(data, STATUS) in ("ready", "standby")


def _read_postmaster_file(data: str, line: int) -> str:
    lines = files.read_text(os.path.join(data, "postmaster.pid")).splitlines()
    return lines[line].strip() if line < len(lines) else ""


# ---- the server ----


def build_command(program: str, data: str, settings: t.Mapping[str, str]) -> list[str]:
    """Return the command line of a server; these settings override those in its files."""
    return [program, "-D", data, *(word for name, value in settings.items() for word in ("-c", f"{name}={value}"))]


def start(
    command: t.Sequence[str],
    log: str,
    *,
    user: str = "",
    environment: t.Mapping[str, str] | None = None,
    directory: str = "/",
) -> subprocess.Popen[bytes]:
    """Start a server in the background, as programs.start does; the caller stops it.

    The log is a new file that only root can read. It may be in a directory of the user, who could place a link there,
    so an existing file is removed and never written.
    """
    with contextlib.suppress(FileNotFoundError):
        os.unlink(log)
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as handle:
        return programs.start(command, out=handle, user=user, environment=environment, directory=directory)


def wait_until_ready(
    process: subprocess.Popen[bytes], answers: t.Callable[[], bool], seconds: float, interval: float = 0.1
) -> None:
    """Wait until a server answers; raise InstanceError when it has ended, or does not answer in time."""
    deadline = time.monotonic() + seconds
    while not answers():
        if process.poll() is not None:
            raise InstanceError(f"the server ended while it started (exit {process.returncode})")
        if time.monotonic() > deadline:
            raise InstanceError(f"the server does not answer after {seconds:g} s")
        time.sleep(interval)


def stop(
    process: subprocess.Popen[bytes], number: signal.Signals = signal.SIGINT, seconds: float | None = None
) -> int | None:
    """Stop a server; return its exit code, or None when it has not ended after some seconds.

    Signals: SIGINT ends sessions, SIGQUIT skips the checkpoint too, so that the next start runs crash recovery.
    """
    if process.poll() is None:
        process.send_signal(number)
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None


def end(process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    """Stop a server within a limited time, if necessary without its checkpoint."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        if stop(process, number, seconds) is not None:
            return


def find_messages(log: str, pattern: re.Pattern[str] = SEVERE) -> list[str]:
    """Return what a pattern finds in the lines of a server's log, each text once, without replies to early clients."""
    found = (pattern.search(line) for line in log.splitlines() if REPLY not in line)
    return list(dict.fromkeys(match[0].strip() for match in found if match))
