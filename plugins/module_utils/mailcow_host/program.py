# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Start mailcow as configured; make and restore copies. The role, its playbooks and operators run this program."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import typing as t
from pathlib import Path

from ..host import leases, locks
from . import administrator, copies, images, repository, settings, stack
from .settings import Problem, Settings

USAGE = """usage: vise-mailcow COMMAND [ARGUMENT]
  status             print the release, the upgrade in progress and the snapshots
  plan               print the actions of up
  up                 start mailcow as configured and wait until it answers
  ready              print the actions of up; without any, wait until mailcow answers
  health             fail with the reason if mailcow does not work
  queue              print the messages in Postfix's queue
  digests            print the running images with digests, for mailcow_images
  certificates       install the current certificate
  begin RELEASE      start an upgrade: stop mailcow and create a snapshot
  keep [RUN]         end the upgrade, keep the new release, and delete the snapshot and the old images
  revert [RUN]       end the upgrade and roll back to the snapshot
  dump DIRECTORY     write dumps of the databases
  restore DIRECTORY  replace the data by a backup; the previous data are kept as a snapshot"""
# These change something, so only one of them may run.
EXCLUSIVE = ("up", "certificates", "begin", "keep", "revert", "dump", "restore")
# The commands of runbooks; they can take longer than the lease of the host.
LONG = ("begin", "keep", "revert", "restore")


def plan(config: Settings) -> dict[str, t.Any]:
    """Return the necessary actions."""
    # Without a checkout there is no database.
    return {"actions": stack.plan(config) + (administrator.plan(config) if repository.release(config) else [])}


def up(config: Settings) -> dict[str, t.Any]:
    """Make mailcow run as configured; return the actions."""
    return {"actions": stack.up(config) + administrator.set_password(config)}


def ready(config: Settings) -> dict[str, t.Any]:
    """Return the necessary actions; if there are none, wait until mailcow answers."""
    planned = plan(config)
    if not planned["actions"]:
        stack.wait_until_healthy(config)
    return planned


def health(config: Settings) -> None:
    """Fail if mailcow is not healthy."""
    problem = stack.check_health(config)
    if problem:
        raise Problem(problem)


# The role runs `check` before the files of a new configuration are live.
COMMANDS: dict[str, t.Callable[[Settings], t.Any]] = {
    "check": stack.check,
    "plan": plan,
    "up": up,
    "ready": ready,
    "health": health,
    "certificates": stack.update_certificates,
    "digests": images.digests,
    "queue": stack.queue,
    "status": copies.status,
    "keep": copies.keep,
    "revert": copies.revert,
}
COMMANDS_WITH_ARGUMENT: dict[str, t.Callable[[Settings, str], t.Any]] = {
    "begin": copies.begin,
    "keep": copies.keep,
    "revert": copies.revert,
    # Absolute, because rsync runs in another directory.
    "dump": lambda config, target: copies.dump(config, Path(target).absolute()),
    "restore": lambda config, source: copies.restore(config, Path(source).absolute()),
}


def run(name: str, rest: t.Sequence[str]) -> t.Any:
    """Run a command and return its answer: a text, or data, or None."""
    config = settings.read_settings()
    lock = locks.lock(str(settings.STATE / "lock"), directory_mode=0o700)
    if name in LONG:
        leases.keep_alive()
    with lock if name in EXCLUSIVE else contextlib.nullcontext():
        return COMMANDS_WITH_ARGUMENT[name](config, rest[0]) if rest else COMMANDS[name](config)


def main(arguments: t.Sequence[str]) -> int:
    """Run a command of the program."""
    name, *rest = arguments or [""]
    if len(rest) > 1 or name not in (COMMANDS_WITH_ARGUMENT if rest else COMMANDS):
        print(USAGE, file=sys.stderr)
        return 2
    # Dumps and snapshots contain mails and keys.
    os.umask(0o077)
    try:
        answer = run(name, rest)
    except (Problem, OSError, KeyError) as error:
        print(f"vise-mailcow: {error}", file=sys.stderr)
        return 1
    if answer is not None:
        print(answer if isinstance(answer, str) else json.dumps(answer))
    return 0
