"""Let the first repository fail while a backup is written to it and WAL comes to it: faults.py HOST ADDRESS FAULT...

Runs on the controller, which alone can switch the sandbox's faults; prints what was seen of each as JSON.
"""

from __future__ import annotations

import json
import re
import sys
import time
from typing import Any

from sandbox_faults import inside, switch, until

HOST, ADDRESS, *FAULTS = sys.argv[1:]
UNIT = "vise-pgbackrest@incr"
METRICS = "cd /var/lib/prometheus/node-exporter; cat vise_pgbackrest.prom vise_archive_queue.prom"
# A commit and its whole segment, which the archive is to take.
WRITE = "insert into under_fault select g, md5(random()::text) from generate_series(1, 100) g; select pg_switch_wal()"
COUNT = "select count(*) from under_fault"
READY = "ls /var/lib/postgresql/17/main/pg_wal/archive_status/*.ready"


def sql(text: str) -> str:
    """Ask the database, and expect an answer."""
    return inside(HOST, f'runuser -u postgres -- psql -XAtq -v ON_ERROR_STOP=1 -c "{text}"').stdout.strip()


def metric(text: str, name: str, **labels: str) -> float:
    """Return a metric's value, 0 when it is not there."""
    wanted = ",".join(f'{key}="{value}"' for key, value in labels.items())
    found = re.search(rf"^{name}(?:{{[^}}]*{wanted}}})? ([0-9.e+]+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def begin_backup() -> None:
    """Start a backup, and halt it when it has read its repository and begins to copy."""
    sql("create table if not exists under_fault (id int, body text)")
    sql("insert into under_fault select 0, md5(random()::text) from generate_series(1, 60000)")
    inside(HOST, f"systemctl reset-failed {UNIT}; systemctl start --no-block {UNIT}")
    session = "select 1 from pg_stat_activity where application_name like 'pgBackRest%backup%'"
    inside(
        HOST,
        f"""until runuser -u postgres -- psql -XAtqc "{session}" | grep -q 1; do :; done
        systemctl kill --signal=STOP {UNIT}; test "$(systemctl is-active {UNIT})" = activating""",
    )


def tried(fault: str) -> dict[str, Any]:
    """Bring one fault, look at what is seen of it, and let the repository be itself again."""
    began = time.time()
    begin_backup()
    rows = int(sql(COUNT))
    try:
        switch(ADDRESS, fault)
        inside(HOST, f"systemctl kill --signal=CONT {UNIT}")
        moment = time.monotonic()
        sql(WRITE)
        wrote = time.monotonic() - moment
        until(HOST, f"journalctl -u {UNIT} -o cat --since=@{began:.0f} | grep 'repository 1 '")
        took = time.time() - began
        inside(HOST, "systemctl start vise-archive-queue")
        queue = metric(inside(HOST, METRICS).stdout, "vise_archive_queue_bytes")
    finally:
        switch(ADDRESS, "none")
    # PostgreSQL, which has given up for a minute, tries again with the next segment
    sql(WRITE)
    drained = until(HOST, f"! {READY}")
    until(HOST, f"! systemctl is-active {UNIT} | grep -q activating")
    failed = not inside(HOST, f"systemctl is-failed {UNIT}", must=False).returncode
    seen = inside(HOST, METRICS).stdout
    journal = inside(HOST, f"journalctl -u {UNIT} -o cat --since=@{began:.0f}").stdout
    labels = {"tool": "pgbackrest", "kind": "incr"}
    failure = metric(seen, "vise_backup_last_failure_timestamp_seconds", **labels, repository="1")
    other = metric(seen, "vise_backup_last_success_timestamp_seconds", **labels, repository="2")
    return {
        "fault": fault,
        "failed": failed,
        "seconds": round(took, 1),
        "said": [line for line in journal.splitlines() if "repository 1 " in line][-1],
        "failure_noted": failure >= began - 1,
        "other_repository": other >= began - 1,
        "queue_bytes": queue,
        "write_seconds": round(wrote, 1),
        "drained_after": drained,
        "again": not inside(HOST, f"systemctl start {UNIT}", must=False).returncode,
        "rows": int(sql(COUNT)) - rows,
    }


print(json.dumps([tried(fault) for fault in FAULTS], indent=1))
