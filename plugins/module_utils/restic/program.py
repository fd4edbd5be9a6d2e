# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Back up, check, prune and restore with restic; run by the units or by hand."""

from __future__ import annotations

import json
import os
import signal
import sys
import typing as t

from ..host import programs
from . import jobs, plan, restoring

ALL = {
    "check-credentials": jobs.check_new_credentials,
    "ready": jobs.ready,
    "initialize": jobs.initialize,
}
ONE: dict[str, t.Callable[[plan.Settings, str], int]] = {
    "backup": jobs.backup,
    "check": jobs.check,
    "prune": jobs.prune,
}
USAGE = """usage: vise-restic backup SET:REPOSITORY | check REPOSITORY [--all] | prune REPOSITORY
       vise-restic restore SET TARGET [latest|ID|TIME [HOST]]
       vise-restic with REPOSITORY RESTIC-ARGUMENTS...
       vise-restic check-credentials   query the repositories with a new address or credential
       vise-restic initialize          create new repositories, start first backups, stop jobs that were removed
       vise-restic ready               show the credentials without a successful access, and unstarted first backups"""


def main(arguments: t.Sequence[str]) -> int:
    """Run one of the commands."""
    # An exception, so that the commands after a backup still run.
    signal.signal(signal.SIGTERM, _stop)
    os.umask(0o077)
    action = _find_action(arguments)
    if action is None:
        print(USAGE, file=sys.stderr)
        return 2
    try:
        return int(action())
    except (jobs.JobError, programs.ProgramError, OSError, ValueError) as error:
        print(f"vise-restic: {error}", file=sys.stderr)
        return 1


def _stop(number: int, _frame: object) -> t.NoReturn:
    raise SystemExit(128 + number)


def _find_action(arguments: t.Sequence[str]) -> t.Callable[[], int] | None:
    match list(arguments):
        case ["check-credentials" | "initialize" | "ready" as command]:
            return lambda: ALL[command](jobs.load_settings())
        case ["backup" | "check" | "prune" as command, name]:
            return lambda: ONE[command](jobs.load_settings(), name)
        case ["check", name, "--all"]:
            return lambda: jobs.check(jobs.load_settings(), name, all_parts=True)
        case ["restore", name, target, *rest] if len(rest) < 3:
            return lambda: _restore(name, target, *rest)
        case ["with", name, *rest] if rest:
            return lambda: _replace_by_restic(name, rest)
        # Only for ExecStopPost of a unit, whose environment it reads.
        case ["note", kind, instance]:
            return lambda: jobs.record_result(kind, instance)
    return None


def _restore(name: str, target: str, snapshot: str = "latest", host: str = "") -> int:
    request = restoring.Request(name, snapshot, host, target=os.path.abspath(target))
    print(json.dumps(restoring.restore(jobs.load_settings(), request)))
    return 0


def _replace_by_restic(name: str, arguments: t.Sequence[str]) -> t.NoReturn:
    config = jobs.load_settings()
    repository = jobs.Restic.at(config, name).repository
    programs.replace_process(["restic", *arguments], plan.build_environment(repository, config.ca_file))
