"""Reboot the platform's host many times, by an orderly reboot or a power cut, and check whether all services run again.

The host is that of `make up`. The time of each reboot is random, so that it also hits jobs of timers. In half of the
reboots the backup repositories are unreachable, because PostgreSQL waits for its archive before it stops. A power cut
ends all processes at once; loss of data that a disk had confirmed is not tested.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Sequence

from tests.e2e import booting
from tests.e2e.converge import HOST, PHASE1
from tools.campaigns import lab

# Maximum of seconds between two boots.
PAUSE = 20
UNREACHABLE = "repositories unreachable"


def reboot(kind: str, unreachable: bool) -> tuple[float, list[str]]:
    """Reboot once; return the seconds until the host was up, and the problems afterwards."""
    if unreachable:
        lab.switch_repositories("outage")
        # Creates a segment that must be archived.
        lab.run_or_raise(HOST, "runuser -u postgres -- psql -XAtqc 'SELECT pg_switch_wal()'")
    try:
        boot = booting.boot([HOST], kind, booting.WAYS)
    finally:
        if unreachable:
            lab.switch_repositories("none")
    problems = [*(f"{name} is missing" for name in boot.missing), *boot.ailing]
    return boot.seconds, problems


def build_result(tries: Sequence[tuple[str, float, bool]], failures: list[str], seed: int) -> lab.Result:
    """Return the result with a row for each kind of reboot."""
    rows: list[list[object]] = []
    for kind in sorted({one[0] for one in tries}):
        seconds = [one[1] for one in tries if one[0] == kind]
        healthy = sum(one[2] for one in tries if one[0] == kind)
        rows.append([kind, len(seconds), healthy, f"{statistics.median(seconds):.0f}", f"{max(seconds):.0f}"])
    head = ("kind", "boots", "healthy", "duration, median (s)", "maximum (s)")
    return lab.Result("reboots", seed, head, rows, failures)


def run(times: int, seed: int) -> lab.Result:
    """Run the campaign; afterwards site.yml must change nothing."""
    lab.run_make("hosts", "docs", "secrets")
    PHASE1.converge()
    rng = random.Random(seed)  # noqa: S311 - not used for cryptography
    tries: list[tuple[str, float, bool]] = []
    failures: list[str] = []
    for number in range(times):
        kind, unreachable = (booting.ORDERLY, booting.CUT)[number % 2], number % 4 > 1
        time.sleep(rng.uniform(0, PAUSE))
        seconds, problems = reboot(kind, unreachable)
        name = f"{kind}, {UNREACHABLE}" if unreachable else kind
        tries.append((name, seconds, not problems))
        print(f"{number + 1}/{times}: {name}: {'; '.join(problems) or 'healthy'} after {seconds:.0f} s", flush=True)
        failures += [f"boot {number + 1}, {name}: {'; '.join(problems)}"] if problems else []
    if changed := PHASE1.converge().changed[HOST]:
        failures.append(f"afterwards site.yml changes {changed} tasks")
    return build_result(tries, failures, seed)
