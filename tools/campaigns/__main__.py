"""Run a campaign by its name."""

from __future__ import annotations

import argparse
import random
import sys

from tools.campaigns import corruption, drills, kills, lab, pitr, reboots, runs

CAMPAIGNS = {
    "corruption": corruption.run,
    "drills": drills.run,
    "kills": kills.run,
    "pitr": pitr.run,
    "reboots": reboots.run,
    "runs": runs.run,
}


def main(arguments: list[str]) -> int:
    """Run the campaign, print and save its table; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.campaigns", description=lab.__doc__)
    parser.add_argument("campaign", choices=sorted(CAMPAIGNS))
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args(arguments)
    print(f"{options.campaign}: {options.times} times, seed {options.seed}", flush=True)
    result = CAMPAIGNS[options.campaign](options.times, options.seed)
    print(lab.format_table(result), f"saved as {lab.save(result)}", sep="\n")
    return int(bool(result.failures))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
