"""Kill a PostgreSQL primary again and again while others write, and count acknowledged rows that are lost.

Usage: python -m tools.kill_campaign [--kills 20] [--minutes 8] [--writers 16]

It stands on the scenario `postgresql` as `molecule converge -s postgresql` leaves it, and is no part of `make test`: it
runs as long as one lets it. The writers are on the standby's host, and note an id once its commit was acknowledged.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import time
from dataclasses import dataclass, field

from tools.collection import ROOT

WRITERS = ROOT / "molecule/postgresql/files/writers.py"
KILL = """
set -eu
unit=postgresql@17-main
main=$(systemctl show -P MainPID $unit)
[ "$(cat /proc/$main/comm)" = postgres ]
began=$(date +%s%N)
kill -9 "$main"
until [ "$(systemctl show -P MainPID $unit)" != "$main" ] &&
  runuser -u postgres -- psql -XAtqc 'CREATE TEMP TABLE again ()' edu 2>/dev/null; do sleep 0.02; done
echo $(( ($(date +%s%N) - began) / 1000000 ))
"""
# As its owner makes it, so that the application may write.
TABLE = """
SET ROLE edu;
CREATE TABLE IF NOT EXISTS written (writer int, number int, PRIMARY KEY (writer, number));
TRUNCATE written;
"""
COUNT = """
set -eu -o pipefail
systemctl stop writers
cat /srv/campaign.* | sort -u >/srv/acknowledged
psql -XAtF ' ' "$1" -c 'SELECT writer, number FROM written' | sort -u >/srv/kept
echo "$(wc -l </srv/acknowledged) $(comm -23 /srv/acknowledged /srv/kept | wc -l)"
"""


@dataclass
class Campaign:
    """What came of it."""

    milliseconds: list[int] = field(default_factory=list)
    acknowledged: int = 0
    lost: int = 0

    def report(self) -> str:
        """Return it in words."""
        times = sorted(self.milliseconds)
        middle = times[len(times) // 2] / 1000 if times else 0
        longest = times[-1] / 1000 if times else 0
        return (
            f"{len(times)} kills, back after {middle:.1f} s (median), {longest:.1f} s at most; "
            f"{self.acknowledged} rows acknowledged, {self.lost} lost"
        )

    def passed(self) -> bool:
        """Whether something was tried, and nothing was lost."""
        return bool(self.milliseconds) and self.acknowledged > 0 and not self.lost


def inside(host: str, script: str, *arguments: str, given: str = "") -> str:
    """Run a script on a sandbox's host; return what it prints."""
    command = ["docker", "exec", "-i", host, "bash", "-c", script, "bash", *arguments]
    return subprocess.run(command, input=given, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def run(options: argparse.Namespace) -> Campaign:
    """Let others write, kill, and count."""
    found = Campaign()
    inside(options.others, "cat >/srv/writers.py; rm -f /srv/campaign.*", given=WRITERS.read_text())
    start = 'systemd-run --quiet --collect --unit=writers /usr/bin/python3 /srv/writers.py "$1" /srv/campaign "$2"'
    inside(options.primary, "runuser -u postgres -- psql -Xq -v ON_ERROR_STOP=1 edu", given=TABLE)
    inside(options.others, start, options.conninfo, str(options.writers))
    end = time.monotonic() + options.minutes * 60
    pause = options.minutes * 60 / max(options.kills, 1)
    while len(found.milliseconds) < options.kills and time.monotonic() < end:
        time.sleep(random.uniform(0.3, 1.7) * max(pause - 1, 0.3))  # noqa: S311  # no secret
        found.milliseconds.append(int(inside(options.primary, KILL)))
        print(f"kill {len(found.milliseconds)}: writes again after {found.milliseconds[-1]} ms", flush=True)
    found.acknowledged, found.lost = map(int, inside(options.others, COUNT, options.conninfo).split())
    return found


def main(arguments: list[str]) -> int:
    """Run a campaign and report."""
    worker = os.environ.get("VISE_WORKER", "1")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--writers", type=int, default=16)
    parser.add_argument("--primary", default=f"molecule-{worker}")
    parser.add_argument("--others", default=f"molecule-{worker}-b")
    parser.add_argument(
        "--conninfo",
        default=f"host=172.30.0.10{worker} user=edu_app password=app-word dbname=edu connect_timeout=2 "
        "sslmode=verify-full sslrootcert=/etc/vise/tls/internal/ca.pem",
    )
    found = run(parser.parse_args(arguments))
    print(found.report())
    return 0 if found.passed() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
