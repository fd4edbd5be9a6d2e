"""Kill a PostgreSQL primary again and again while others write, and count acknowledged rows that are lost.

The hosts are those of the scenario postgresql. The writers are on the standby's, and note an id once its commit was
acknowledged.
"""

from __future__ import annotations

import random
import statistics
import time

from tools import collection
from tools.campaigns import lab

SCENARIO = "postgresql"
OTHERS = f"{lab.HOST}-b"
WRITERS = 16
# Seconds between two kills, on average.
PAUSE = 6.0
CONNINFO = (
    f"host=172.30.0.10{lab.WORKER} user=edu_app password=app-word dbname=edu connect_timeout=2 "
    "sslmode=verify-full sslrootcert=/etc/vise/tls/internal/ca.pem"
)
# As its owner makes it, so that the application may write.
TABLE = """
SET ROLE edu;
CREATE TABLE IF NOT EXISTS written (writer int, number int, PRIMARY KEY (writer, number));
TRUNCATE written;
"""
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
COUNT = """
set -eu -o pipefail
systemctl stop writers
cat /srv/campaign.* | sort -u >/srv/acknowledged
psql -XAtF ' ' "$WHERE" -c 'SELECT writer, number FROM written' | sort -u >/srv/kept
echo "$(wc -l </srv/acknowledged) $(comm -23 /srv/acknowledged /srv/kept | wc -l)"
"""


def result(milliseconds: list[int], acknowledged: int, lost: int, seed: int) -> lab.Result:
    """Judge it; without a kill or a row nothing was tried."""
    failures = [
        *(["nothing was killed"] if not milliseconds else []),
        *(["nobody wrote"] if not acknowledged else []),
        *([f"{lost} acknowledged rows are lost"] if lost else []),
    ]
    times = [f"{pick(milliseconds) / 1000:.1f}" if milliseconds else "" for pick in (statistics.median, max)]
    head = ("kills", "back after, median (s)", "at most (s)", "acknowledged", "lost")
    return lab.Result("kills", seed, head, [[len(milliseconds), *times, acknowledged, lost]], failures)


def run(times: int, seed: int) -> lab.Result:
    """Let others write, kill, and count."""
    lab.molecule("converge", SCENARIO)
    writers = (collection.ROOT / "molecule/postgresql/files/writers.py").read_text()
    lab.must(OTHERS, "cat >/srv/writers.py; rm -f /srv/campaign.*", writers)
    lab.must(lab.HOST, "runuser -u postgres -- psql -Xq -v ON_ERROR_STOP=1 edu", TABLE)
    start = "systemd-run --quiet --collect --unit=writers /usr/bin/python3 /srv/writers.py"
    lab.must(OTHERS, f"{start} '{CONNINFO}' /srv/campaign {WRITERS}")
    dice = random.Random(seed)  # noqa: S311 - when it is killed is no secret
    milliseconds = []
    for number in range(1, times + 1):
        time.sleep(dice.uniform(0.3, 1.7) * PAUSE)
        milliseconds.append(int(lab.must(lab.HOST, KILL)))
        print(f"{number}/{times}: writes again after {milliseconds[-1]} ms", flush=True)
    acknowledged, lost = map(int, lab.must(OTHERS, f"WHERE='{CONNINFO}'; {COUNT}").split())
    lab.molecule("destroy", SCENARIO)
    return result(milliseconds, acknowledged, lost, seed)
