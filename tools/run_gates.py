"""Run make targets one after another, all of them whatever fails, and say at the end how each went.

Usage: python -m tools.run_gates TARGET...
"""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """How one gate went."""

    name: str
    passed: bool
    seconds: float


def run(name: str) -> Outcome:
    """Run one make target."""
    print(f"\n=== make {name}", flush=True)
    begun = time.monotonic()
    code = subprocess.run(["make", "--no-print-directory", "--keep-going", name], check=False).returncode
    return Outcome(name, code == 0, time.monotonic() - begun)


def summary(outcomes: list[Outcome]) -> str:
    """Tell how each gate went, and the count in a last line of its own."""
    rows = [f"{'passed' if one.passed else 'FAILED'}  {one.seconds:6.0f} s  {one.name}" for one in outcomes]
    total = sum(one.seconds for one in outcomes)
    passed = sum(one.passed for one in outcomes)
    return "\n".join([*rows, f"        {total:6.0f} s  in all", f"{passed} passed, {len(outcomes) - passed} failed"])


def main(names: list[str]) -> int:
    """Run the named gates."""
    outcomes = [run(name) for name in names]
    print(f"\n{summary(outcomes)}", flush=True)
    return 0 if all(one.passed for one in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
