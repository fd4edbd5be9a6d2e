# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Prove the dumps of Redis in restic's sets: restore a dump, check it, load it where nobody sees it, count its keys."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import time

from . import host, restic, verdicts
from .host import Bench
from .report import Outcome
from .settings import Failed, ResticSet, Settings

# Server and checker are one program, which asks for its name; the package of the checker starts no server.
PROGRAM = "/usr/bin/redis-check-rdb"


def prove(settings: Settings, repository: str, bench: Bench, outcome: Outcome) -> None:
    """Load every dump of a repository."""
    env = restic.credentials(settings, repository)
    for entry in [wanted for wanted in settings.restic_sets if wanted.redis_dump]:
        try:
            prove_dump(settings, entry, env, bench, outcome)
        except Failed as problem:
            outcome.problems.append(f"set {entry.name}: {problem}")


def prove_dump(settings: Settings, entry: ResticSet, env: dict[str, str], bench: Bench, outcome: Outcome) -> None:
    """Restore the dump of a set and count its keys in two ways."""
    snapshot, moment = restic.newest_snapshot(settings, entry, env, bench)
    outcome.lower(max(0.0, time.time() - moment))
    target, place = bench.folder(f"dump-{entry.name}", root=True), bench.folder(f"redis-{entry.name}")
    dump, recorded = os.path.join(place, "dump.rdb"), None
    with outcome.stage(f"restore {entry.name}", bench.say) as stage:
        shutil.move(fetch(entry.redis_dump, snapshot, target, env, bench), dump)
        shutil.chown(dump, bench.user)
        stage.bytes = os.path.getsize(dump)
        if entry.redis_keys:
            recorded = verdicts.first_number(host.read(fetch(entry.redis_keys, snapshot, target, env, bench)))
    with outcome.stage(f"load {entry.name}", bench.say) as stage:
        stage.bytes = os.path.getsize(dump)
        checked = bench.run([PROGRAM, dump])
        in_dump, problems = verdicts.dump_keys(checked.status, checked.out + checked.err)
        if not problems:
            loaded = load(place, bench)
            problems = verdicts.keys(in_dump, loaded, recorded)
    outcome.facts[f"{entry.name}_keys"] = in_dump
    outcome.facts[f"{entry.name}_keys_recorded"] = recorded
    outcome.problems += [f"set {entry.name}: {text}" for text in problems]


def fetch(path: str, snapshot: str, target: str, env: dict[str, str], bench: Bench) -> str:
    """Restore one file of a snapshot; restic ends with 0 when the snapshot does not hold it."""
    done = restic.restic(bench, env, "restore", snapshot, f"--target={target}", f"--include={path}", "--verify")
    found = target + path
    problems = verdicts.complaints(verdicts.messages(done.out) + verdicts.messages(done.err))
    if problems or done.status:
        raise Failed(f"{path}: {'; '.join(problems[:3]) or f'exit {done.status}'}")
    if not os.path.isfile(found) or os.path.islink(found):
        raise Failed(f"the newest snapshot does not hold {path}")
    return found


def load(place: str, bench: Bench) -> int:
    """Return how many keys a Redis that nobody reaches finds in the dump, those past their time included."""
    path, log = os.path.join(place, "socket"), os.path.join(place, "log")
    options = {"port": "0", "unixsocket": path, "unixsocketperm": "700", "dir": place, "appendonly": "no", "save": ""}
    command = ["bash", "-c", 'exec -a redis-server "$0" "$@"', PROGRAM]
    with bench.server([*command, *(word for k, v in options.items() for word in (f"--{k}", v))], log) as process:
        told = await_loaded(path, process, log)
    return sum(int(told[f"rdb_last_load_keys_{name}"]) for name in ("loaded", "expired"))


def await_loaded(path: str, process: subprocess.Popen[bytes], log: str) -> dict[str, str]:
    """Wait until the dump is loaded; the limit is the unit's."""
    while True:
        if process.poll() is not None:
            raise Failed(f"Redis does not load the dump: {'; '.join(host.read(log).strip().splitlines()[-3:])}")
        with contextlib.suppress(OSError):
            told = persistence(path)
            if told.get("loading") == "0" and "rdb_last_load_keys_loaded" in told:
                return told
        time.sleep(0.05)


def persistence(path: str) -> dict[str, str]:
    """Ask a Redis about its data."""
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(10)
        link.connect(path)
        link.sendall(b"INFO persistence\r\nQUIT\r\n")
        text = b"".join(iter(lambda: link.recv(65536), b"")).decode()
    return dict(re.findall(r"^([a-z_]+):(.*?)\r?$", text, re.MULTILINE))
