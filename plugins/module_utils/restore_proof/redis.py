# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Prove the dumps of Redis in restic's sets: restore a dump, check it, load it into a private Redis, count its keys."""

from __future__ import annotations

import math
import os
import secrets
import shutil
import time

from ..host import files, programs, servers
from ..redis import dumps, isolated, state
from ..redis.settings import RedisError
from . import restic, verdicts
from .host import ScratchDirectory
from .report import Outcome
from .settings import ProofError, ResticSet, Settings

# Server and checker are one program that acts by its name; the package of the checker does not start a server.
PROGRAM = "/usr/bin/redis-check-rdb"


def prove(settings: Settings, repository: str, scratch: ScratchDirectory, outcome: Outcome) -> None:
    """Prove each dump in a repository."""
    env = restic.build_environment(settings, repository)
    for entry in [restic_set for restic_set in settings.restic_sets if restic_set.redis_dump]:
        try:
            prove_dump(settings, entry, env, scratch, outcome)
        except ProofError as problem:
            outcome.problems.append(f"set {entry.name}: {problem}")


def prove_dump(
    settings: Settings, entry: ResticSet, env: dict[str, str], scratch: ScratchDirectory, outcome: Outcome
) -> None:
    """Restore the dump of a set and compare the number of its keys in the checker, in Redis and in the record."""
    newest = restic.find_newest_snapshot(settings, entry, env, scratch)
    outcome.record_rpo(max(0.0, time.time() - newest.moment))
    target, directory = (
        scratch.create_directory(f"dump-{entry.name}", root=True),
        scratch.create_directory(f"redis-{entry.name}"),
    )
    dump, recorded = os.path.join(directory, "dump.rdb"), None
    with outcome.stage(f"restore {entry.name}", scratch.log) as stage:
        shutil.move(restore_file(entry.redis_dump, newest.id, target, env, scratch), dump)
        shutil.chown(dump, scratch.user)
        stage.bytes = os.path.getsize(dump)
        if entry.redis_keys:
            recorded = verdicts.parse_key_count(
                files.read_text(restore_file(entry.redis_keys, newest.id, target, env, scratch))
            )
    with outcome.stage(f"load {entry.name}", scratch.log) as stage:
        stage.bytes = os.path.getsize(dump)
        checked = scratch.run([PROGRAM, dump])
        in_dump, problems = verdicts.parse_dump_check(checked.code, checked.out + checked.err)
        if not problems:
            loaded = count_loaded_keys(directory, scratch)
            problems = verdicts.find_key_problems(in_dump, loaded, recorded)
    outcome.facts[f"{entry.name}_keys"] = in_dump
    outcome.facts[f"{entry.name}_keys_recorded"] = recorded
    outcome.problems += [f"set {entry.name}: {text}" for text in problems]


def restore_file(path: str, snapshot: str, target: str, env: dict[str, str], scratch: ScratchDirectory) -> str:
    """Restore one file of a snapshot; return its path. restic exits with 0 when the snapshot does not contain it."""
    result = restic.restic(scratch, env, "restore", snapshot, f"--target={target}", f"--include={path}", "--verify")
    restored = target + path
    problems = verdicts.extract_restic_errors(verdicts.parse_messages(result.out) + verdicts.parse_messages(result.err))
    if problems or result.code:
        raise ProofError(f"{path}: {'; '.join(problems[:3]) or f'exit {result.code}'}")
    if not os.path.isfile(restored) or os.path.islink(restored):
        raise ProofError(f"the newest snapshot does not contain {path}")
    return restored


def count_loaded_keys(directory: str, scratch: ScratchDirectory) -> int:
    """Return the number of keys that a private Redis loads from the dump, expired keys included."""
    path, secret = os.path.join(directory, "socket"), secrets.token_hex(32)
    lines = [
        state.describe_admin(secret),
        "user default off",
        "port 0",
        f"unixsocket {path}",
        "unixsocketperm 700",
        f"dir {directory}",
        "appendonly no",
        'save ""',
    ]
    config = scratch.write(f"{os.path.basename(directory)}.conf", "\n".join([*lines, ""]))
    command = [*programs.END_WITH_PARENT, "bash", "-c", 'exec -a redis-server "$0" "$@"', PROGRAM, config]
    with servers.run_server(command, user=scratch.user, directory=directory) as server:
        try:
            # The time limit is that of the systemd unit.
            return dumps.count_loaded_keys(isolated.wait_until_loaded(server, path, secret, math.inf))
        except RedisError as error:
            raise ProofError(f"Redis cannot load the dump: {error}") from error
