"""Run molecule scenarios on two workers, the longest first.

Usage: python -m tools.run_scenarios [--deep] [SCENARIO...]

Without names: the scenarios of `make test`. With --deep: the fault tests of a scenario instead of its contract. Each
worker has a host of its own (VISE_WORKER), so two scenarios never use the same one. Logs are in .cache/logs.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from tools import tiers
from tools.collection import ROOT

WORKERS = 2
LIMIT = 900
LOGS = ROOT / ".cache/logs"
SECONDS = ROOT / ".cache/scenario-seconds.json"
TAIL = 80
# Scenarios that take minutes, for a machine that has not measured them yet.
LONG = (
    "backup_verify",
    "baseline",
    "firewall",
    "mailcow",
    "newcomer",
    "nginx",
    "pgbackrest",
    "postgresql",
    "restic",
    "ssh",
)
# In the words of .config/molecule/config.yml.
CONTRACT = {"PYTEST_ADDOPTS": "-m 'not deep'", "VISE_VERIFY": "verify.yml"}
DEEP = {"PYTEST_ADDOPTS": "-m deep", "VISE_VERIFY": "faults.yml"}


@dataclass(frozen=True)
class Outcome:
    """The result of one scenario."""

    name: str
    passed: bool
    seconds: float
    log: Path


def longest_first(names: list[str], seconds: dict[str, float]) -> list[str]:
    """Order scenarios so that the last to end is a short one."""
    return sorted(names, key=lambda name: (-seconds.get(name, 500 if name in LONG else 100), name))


def known_seconds() -> dict[str, float]:
    """Return how long each scenario took last time."""
    known: dict[str, float] = json.loads(SECONDS.read_text()) if SECONDS.exists() else {}
    return known


def steps(name: str, deep: bool) -> list[list[str]]:
    """Return molecule's commands for one scenario; fault tests skip the contract's checks."""
    verbs = ["destroy", "converge", "verify", "destroy"] if deep else ["test"]
    return [["molecule", verb, "--scenario-name", name] for verb in verbs]


def run(name: str, worker: int, deep: bool) -> Outcome:
    """Run one scenario with its output in a log."""
    log = LOGS / f"molecule-{name}{'-deep' if deep else ''}.log"
    begun = time.monotonic()
    tier = DEEP if deep else CONTRACT
    environment = {**os.environ, "VISE_WORKER": str(worker), "NO_COLOR": "1", "ANSIBLE_FORCE_COLOR": "0", **tier}
    code = 0
    with log.open("w") as output:
        for argv in steps(name, deep):
            left = LIMIT - (time.monotonic() - begun)
            try:
                code = subprocess.run(
                    argv,
                    cwd=ROOT,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    timeout=max(left, 1),
                    check=False,
                ).returncode
            except subprocess.TimeoutExpired:
                output.write(f"\nnot finished after {LIMIT} s\n")
                code = 1
            if code != 0:
                break
    return Outcome(name, code == 0, time.monotonic() - begun, log)


def work(worker: int, waiting: queue.SimpleQueue[str], outcomes: list[Outcome], total: int, deep: bool) -> None:
    """Run scenarios until none waits."""
    while True:
        try:
            name = waiting.get_nowait()
        except queue.Empty:
            return
        print(f"molecule: {name} starts on worker {worker}", flush=True)
        outcome = run(name, worker, deep)
        outcomes.append(outcome)
        word = "passed" if outcome.passed else "FAILED"
        print(f"molecule: [{len(outcomes)}/{total}] {name} {word} in {outcome.seconds:.0f} s", flush=True)


def run_all(names: list[str], deep: bool) -> list[Outcome]:
    """Run scenarios on all workers."""
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    for name in longest_first(names, known_seconds()):
        waiting.put(name)
    outcomes: list[Outcome] = []
    workers = [
        threading.Thread(target=work, args=(number, waiting, outcomes, len(names), deep), daemon=True)
        for number in range(1, min(WORKERS, len(names)) + 1)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return outcomes


def summary(outcomes: list[Outcome]) -> str:
    """Return the end of each failed log, then the counts."""
    failed = [outcome for outcome in outcomes if not outcome.passed]
    parts = []
    for outcome in failed:
        tail = outcome.log.read_text(errors="replace").splitlines()[-TAIL:]
        parts.append(f"--- {outcome.name}: end of {outcome.log}\n" + "\n".join(tail))
    return "\n".join([*parts, f"{len(outcomes) - len(failed)} passed, {len(failed)} failed"])


def main(arguments: list[str]) -> int:
    """Run the named scenarios, or those of `make test`."""
    deep = "--deep" in arguments
    names = [name for name in arguments if name != "--deep"] or tiers.contract_scenarios(ROOT)
    if not names:
        print("molecule: no scenario found")
        return 1
    LOGS.mkdir(parents=True, exist_ok=True)
    outcomes = run_all(names, deep)
    if not deep:
        seconds = known_seconds() | {one.name: round(one.seconds, 1) for one in outcomes if one.passed}
        SECONDS.write_text(json.dumps(seconds, indent=1, sort_keys=True))
    print(summary(outcomes), flush=True)
    return 0 if all(outcome.passed for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
