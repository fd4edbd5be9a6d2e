# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Back up PostgreSQL with pgBackRest; run by the units vise-pgbackrest@ and vise-archive-queue, or by hand."""

from __future__ import annotations

import os
import sys
import typing as t

from ..host import users
from ..host.programs import ProgramError
from . import jobs, tool

SETTINGS = "/etc/vise/pgbackrest.json"
USAGE = """usage: vise-pgbackrest check           report the repositories that cannot be used
       vise-pgbackrest ready           fail if a stanza is missing or a first backup was not started
       vise-pgbackrest stanza          create the stanza where it is missing, start the first backups
       vise-pgbackrest upgrade-stanza  record the new version of the cluster, start a full backup
       vise-pgbackrest queue           measure the WAL that waits, stop or permit writes
       vise-pgbackrest backup KIND     back up to each repository: full, diff, incr or yearly
       vise-pgbackrest finished KIND   record the result of a backup, write the metrics"""


def main(arguments: t.Sequence[str]) -> int:
    """Run one of the commands."""
    command = find_command(arguments)
    if command is None:
        print(USAGE, file=sys.stderr)
        return 2
    try:
        return int(command(jobs.Settings.load(SETTINGS)))
    except (OSError, ValueError, ProgramError, jobs.JobError) as error:
        print(f"vise-pgbackrest: {error}", file=sys.stderr)
        return 1


def find_command(arguments: t.Sequence[str]) -> t.Callable[[jobs.Settings], int] | None:
    """Return the function of a command line; None when there is no such command."""
    plain: dict[tuple[str, ...], t.Callable[[jobs.Settings], int]] = {
        ("check",): jobs.check,
        ("ready",): jobs.ready,
        ("stanza",): jobs.stanza,
        ("upgrade-stanza",): jobs.upgrade_stanza,
        ("queue",): jobs.watch_queue,
        **{("backup", kind): _backup(kind) for kind in jobs.KINDS},
        **{("finished", kind): _finished(kind) for kind in jobs.KINDS},
    }
    return plain.get(tuple(arguments))


def _backup(kind: str) -> t.Callable[[jobs.Settings], int]:
    def run(settings: jobs.Settings) -> int:
        # Also when root runs it by hand: the unit could not replace files that root leaves in postgres' directory.
        users.become(tool.USER)
        return jobs.backup(settings, kind)

    return run


def _finished(kind: str) -> t.Callable[[jobs.Settings], int]:
    return lambda settings: jobs.finished(settings, kind, os.environ.get("SERVICE_RESULT", "success"))
