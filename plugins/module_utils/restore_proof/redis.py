# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Prove the dumps of Redis in restic's sets: restore a dump, check it, load it into a private Redis, count its keys."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import time

from ..host import files
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
    snapshot, moment = restic.find_newest_snapshot(settings, entry, env, scratch)
    outcome.record_rpo(max(0.0, time.time() - moment))
    target, directory = (
        scratch.create_directory(f"dump-{entry.name}", root=True),
        scratch.create_directory(f"redis-{entry.name}"),
    )
    dump, recorded = os.path.join(directory, "dump.rdb"), None
    with outcome.stage(f"restore {entry.name}", scratch.log) as stage:
        shutil.move(restore_file(entry.redis_dump, snapshot, target, env, scratch), dump)
        shutil.chown(dump, scratch.user)
        stage.bytes = os.path.getsize(dump)
        if entry.redis_keys:
            recorded = verdicts.parse_key_count(
                files.read_text(restore_file(entry.redis_keys, snapshot, target, env, scratch))
            )
    with outcome.stage(f"load {entry.name}", scratch.log) as stage:
        stage.bytes = os.path.getsize(dump)
        checked = scratch.run([PROGRAM, dump])
        in_dump, problems = verdicts.parse_dump_check(checked.status, checked.out + checked.err)
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
    if problems or result.status:
        raise ProofError(f"{path}: {'; '.join(problems[:3]) or f'exit {result.status}'}")
    if not os.path.isfile(restored) or os.path.islink(restored):
        raise ProofError(f"the newest snapshot does not contain {path}")
    return restored


def count_loaded_keys(directory: str, scratch: ScratchDirectory) -> int:
    """Return the number of keys that a private Redis loads from the dump, expired keys included."""
    path, log = os.path.join(directory, "socket"), os.path.join(directory, "log")
    options = {
        "port": "0",
        "unixsocket": path,
        "unixsocketperm": "700",
        "dir": directory,
        "appendonly": "no",
        "save": "",
    }
    command = ["bash", "-c", 'exec -a redis-server "$0" "$@"', PROGRAM]
    with scratch.run_server([*command, *(word for k, v in options.items() for word in (f"--{k}", v))], log) as process:
        info = wait_until_loaded(path, process, log)
    return sum(int(info[f"rdb_last_load_keys_{name}"]) for name in ("loaded", "expired"))


def wait_until_loaded(path: str, process: subprocess.Popen[bytes], log: str) -> dict[str, str]:
    """Wait until the dump is loaded; return Redis's INFO. The time limit is that of the systemd unit."""
    while True:
        if process.poll() is not None:
            raise ProofError(f"Redis cannot load the dump: {'; '.join(files.read_text(log).strip().splitlines()[-3:])}")
        with contextlib.suppress(OSError):
            info = query_persistence(path)
            if info.get("loading") == "0" and "rdb_last_load_keys_loaded" in info:
                return info
        time.sleep(0.05)


def query_persistence(path: str) -> dict[str, str]:
    """Return the fields of INFO persistence."""
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(10)
        link.connect(path)
        link.sendall(b"INFO persistence\r\nQUIT\r\n")
        text = b"".join(iter(lambda: link.recv(65536), b"")).decode()
    return dict(re.findall(r"^([a-z_]+):(.*?)\r?$", text, re.MULTILINE))
