"""Boot the platform's host again and again, in order or as when its power is cut, and see whether all runs then.

The host is that of `make up`. When it goes down is left to chance, so that jobs of its timers are met as well. Half of
the boots find the repositories of the backups away, as PostgreSQL waits for its archive before it stops. A power cut
ends all processes at once; what a disk would lose of what it was told to keep is not tried.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Sequence

from tests.e2e import booting
from tests.e2e.converge import HOST, PHASE1
from tools.campaigns import lab

# Seconds between two boots, at most.
PAUSE = 20
AWAY = "repositories away"


def tried(kind: str, away: bool) -> tuple[float, list[str]]:
    """Boot once; return how long that took, and what is wrong then."""
    if away:
        lab.repositories("outage")
        # So that there is something to archive.
        lab.must(HOST, "runuser -u postgres -- psql -XAtqc 'SELECT pg_switch_wal()'")
    try:
        boot = booting.boot([HOST], kind, booting.WAYS)
    finally:
        if away:
            lab.repositories("none")
    wrong = [*(f"{name} is missing" for name in boot.missing), *boot.ailing]
    return boot.seconds, wrong


def result(tries: Sequence[tuple[str, float, bool]], failures: list[str], seed: int) -> lab.Result:
    """Sum it up, a row a kind."""
    rows: list[list[object]] = []
    for kind in sorted({one[0] for one in tries}):
        seconds = [one[1] for one in tries if one[0] == kind]
        healthy = sum(one[2] for one in tries if one[0] == kind)
        rows.append([kind, len(seconds), healthy, f"{statistics.median(seconds):.0f}", f"{max(seconds):.0f}"])
    head = ("how", "boots", "healthy", "after, median (s)", "at most (s)")
    return lab.Result("reboots", seed, head, rows, failures)


def run(times: int, seed: int) -> lab.Result:
    """Boot so often; site.yml must then find nothing to do."""
    lab.made("hosts", "docs", "secrets")
    PHASE1.converge()
    dice = random.Random(seed)  # noqa: S311 - when it goes down is no secret
    tries: list[tuple[str, float, bool]] = []
    failures: list[str] = []
    for number in range(times):
        kind, away = (booting.ORDERLY, booting.CUT)[number % 2], number % 4 > 1
        time.sleep(dice.uniform(0, PAUSE))
        seconds, wrong = tried(kind, away)
        name = f"{kind}, {AWAY}" if away else kind
        tries.append((name, seconds, not wrong))
        print(f"{number + 1}/{times}: {name}: {'; '.join(wrong) or 'healthy'} after {seconds:.0f} s", flush=True)
        failures += [f"boot {number + 1}, {name}: {'; '.join(wrong)}"] if wrong else []
    if changed := PHASE1.converge().changed[HOST]:
        failures.append(f"site.yml then changes {changed} things")
    return result(tries, failures, seed)
