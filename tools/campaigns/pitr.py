"""Go back to one second before DROP TABLE, again and again, and compare every row with those that were there then.

The host is that of the scenario restore_database, the restore the module's own, over the running primary.
"""

from __future__ import annotations

import json
import random
import subprocess
import time

from tools import collection
from tools.campaigns import lab

SCENARIO = "restore_database"
CHECKSUM = "select count(*), md5(string_agg(id || body, '' order by id)) from lesson"
MORE = "insert into lesson select g, md5(random()::text) from generate_series({}, {}) g"


def sql(*queries: str) -> str:
    """Ask the database."""
    words = " ".join(f'-c "{query}"' for query in queries)
    return lab.must(lab.HOST, f"runuser -u postgres -- psql -XAtq -v ON_ERROR_STOP=1 {words}")


def restore(moment: str) -> str:
    """Go back to a moment; return why that failed, nothing when it did not."""
    arguments = {"target": "time", "value": f"{moment}+00:00", "replace_live": True}
    done = subprocess.run(
        ["ansible", *lab.reached(), "-m", "vise.platform.database_restore", "-a", json.dumps(arguments)],
        cwd=collection.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return f"{done.stdout[-1000:]}{done.stderr[-1000:]}" if done.returncode else ""


def tried(rows: int) -> tuple[str, float]:
    """Write, note, write on, drop, go back; return what is wrong, and how long the restore took."""
    sql("create table lesson (id int primary key, body text)", MORE.format(1, rows))
    wanted = sql(CHECKSUM)
    moment = sql("select clock_timestamp() at time zone 'utc'", "select pg_sleep(0.5)").splitlines()[0]
    # Committed in the last half second: it is not to come back
    sql(MORE.format(rows + 1, 2 * rows), "select pg_sleep(0.5)", "drop table lesson")
    began = time.monotonic()
    problem = restore(moment)
    took = time.monotonic() - began
    if problem:
        return problem, took
    found = sql(CHECKSUM)
    sql("drop table lesson")
    lab.must(lab.HOST, "rm -rf /var/lib/postgresql/17/main.before-*")
    return ("" if found == wanted else f"wanted {wanted}, found {found}"), took


def run(times: int, seed: int) -> lab.Result:
    """Do it so often, each time with another number of rows."""
    lab.molecule("converge", SCENARIO)
    lab.must(lab.HOST, "systemctl start vise-pgbackrest@full")
    dice = random.Random(seed)  # noqa: S311 - how many rows there are is no secret
    rows: list[list[object]] = []
    failures = []
    for number in range(1, times + 1):
        count = dice.randrange(1, 50_000)
        problem, took = tried(count)
        rows.append([number, count, "no" if problem else "yes", f"{took:.1f}"])
        print(f"{number}/{times}: {count} rows: {problem or 'exact'}, {took:.1f} s", flush=True)
        if problem:
            failures.append(f"try {number}: {problem}")
            break
    exact = sum(row[2] == "yes" for row in rows)
    rows.append(["all", sum(int(str(row[1])) for row in rows), f"{exact} of {len(rows)}", ""])
    lab.molecule("destroy", SCENARIO)
    return lab.Result("pitr", seed, ("try", "rows", "exact", "seconds"), rows, failures)
