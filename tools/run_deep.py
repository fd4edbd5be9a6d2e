"""Run long fault scenarios and campaigns: targets of `make test-deep`, as molecule/tiers.yml names them.

Usage: python -m tools.run_deep [TARGET...]     all targets when none is named
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

from tools import run_scenarios, tiers
from tools.collection import ROOT
from tools.run_gates import Outcome, summary

LIMIT = 900


def commands(target: tiers.Target) -> Iterator[list[str]]:
    """Yield what a target runs after its scenarios."""
    if target.e2e:
        yield ["pytest", "--verbose", "-m", "deep", "--killed", *(f"tests/e2e/{name}" for name in target.e2e)]
    for arguments in target.campaigns:
        yield [sys.executable, "-m", "tools.campaigns", *shlex.split(arguments)]


def run(target: tiers.Target) -> Outcome:
    """Run one target to its end, within its time."""
    begun = time.monotonic()
    passed = not target.scenarios or run_scenarios.main(["--deep", *target.scenarios]) == 0
    for argv in commands(target):
        left = LIMIT - (time.monotonic() - begun)
        print(f"$ {shlex.join(argv)}", flush=True)
        try:
            environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
            done = subprocess.run(argv, cwd=ROOT, env=environment, check=False, timeout=max(left, 1)).returncode == 0
        except subprocess.TimeoutExpired:
            print(f"{target.name}: not finished after {LIMIT} s", flush=True)
            done = False
        passed = passed and done
    return Outcome(target.name, passed, time.monotonic() - begun)


def main(names: Sequence[str]) -> int:
    """Run the named targets, or all, whatever fails."""
    targets = tiers.deep_targets(ROOT)
    unknown = [name for name in names if name not in targets]
    if unknown:
        print(f"no such target: {', '.join(unknown)}; there are {', '.join(targets)}", file=sys.stderr)
        return 2
    begun = time.monotonic()
    outcomes = []
    for name in names or targets:
        outcomes.append(run(targets[name]))
        print(
            f"=== {name} {'passed' if outcomes[-1].passed else 'FAILED'} after {outcomes[-1].seconds:.0f} s", flush=True
        )
    print(f"\n{summary(outcomes, time.monotonic() - begun)}", flush=True)
    return 0 if all(outcome.passed for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
