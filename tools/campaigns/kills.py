"""Kill a PostgreSQL primary many times under concurrent writers, and count the acknowledged rows that are lost.

The hosts are those of the scenario postgresql. The writers run on the standby's host and record an id after its commit
was acknowledged.
"""

from __future__ import annotations

import random
import statistics
import time

from tools import collection
from tools.campaigns import lab

SCENARIO = "postgresql"
WRITERS_HOST = f"{lab.HOST}-b"
WRITERS = 16
# Average seconds between two kills.
PAUSE = 6.0
CONNINFO = (
    f"host=172.30.0.10{lab.WORKER} user=edu_app password=app-word dbname=edu connect_timeout=2 "
    "sslmode=verify-full sslrootcert=/etc/vise/tls/internal/ca.pem"
)
# The owner creates the table, so that the application may write to it.
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


def build_result(milliseconds: list[int], acknowledged: int, lost: int, seed: int) -> lab.Result:
    """Return the result; a campaign without a kill or without a row has failed."""
    failures = [
        *(["nothing was killed"] if not milliseconds else []),
        *(["no row was written"] if not acknowledged else []),
        *([f"{lost} acknowledged rows are lost"] if lost else []),
    ]
    times = [f"{aggregate(milliseconds) / 1000:.1f}" if milliseconds else "" for aggregate in (statistics.median, max)]
    head = ("kills", "recovery, median (s)", "maximum (s)", "acknowledged rows", "lost rows")
    return lab.Result("kills", seed, head, [[len(milliseconds), *times, acknowledged, lost]], failures)


def run(times: int, seed: int) -> lab.Result:
    """Start the writers, kill the primary, and count the rows."""
    lab.converge_anew(SCENARIO)
    writers = (collection.ROOT / "molecule/postgresql/files/writers.py").read_text()
    lab.run_or_raise(WRITERS_HOST, "cat >/srv/writers.py; rm -f /srv/campaign.*", writers)
    lab.run_or_raise(lab.HOST, "runuser -u postgres -- psql -Xq -v ON_ERROR_STOP=1 edu", TABLE)
    start = "systemd-run --quiet --collect --unit=writers /usr/bin/python3 /srv/writers.py"
    lab.run_or_raise(WRITERS_HOST, f"{start} '{CONNINFO}' /srv/campaign {WRITERS}")
    rng = random.Random(seed)  # noqa: S311 - not used for cryptography
    milliseconds = []
    for number in range(1, times + 1):
        time.sleep(rng.uniform(0.3, 1.7) * PAUSE)
        milliseconds.append(int(lab.run_or_raise(lab.HOST, KILL)))
        print(f"{number}/{times}: writable again after {milliseconds[-1]} ms", flush=True)
    acknowledged, lost = map(int, lab.run_or_raise(WRITERS_HOST, f"WHERE='{CONNINFO}'; {COUNT}").split())
    lab.molecule("destroy", SCENARIO)
    return build_result(milliseconds, acknowledged, lost, seed)
