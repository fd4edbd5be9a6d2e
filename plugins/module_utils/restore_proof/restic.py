# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Prove restic's backups: restore the newest snapshot of each set, and read a part of all packs."""

from __future__ import annotations

import os
import shutil
import stat
import time

from . import host, verdicts
from .host import Bench
from .report import Outcome
from .settings import Failed, ResticSet, Settings

# Without a lock: a killed proof must not leave one that stops the backups. Without a cache: what counts is out there.
COMMON = ("--json", "--no-lock", "--no-cache")


def prove(settings: Settings, repository: str, bench: Bench, outcome: Outcome) -> None:
    """Restore every set of a repository, then read the packs whose turn it is."""
    env = credentials(settings, repository)
    for entry in settings.restic_sets:
        try:
            prove_set(settings, entry, env, bench, outcome)
        except Failed as problem:
            outcome.problems.append(f"set {entry.name}: {problem}")
    with outcome.stage("read packs", bench.say):
        turn = f"{verdicts.part(time.time(), settings.restic_parts)}/{settings.restic_parts}"
        outcome.facts["packs_read"] = turn
        outcome.problems += check(bench, env, turn)


def credentials(settings: Settings, name: str) -> dict[str, str]:
    """Return restic's environment for a repository."""
    wanted = next(repository for repository in settings.restic_repositories if repository.name == name)
    return wanted.environment(settings.restic_ca_file)


def restic(bench: Bench, env: dict[str, str], *command: str) -> host.Answer:
    """Run restic as root, who alone may give files their owners."""
    return bench.run(["restic", *command, *COMMON], root=True, env={**env, "TMPDIR": bench.directory})


def newest_snapshot(settings: Settings, entry: ResticSet, env: dict[str, str], bench: Bench) -> tuple[str, float]:
    """Return the id and time of a set's newest snapshot."""
    chosen = [f"--tag={entry.name}", *([f"--host={settings.restic_host}"] if settings.restic_host else [])]
    return verdicts.newest_snapshot(*restic(bench, env, "snapshots", "--latest=1", *chosen))


def prove_set(settings: Settings, entry: ResticSet, env: dict[str, str], bench: Bench, outcome: Outcome) -> None:
    """Restore a set's newest snapshot and count what came."""
    snapshot, moment = newest_snapshot(settings, entry, env, bench)
    age = max(0.0, time.time() - moment)
    outcome.lower(age)
    if age > settings.restic_age_seconds:
        allowed = settings.restic_age_seconds
        outcome.problems.append(
            f"set {entry.name}: RPO: the newest snapshot is {age:.0f} s old, allowed are {allowed} s"
        )
    wanted = verdicts.listed(*restic(bench, env, "ls", snapshot))
    problems = verdicts.disk(wanted.bytes, *host.room(bench.directory))
    if problems:
        raise Failed(problems[0])
    target = bench.folder(f"set-{entry.name}", root=True)
    with outcome.stage(f"restore {entry.name}", bench.say) as stage:
        done = restic(bench, env, "restore", snapshot, f"--target={target}", "--verify")
        found = count(target)
        stage.bytes = found.bytes
    # The next set needs the room.
    shutil.rmtree(target)
    outcome.facts[f"{entry.name}_files"], outcome.facts[f"{entry.name}_bytes"] = found.files, found.bytes
    outcome.problems += [f"set {entry.name}: {text}" for text in verdicts.restored(*done, wanted, found)]


def count(directory: str) -> verdicts.Count:
    """Count the regular files below a directory."""
    sizes = []
    for folder, _folders, names in os.walk(directory):
        found = [os.lstat(os.path.join(folder, name)) for name in names]
        sizes += [status.st_size for status in found if stat.S_ISREG(status.st_mode)]
    return verdicts.Count(len(sizes), sum(sizes))


def check(bench: Bench, env: dict[str, str], turn: str) -> list[str]:
    """Read packs; a backup that is written meanwhile can look like damage, but only damage stays."""
    for _attempt in range(2):
        problems = verdicts.read_back(*restic(bench, env, "check", f"--read-data-subset={turn}"))
        if not problems:
            break
    return problems
