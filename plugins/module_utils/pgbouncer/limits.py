# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The limit of open files, which each connection of PgBouncer counts against."""

from __future__ import annotations

import resource

from ..host import programs
from .settings import PgbouncerError, Settings

UNIT = "pgbouncer.service"
MAXIMUM = "/proc/sys/fs/nr_open"
# Files besides connections, as the role adds them
OTHER_FILES = 1024


def check_limit(settings: Settings) -> None:
    """Raise when the kernel of this host does not permit as many open files as the clients need."""
    with open(MAXIMUM, encoding="ascii") as handle:
        maximum = int(handle.read())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # A container without the capability to raise its limit has another maximum.
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, max(hard, settings.open_files)))
    except (ValueError, OSError) as error:
        possible = (min(maximum, hard) if settings.open_files <= maximum else maximum) - OTHER_FILES
        raise PgbouncerError(
            f"pgbouncer_max_clients needs {settings.open_files} open files, two for each client, and this host "
            f"does not permit so many: write {max(possible // 2, 1)} or fewer, or raise the sysctl fs.nr_open"
        ) from error


def verify_limit(settings: Settings) -> None:
    """Raise when the live process may open fewer files than the clients need."""
    process = int(programs.run(["systemctl", "show", "-P", "MainPID", UNIT]).out.strip() or 0)
    soft = read_limit(process)
    if soft < settings.open_files:
        raise PgbouncerError(
            f"{UNIT} may open {soft} files, and pgbouncer_max_clients needs {settings.open_files}: remove LimitNOFILE "
            f"from other files of the unit, which `systemctl cat {UNIT}` shows"
        )


def read_limit(process: int) -> float:
    """Return how many files a process may open; prlimit() needs a capability that a container lacks."""
    with open(f"/proc/{process or 'self'}/limits", encoding="ascii") as handle:
        soft = next(line for line in handle if line.startswith("Max open files")).split()[3]
    return float("inf") if soft == "unlimited" else int(soft)
