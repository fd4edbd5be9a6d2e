# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Prove restic's backups: restore the newest snapshot of each set, and read a part of all packs."""

from __future__ import annotations

import os
import shutil
import stat
import time

from ..host import programs
from ..restic import plan
from . import host, verdicts
from .host import ScratchDirectory
from .report import Outcome
from .settings import ProofError, ResticSet, Settings

# No lock, because a lock of a killed proof would block backups. No cache, because the repository is to be proven.
COMMON = ("--json", "--no-lock", "--no-cache")


def prove(settings: Settings, repository: str, scratch: ScratchDirectory, outcome: Outcome) -> None:
    """Restore each set of a repository, then read this week's part of the packs."""
    env = build_environment(settings, repository)
    for entry in settings.restic_sets:
        try:
            prove_set(settings, entry, env, scratch, outcome)
        except ProofError as problem:
            outcome.problems.append(f"set {entry.name}: {problem}")
    with outcome.stage("read packs", scratch.log):
        turn = f"{verdicts.select_part(time.time(), settings.restic_parts)}/{settings.restic_parts}"
        outcome.facts["packs_read"] = turn
        outcome.problems += check_packs(scratch, env, turn)


def build_environment(settings: Settings, name: str) -> dict[str, str]:
    """Return restic's environment for a repository."""
    repository = next(repository for repository in settings.restic_repositories if repository.name == name)
    return repository.environment(settings.restic_ca_file)


def restic(scratch: ScratchDirectory, env: dict[str, str], *command: str) -> programs.Result:
    """Run restic as root, because only root can set the owners of files."""
    return scratch.run(["restic", *command, *COMMON], root=True, env={**env, "TMPDIR": scratch.directory})


def find_newest_snapshot(
    settings: Settings, entry: ResticSet, env: dict[str, str], scratch: ScratchDirectory
) -> verdicts.Snapshot:
    """Return a set's newest snapshot."""
    selection = [f"--tag={entry.name}", *([f"--host={settings.restic_host}"] if settings.restic_host else [])]
    return verdicts.parse_newest_snapshot(*restic(scratch, env, "snapshots", *selection).parts)


def prove_set(
    settings: Settings, entry: ResticSet, env: dict[str, str], scratch: ScratchDirectory, outcome: Outcome
) -> None:
    """Restore the newest snapshot of a set and compare the restored files with its list."""
    newest = find_newest_snapshot(settings, entry, env, scratch)
    age = max(0.0, time.time() - newest.moment)
    outcome.record_rpo(age)
    if age > settings.restic_age_seconds:
        allowed = settings.restic_age_seconds
        outcome.problems.append(
            f"set {entry.name}: RPO: the newest snapshot is {age:.0f} s old, the limit is {allowed} s"
        )
    expected = verdicts.parse_listing(*restic(scratch, env, "ls", newest.id).parts)
    disk = host.measure_disk(scratch.directory)
    if verdicts.find_disk_problems(expected.bytes, *disk):
        # Holes and hard links allocate nothing; to know them takes several reads of the snapshot.
        problems = verdicts.find_disk_problems(measure_room(newest.id, env, scratch), *disk)
        if problems:
            raise ProofError(problems[0])
    target = scratch.create_directory(f"set-{entry.name}", root=True)
    with outcome.stage(f"restore {entry.name}", scratch.log) as stage:
        result = restic(scratch, env, "restore", newest.id, f"--target={target}", "--sparse", "--verify")
        found = count_files(target)
        stage.bytes = found.bytes
    # The next set needs the space.
    shutil.rmtree(target)
    outcome.facts[f"{entry.name}_files"], outcome.facts[f"{entry.name}_bytes"] = found.files, found.bytes
    needs_files = newest.had_files and not entry.may_be_empty
    outcome.problems += [
        f"set {entry.name}: {text}"
        for text in verdicts.find_restore_problems(*result.parts, expected, found, needs_files)
    ]


def measure_room(snapshot: str, env: dict[str, str], scratch: ScratchDirectory) -> int:
    """Return the bytes that the files of a snapshot allocate at most."""
    sizes = []
    for mode in ("restore-size", "files-by-contents", "blobs-per-file"):
        result = restic(scratch, env, "stats", f"--mode={mode}", snapshot)
        sizes.append(verdicts.parse_total_size(*result.parts))
    return plan.compute_room(*sizes)


def count_files(directory: str) -> verdicts.Count:
    """Count the regular files in a directory tree and their bytes."""
    sizes = []
    for folder, _folders, names in os.walk(directory):
        found = [os.lstat(os.path.join(folder, name)) for name in names]
        sizes += [status.st_size for status in found if stat.S_ISREG(status.st_mode)]
    return verdicts.Count(len(sizes), sum(sizes))


def check_packs(scratch: ScratchDirectory, env: dict[str, str], turn: str) -> list[str]:
    """Read a part of the packs, twice after errors: a concurrent backup causes errors only once, damage both times."""
    for _attempt in range(2):
        problems = verdicts.find_pack_problems(*restic(scratch, env, "check", f"--read-data-subset={turn}").parts)
        if not problems:
            break
    return problems
