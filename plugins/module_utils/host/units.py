# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Jobs that are units of systemd: start them in the background, wait for their end, read why they failed."""

from __future__ import annotations

import time
import typing as t

from . import programs

INTERVAL = 1.0  # seconds between two queries
RUNNING = ("active", "activating", "deactivating", "reloading")
LINES = 5  # of the journal, in a message
JOURNAL_SECONDS = 60.0


def start(names: t.Iterable[str]) -> None:
    """Start units and do not wait for them; a unit that runs already goes on.

    Raises:
        programs.ProgramError: systemd refuses a unit.
    """
    for name in names:
        programs.call(["systemctl", "start", "--no-block", name])


def find_running(names: t.Sequence[str]) -> list[str]:
    """Return which of the units run, or wait for their start."""
    if not names:
        return []
    argv = ["systemctl", "show", "--property", "ActiveState,Job", *names]
    running = []
    for name, block in zip(names, programs.call(argv).strip().split("\n\n"), strict=True):
        values = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if values["ActiveState"] in RUNNING or values.get("Job", "0") not in ("", "0"):
            running.append(name)
    return running


def wait_until_ended(names: t.Sequence[str], seconds: float) -> list[str]:
    """Wait until the units have ended, for at most these seconds; return those that still run."""
    deadline = time.monotonic() + seconds
    while (running := find_running(names)) and time.monotonic() < deadline:
        time.sleep(min(INTERVAL, max(0.0, deadline - time.monotonic())))
    return running


def find_failed(names: t.Sequence[str]) -> list[str]:
    """Return which of the units failed."""
    return [name for name in names if programs.run(["systemctl", "is-failed", "--quiet", name]).code == 0]


def read_last_messages(name: str) -> str:
    """Return the last lines that a unit wrote to the journal, in one line."""
    return " | ".join(line for line in read_journal(f"--unit={name}", f"--lines={LINES}").splitlines() if line.strip())


def read_journal(*options: str) -> str:
    """Return the messages in the journal that options of journalctl select; empty when they cannot be read.

    A busy journald stores a message long after the program has ended that wrote it; so it must first store all of them.
    """
    programs.run(["journalctl", "--sync"], timeout=JOURNAL_SECONDS)
    return programs.run(["journalctl", "--no-pager", "--quiet", "--output=cat", *options], timeout=JOURNAL_SECONDS).out
