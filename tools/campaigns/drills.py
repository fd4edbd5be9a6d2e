"""Rebuild the platform from its backups many times, as `make drill` does, each time on a new host.

The platform is that of `make up`. Before each drill a row is written and archived. The platform is lost at a random
time afterwards, so that the loss is between nothing and the writes of one minute, which wait for the archive. From that
time on the platform cannot reach its backups. In addition to the drill's own result, all rows and mails are compared
with those before the loss.

After a failed drill the campaign ends and keeps the host, because the next drill would need its address and remove the
evidence.
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
# Maximum of seconds between the last row and the loss, which is also the maximal delay of the archive.
MAX_DELAY = 60
WAIT = 30


def create_content() -> None:
    """Create rows, keys and a mail, and back them up."""
    if not lab.run_or_raise(HOST, f"{PSQL} -c \"SELECT to_regclass('progress')\""):
        tables = (EDU / "schema.sql").read_text() + (EDU / "seed.sql").read_text()
        lab.run_or_raise(HOST, PSQL, f"SET ROLE edu;\n{tables}")
    lab.run_or_raise(HOST, KEYS)
    lab.run_or_raise("world", MAIL)
    lab.run_or_raise(HOST, f'for _ in $(seq {WAIT}); do [ -n "$({MAILS})" ] && exit 0; sleep 1; done; exit 1')
    for unit in BACKUPS:
        lab.run_or_raise(HOST, f"systemctl start {unit}")


def read_content(host: str) -> tuple[str, set[str]]:
    """Return each table with its number of rows and checksum as text, and the checksums of all mails."""
    return lab.run_or_raise(host, PSQL, TABLES), set(lab.run_or_raise(host, MAILS).split())


def describe_drill(number: int, report: dict[str, Any], run: Run) -> tuple[list[object], list[str]]:
    """Return the table row of a drill, from its saved report, and the reasons of its failure, if any."""
    newest = report["found"].get("newest")
    lost = "" if newest is None else f"{max(0.0, report['began'] - newest):.0f}"
    duration = "" if report["ended"] is None else f"{report['ended'] - report['began']:.0f}"
    message = re.search(r"drill FAILED: .*", run.output)
    problems = [message[0] if message else run.tail] if run.code else []
    return [number, lost, duration, "FAILED" if problems else "passed"], problems


def run_drill(number: int, pause: float, mails: set[str]) -> tuple[list[object], list[str]]:
    """Write a row, lose the platform after `pause` seconds, and rebuild it; return the table row and the problems."""
    DRILL.destroy()
    lab.run_or_raise(HOST, PSQL, ROW)
    lab.run_or_raise(HOST, ARCHIVE)
    rows, _ = read_content(HOST)
    time.sleep(pause)
    before = set(REPORTS.glob("*.json"))
    lab.switch_repositories("outage")
    try:
        run = DRILL.play("drill", extra={"drill_reports": str(REPORTS), "drill_keep": True})
    finally:
        lab.switch_repositories("none")
    [path] = set(REPORTS.glob("*.json")) - before
    row, problems = describe_drill(number, json.loads(path.read_text()), run)
    if problems:
        return [*row, ""], problems
    rebuilt = read_content(REBUILT)
    problems = [
        *([f"rows differ: expected {rows}, found {rebuilt[0]}"] if rebuilt[0] != rows else []),
        *([f"{len(mails - rebuilt[1])} mails are missing"] if mails - rebuilt[1] else []),
    ]
    return [*row, "no" if problems else "yes"], problems


def run(times: int, seed: int) -> lab.Result:
    """Run drills until one fails, at most `times`."""
    lab.run_make("hosts", "docs", "secrets")
    PHASE1.converge()
    create_content()
    _, mails = read_content(HOST)
    rng = random.Random(seed)  # noqa: S311 - not used for cryptography
    rows: list[list[object]] = []
    failures: list[str] = []
    for number in range(1, times + 1):
        row, problems = run_drill(number, rng.uniform(0, MAX_DELAY), mails)
        rows.append(row)
        print(f"{number}/{times}: RPO {row[1]} s, RTO {row[2]} s: {'; '.join(problems) or 'passed'}", flush=True)
        if problems:
            failures = [f"drill {number}: {'; '.join(problems)} (the host {REBUILT} is kept)"]
            break
    if not failures:
        DRILL.destroy()
    return build_result(rows, failures, seed)


def build_result(rows: list[list[object]], failures: list[str], seed: int) -> lab.Result:
    """Return the result with a last row of the maximal seconds and the number of passed drills."""
    most = [max((str(row[place]) for row in rows if row[place]), key=int, default="") for place in (1, 2)]
    passed = len(rows) - len(failures)
    head = ("drill", "RPO (s)", "RTO (s)", "result", "rows and mails restored")
    return lab.Result("drills", seed, head, [*rows, ["maximum", *most, f"{passed} of {len(rows)}", ""]], failures)
