"""Restore the state directly before DROP TABLE, many times, and compare every row with the rows of that time.

Then restore the end of the timeline that was left by this restore: all its commits must be restored. The host is that
of the scenario restore_database; the module database_restore replaces the running primary.
"""

from __future__ import annotations

import random
import time

from tools.campaigns import lab

SCENARIO = "restore_database"
CHECKSUM = "select count(*), md5(string_agg(id || body, '' order by id)) from lesson"
TIMELINE = "select timeline_id from pg_control_checkpoint()"
MORE = "insert into lesson select g, md5(random()::text) from generate_series({}, {}) g"


def run_queries(*queries: str) -> str:
    """Run queries on the database; return their output."""
    options = " ".join(f'-c "{query}"' for query in queries)
    return lab.run_or_raise(lab.HOST, f"runuser -u postgres -- psql -XAtq -v ON_ERROR_STOP=1 {options}")


def restore(**target: str) -> tuple[str, float]:
    """Restore over the running cluster; return the error (empty for success) and the duration in seconds."""
    began = time.monotonic()
    problem = lab.restore_database(**target)
    seconds = time.monotonic() - began
    lab.run_or_raise(lab.HOST, "rm -rf /var/lib/postgresql/17/main.before-*")
    return problem, seconds


def prepare_table(rows: int) -> tuple[str, str, str]:
    """Write rows, record time and checksum, write more, drop the table; return both and the timeline."""
    run_queries("create table lesson (id int primary key, body text)", MORE.format(1, rows))
    expected = run_queries(CHECKSUM)
    moment = run_queries("select clock_timestamp() at time zone 'utc'", "select pg_sleep(0.5)").splitlines()[0]
    # Committed in the last half second, and must not be restored
    run_queries(MORE.format(rows + 1, 2 * rows), "insert into dropped default values", "select pg_sleep(0.5)")
    run_queries("drop table lesson")
    return f"{moment}+00:00", expected, run_queries(TIMELINE)


def run_try(number: int, rows: int) -> tuple[str, float, float]:
    """Restore back and forward again; return the problem (empty for none) and the seconds of both restores."""
    moment, expected, timeline = prepare_table(rows)
    problem, back = restore(target="time", value=moment)
    if problem or (found := run_queries(CHECKSUM)) != expected:
        return problem or f"expected {expected}, found {found}", back, 0.0
    problem, forward = restore(timeline=timeline)
    if (
        problem
        or (found := run_queries("select count(*), to_regclass('lesson') is null from dropped")) != f"{number}|t"
    ):
        return problem or f"back on timeline {timeline}: expected {number}|t, found {found}", back, forward
    return "", back, forward


def run(times: int, seed: int) -> lab.Result:
    """Run the campaign, each time with another number of rows."""
    lab.converge_anew(SCENARIO)
    run_queries("create table dropped (number serial)")
    lab.run_or_raise(lab.HOST, "systemctl start vise-pgbackrest@full")
    rng = random.Random(seed)  # noqa: S311 - not used for cryptography
    rows: list[list[object]] = []
    failures = []
    for number in range(1, times + 1):
        count = rng.randrange(1, 50_000)
        problem, back, forward = run_try(number, count)
        rows.append([number, count, "no" if problem else "yes", f"{back:.1f}", f"{forward:.1f}"])
        print(f"{number}/{times}: {count} rows: {problem or 'exact'}, {back:.1f} s and {forward:.1f} s", flush=True)
        if problem:
            failures.append(f"try {number}: {problem}")
            break
    exact = sum(row[2] == "yes" for row in rows)
    rows.append(["all", sum(int(str(row[1])) for row in rows), f"{exact} of {len(rows)}", "", ""])
    lab.molecule("destroy", SCENARIO)
    return lab.Result("pitr", seed, ("try", "rows", "exact", "back (s)", "forward (s)"), rows, failures)
