"""Run make targets, all of them whatever fails, and say at the end how each went.

Usage: python -m tools.run_gates TARGET... [beside TARGET...] [then TARGET... [beside TARGET...]]

Targets run one after another. Those after `beside` run at the same time as those before it, each line with the name of
its gate in front; those after `then` wait until everything before has ended.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

BESIDE, THEN = "beside", "then"


@dataclass(frozen=True)
class Outcome:
    """How one gate went."""

    name: str
    passed: bool
    seconds: float


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
        # Whoever watches sees a test when it ends, and not when a buffer is full.
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    for line in child.stdout or ():
        print(f"{name} | {line.rstrip()}", flush=True)
    passed = child.wait() == 0
    outcome = Outcome(name, passed, time.monotonic() - begun)
    print(f"=== {name} {'passed' if passed else 'FAILED'} after {outcome.seconds:.0f} s", flush=True)
    return outcome


def run_lane(names: Iterable[str]) -> list[Outcome]:
    """Run targets one after another."""
    return [run(name) for name in names]


def run_stage(names: Sequence[str]) -> list[Outcome]:
    """Run lanes at the same time."""
    lanes = split(names, BESIDE)
    with ThreadPoolExecutor(max_workers=len(lanes)) as pool:
        return [outcome for lane in pool.map(run_lane, lanes) for outcome in lane]


def summary(outcomes: Sequence[Outcome], seconds: float) -> str:
    """Tell how each gate went and how long all took together, and the count in a last line of its own."""
    rows = [f"{'passed' if one.passed else 'FAILED'}  {one.seconds:6.0f} s  {one.name}" for one in outcomes]
    passed = sum(one.passed for one in outcomes)
    return "\n".join([*rows, f"        {seconds:6.0f} s  in all", f"{passed} passed, {len(outcomes) - passed} failed"])


def main(arguments: Sequence[str]) -> int:
    """Run the named gates."""
    begun = time.monotonic()
    outcomes = [outcome for stage in split(arguments, THEN) for outcome in run_stage(stage)]
    print(f"\n{summary(outcomes, time.monotonic() - begun)}", flush=True)
    return 0 if all(one.passed for one in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
