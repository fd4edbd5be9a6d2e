"""Rebuild the platform from its backups again and again, as `make drill` does, each time on a host that is new.

The platform is that of `make up`. Before each drill a row is written, and brought into the archive; the loss is then at
a moment by chance, so that what is lost is between nothing and what waits a minute for the archive. From that moment on
nothing of the platform reaches its backups, as when it is lost. Beside the drill's own verdict, the rows of before and
all mails are compared with what has come back.

The first drill that fails is the last, and its host stays: the next would need its address, and remove what there is to
look at.
"""

from __future__ import annotations

import json
import random
import re
import time
from typing import Any

from tests.e2e.converge import ARCHIVE, DRILL, HOST, MAILS, PHASE1, TABLES
from tests.runs import Run
from tools import collection
from tools.campaigns import lab

REBUILT = "drill-1"
REPORTS = collection.ROOT / ".cache/campaigns/drills"
EDU = collection.ROOT / "examples/edu/database"
PSQL = "runuser -u postgres -- psql -XAtq -v ON_ERROR_STOP=1 -d edu"
KEYS = "vise-redis cli MSET $(for number in $(seq 100); do echo edu:$number $number; done)"
MAIL = "swaks --silent 2 --to postmaster@vln.test --server mail.vln.test"
BACKUPS = ("vise-pgbackrest@full", *(f"restic-backup@{name}:first" for name in ("configuration", "redis", "mail")))
ROW = "INSERT INTO users (email, name) SELECT gen_random_uuid() || '@example.org', 'Drill'"
# Seconds between the last row and the loss, at most: as long as the archive is behind, at most.
LATEST = 60
WAIT = 30


def fill() -> None:
    """Have rows, keys and mail, and backups of them."""
    if not lab.must(HOST, f"{PSQL} -c \"SELECT to_regclass('progress')\""):
        tables = (EDU / "schema.sql").read_text() + (EDU / "seed.sql").read_text()
        lab.must(HOST, PSQL, f"SET ROLE edu;\n{tables}")
    lab.must(HOST, KEYS)
    lab.must("world", MAIL)
    lab.must(HOST, f'for _ in $(seq {WAIT}); do [ -n "$({MAILS})" ] && exit 0; sleep 1; done; exit 1')
    for unit in BACKUPS:
        lab.must(HOST, f"systemctl start {unit}")


def held(host: str) -> tuple[str, set[str]]:
    """Return every table with its rows and a checksum over them, and the checksum of every mail."""
    return lab.must(host, PSQL, TABLES), set(lab.must(host, MAILS).split())


def told(number: int, report: dict[str, Any], run: Run) -> tuple[list[object], list[str]]:
    """Return the row of a drill, from the report that it has kept, and why it has failed; nothing when it has not."""
    newest = report["found"].get("newest")
    lost = "" if newest is None else f"{max(0.0, report['began'] - newest):.0f}"
    took = "" if report["ended"] is None else f"{report['ended'] - report['began']:.0f}"
    said = re.search(r"drill FAILED: .*", run.output)
    wrong = [said[0] if said else run.tail] if run.code else []
    return [number, lost, took, "FAILED" if wrong else "passed"], wrong


def tried(number: int, pause: float, mails: set[str]) -> tuple[list[object], list[str]]:
    """Write a row, lose the platform some seconds later, and rebuild it; return the drill's row, and what is wrong."""
    DRILL.destroy()
    lab.must(HOST, PSQL, ROW)
    lab.must(HOST, ARCHIVE)
    rows, _ = held(HOST)
    time.sleep(pause)
    before = set(REPORTS.glob("*.json"))
    lab.repositories("outage")
    try:
        run = DRILL.play("drill", extra={"drill_reports": str(REPORTS), "drill_keep": True})
    finally:
        lab.repositories("none")
    [path] = set(REPORTS.glob("*.json")) - before
    row, wrong = told(number, json.loads(path.read_text()), run)
    if wrong:
        return [*row, ""], wrong
    rebuilt = held(REBUILT)
    wrong = [
        *([f"rows differ: wanted {rows}, found {rebuilt[0]}"] if rebuilt[0] != rows else []),
        *([f"{len(mails - rebuilt[1])} mails are missing"] if mails - rebuilt[1] else []),
    ]
    return [*row, "no" if wrong else "yes"], wrong


def run(times: int, seed: int) -> lab.Result:
    """Drill until one fails, at most so often."""
    lab.made("hosts", "docs", "secrets")
    PHASE1.converge()
    fill()
    _, mails = held(HOST)
    dice = random.Random(seed)  # noqa: S311 - when the platform is lost is no secret
    rows: list[list[object]] = []
    failures: list[str] = []
    for number in range(1, times + 1):
        row, wrong = tried(number, dice.uniform(0, LATEST), mails)
        rows.append(row)
        print(f"{number}/{times}: RPO {row[1]} s, RTO {row[2]} s: {'; '.join(wrong) or 'passed'}", flush=True)
        if wrong:
            failures = [f"drill {number}: {'; '.join(wrong)} ({REBUILT} is left to look at)"]
            break
    if not failures:
        DRILL.destroy()
    return result(rows, failures, seed)


def result(rows: list[list[object]], failures: list[str], seed: int) -> lab.Result:
    """Sum it up: of the seconds, the most."""
    most = [max((str(row[place]) for row in rows if row[place]), key=int, default="") for place in (1, 2)]
    passed = len(rows) - len(failures)
    head = ("drill", "RPO (s)", "RTO (s)", "verdict", "rows and mails are there")
    return lab.Result("drills", seed, head, [*rows, ["at most", *most, f"{passed} of {len(rows)}", ""]], failures)
