"""Go back to one second before DROP TABLE, again and again, and compare every row with those that were there then.

Then go forward again, on the timeline that was given up by that: all that was committed there must be back. The host is
that of the scenario restore_database, the restore the module's own, over the running primary.
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
TIMELINE = "select timeline_id from pg_control_checkpoint()"
MORE = "insert into lesson select g, md5(random()::text) from generate_series({}, {}) g"


def sql(*queries: str) -> str:
    """Ask the database."""
    words = " ".join(f'-c "{query}"' for query in queries)
    return lab.must(lab.HOST, f"runuser -u postgres -- psql -XAtq -v ON_ERROR_STOP=1 {words}")


def restore(**target: str) -> tuple[str, float]:
    """Restore over what runs; return why that failed, nothing when it did not, and how long it took."""
    arguments = {**target, "replace_live": True}
    began = time.monotonic()
    done = subprocess.run(
        ["ansible", *lab.reached(), "-m", "vise.platform.database_restore", "-a", json.dumps(arguments)],
        cwd=collection.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    lab.must(lab.HOST, "rm -rf /var/lib/postgresql/17/main.before-*")
    return f"{done.stdout[-1000:]}{done.stderr[-1000:]}" if done.returncode else "", time.monotonic() - began


def there(rows: int) -> tuple[str, str, str]:
    """Write, note, write on, drop; return the moment to go back to, what was there then, and on which timeline."""
    sql("create table lesson (id int primary key, body text)", MORE.format(1, rows))
    wanted = sql(CHECKSUM)
    moment = sql("select clock_timestamp() at time zone 'utc'", "select pg_sleep(0.5)").splitlines()[0]
    # Committed in the last half second: it is not to come back
    sql(MORE.format(rows + 1, 2 * rows), "insert into dropped default values", "select pg_sleep(0.5)")
    sql("drop table lesson")
    return f"{moment}+00:00", wanted, sql(TIMELINE)


def tried(number: int, rows: int) -> tuple[str, float, float]:
    """Go back and forward again; return what is wrong, and how long the two restores took."""
    moment, wanted, timeline = there(rows)
    problem, back = restore(target="time", value=moment)
    if problem or (found := sql(CHECKSUM)) != wanted:
        return problem or f"wanted {wanted}, found {found}", back, 0.0
    problem, forward = restore(timeline=timeline)
    if problem or (found := sql("select count(*), to_regclass('lesson') is null from dropped")) != f"{number}|t":
        return problem or f"on timeline {timeline} again: wanted {number}|t, found {found}", back, forward
    return "", back, forward


def run(times: int, seed: int) -> lab.Result:
    """Do it so often, each time with another number of rows."""
    lab.molecule("converge", SCENARIO)
    sql("create table dropped (number serial)")
    lab.must(lab.HOST, "systemctl start vise-pgbackrest@full")
    dice = random.Random(seed)  # noqa: S311 - how many rows there are is no secret
    rows: list[list[object]] = []
    failures = []
    for number in range(1, times + 1):
        count = dice.randrange(1, 50_000)
        problem, back, forward = tried(number, count)
        rows.append([number, count, "no" if problem else "yes", f"{back:.1f}", f"{forward:.1f}"])
        print(f"{number}/{times}: {count} rows: {problem or 'exact'}, {back:.1f} s and {forward:.1f} s", flush=True)
        if problem:
            failures.append(f"try {number}: {problem}")
            break
    exact = sum(row[2] == "yes" for row in rows)
    rows.append(["all", sum(int(str(row[1])) for row in rows), f"{exact} of {len(rows)}", "", ""])
    lab.molecule("destroy", SCENARIO)
    return lab.Result("pitr", seed, ("try", "rows", "exact", "back (s)", "forward (s)"), rows, failures)
