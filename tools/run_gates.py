"""Run make targets, all of them whatever fails, and report the result of each at the end.

Usage: python -m tools.run_gates TARGET... [beside TARGET...]

Targets run one after another; those after `beside` are another lane, which runs at the same time. Each line of output
begins with the name of its target. TARGET@OTHER waits until OTHER, in another lane, has ended.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

BESIDE = "beside"
# Lines that name a test or a scenario that failed.
FAILURE = re.compile(r"(FAILED|ERROR) \S+::|molecule: .* FAILED in |fatal: \[")
LONGEST = 20


@dataclass(frozen=True)
class Outcome:
    """The result of one gate."""

    name: str
    passed: bool
    seconds: float
    # The last lines that name a failure.
    failures: Sequence[str] = ()


def split(names: Sequence[str], word: str) -> list[list[str]]:
    """Split a list at a word; parts with nothing in them are left out."""
    parts: list[list[str]] = [[]]
    for name in names:
        if name == word:
            parts.append([])
        else:
            parts[-1].append(name)
    return [part for part in parts if part]


def run(name: str) -> Outcome:
    """Run one make target."""
    begun = time.monotonic()
    child = subprocess.Popen(
        ["make", "--no-print-directory", "--keep-going", name],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        # A test is shown when it ends, and not when a buffer is full.
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    failures = []
    for line in child.stdout or ():
        print(f"{name} | {line.rstrip()}", flush=True)
        if FAILURE.match(line):
            failures.append(line.rstrip())
    passed = child.wait() == 0
    # A gate may pass although lines of its output name failures: those that its tests provoke.
    outcome = Outcome(name, passed, time.monotonic() - begun, [] if passed else failures[-LONGEST:])
    print(f"=== {name} {'passed' if passed else 'FAILED'} after {outcome.seconds:.0f} s", flush=True)
    return outcome


def run_lane(names: Iterable[str], ended: Mapping[str, threading.Event]) -> list[Outcome]:
    """Run targets one after another, each after the one that it waits for."""
    outcomes = []
    for entry in names:
        name, _at, other = entry.partition("@")
        if other:
            ended[other].wait()
        try:
            outcomes.append(run(name))
        finally:
            ended[name].set()
    return outcomes


def run_lanes(names: Sequence[str]) -> list[Outcome]:
    """Run lanes at the same time."""
    lanes = split(names, BESIDE)
    ended = {name.partition("@")[0]: threading.Event() for lane in lanes for name in lane}
    with ThreadPoolExecutor(max_workers=len(lanes)) as pool:
        return [outcome for lane in pool.map(lambda lane: run_lane(lane, ended), lanes) for outcome in lane]


def summary(outcomes: Sequence[Outcome], seconds: float) -> str:
    """Return each failure by name, the result and the seconds of each gate, and the counts in a last line."""
    failures = [f"{one.name} | {line}" for one in outcomes for line in one.failures]
    rows = [f"{'passed' if one.passed else 'FAILED'}  {one.seconds:6.0f} s  {one.name}" for one in outcomes]
    passed = sum(one.passed for one in outcomes)
    return "\n".join(
        [*failures, *rows, f"        {seconds:6.0f} s  in all", f"{passed} passed, {len(outcomes) - passed} failed"]
    )


def main(arguments: Sequence[str]) -> int:
    """Run the named gates."""
    begun = time.monotonic()
    outcomes = run_lanes(arguments)
    print(f"\n{summary(outcomes, time.monotonic() - begun)}", flush=True)
    return 0 if all(one.passed for one in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
