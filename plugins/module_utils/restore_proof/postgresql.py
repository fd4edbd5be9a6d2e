# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Prove PostgreSQL's backup: restore it, let it recover to the end of the archive, read every page and row."""

from __future__ import annotations

import csv
import dataclasses
import io
import os
import signal
import subprocess
import time

from . import host, verdicts
from .host import Bench
from .report import Outcome
from .settings import Failed, Settings

BINARIES = "/usr/lib/postgresql/{version}/bin"
# They stand on the command line, where nothing that the live cluster once set for itself beats them.
OVERRIDES = {
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_group": "",
    "unix_socket_permissions": "0700",
    "hot_standby": "off",
    "shared_buffers": "64MB",
    "maintenance_work_mem": "64MB",
    "max_wal_size": "256MB",
    "huge_pages": "off",
    "archive_mode": "off",
    "recovery_target_timeline": "latest",
    "primary_conninfo": "",
    "archive_cleanup_command": "",
    "recovery_end_command": "",
    "synchronous_standby_names": "",
    "max_wal_senders": "0",
    # Subscriptions would fetch from the real publisher, and libraries start what acts on the world.
    "max_logical_replication_workers": "0",
    "shared_preload_libraries": "",
    "session_preload_libraries": "",
    "local_preload_libraries": "",
    "event_triggers": "off",
    "autovacuum": "off",
    "jit": "off",
    "ssl": "off",
    "restart_after_crash": "off",
    "logging_collector": "off",
    "log_destination": "stderr",
    "log_min_messages": "warning",
    "log_statement": "none",
    # It is thrown away; nobody waits for its disk.
    "fsync": "off",
    "full_page_writes": "off",
}
# Whoever owns a database makes functions, operators and casts in it, and we ask it as superuser. By name, only what is
# PostgreSQL's own is found. A cast is found by its type: no query may convert what is the owner's by `::`.
TRUSTED_NAMES = "search_path=pg_catalog,pg_temp"
# What a database or role has set for its sessions beats the command line, and would end a long read.
SESSION = {
    "PGOPTIONS": " ".join(
        f"-c {setting}"
        for setting in (
            "default_transaction_read_only=off",
            "statement_timeout=0",
            "transaction_timeout=0",
            "lock_timeout=0",
            "synchronous_commit=local",
            TRUSTED_NAMES,
        )
    )
}
MARKERS = (
    "SELECT id, (extract(epoch FROM written_at) * 1000000)::bigint, payload, previous, sha256"
    " FROM vise.backup_marker ORDER BY id"
)
# A row's own text makes PostgreSQL read it whole, with all that lies in TOAST; the sum does not depend on their order.
# It is written by PostgreSQL's own functions: (r.*)::text is whatever cast the owner has made of the table's type.
TABLES = r"""
SELECT format(
  'SELECT %L, count(*), coalesce(sum(hashtextextended(textin(record_out(r.*)), 0)::numeric), 0) FROM ONLY %I.%I AS r',
  n.nspname || '.' || c.relname, n.nspname, c.relname)
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm') AND c.relispopulated AND n.nspname NOT IN ('pg_catalog', 'information_schema')
ORDER BY 1 \gexec
"""
COUNT = """
SELECT count(*) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm') AND c.relispopulated AND n.nspname NOT IN ('pg_catalog', 'information_schema')
"""
PATIENCE = 300


def prove(settings: Settings, repository: str, bench: Bench, outcome: Outcome) -> None:
    """Restore the newest set of a repository and look at all of it."""
    newest = newest_set(settings, repository, bench, outcome)
    data = bench.folder("data")
    with outcome.stage("restore", bench.say) as stage:
        restore(settings, repository, bench, outcome)
        stage.bytes = newest.bytes
    binaries = BINARIES.format(version=bench.read("data/PG_VERSION").strip())
    if not os.path.exists(f"{binaries}/postgres"):
        raise Failed(f"{binaries}/postgres is missing: install the PostgreSQL of the backup's version")
    told = bench.run([f"{binaries}/pg_controldata", data]).out
    outcome.facts["system_identifier"] = verdicts.control(told, "Database system identifier")
    with bench.server(instance(settings, repository, bench, binaries, told), "postgresql.log") as process:
        with outcome.stage("recover", bench.say):
            recover(bench, process)
        moment = time.time()
        log, history = bench.read("postgresql.log"), newest_history(bench)
        segment = verdicts.control(told, "Bytes per WAL segment")
        outcome.problems += verdicts.recovered(log, history, newest.wal_max, segment)
        with outcome.stage("read", bench.say) as stage:
            stage.bytes = newest.bytes
            examine(settings, bench, outcome, moment)
        with outcome.stage("amcheck", bench.say) as stage:
            stage.bytes = newest.bytes
            amcheck(bench, binaries, outcome)
        if host.stop(process, signal.SIGINT, PATIENCE) != 0:
            outcome.problems.append(
                f"the restored cluster does not stop: {verdicts.last_words(bench.read('postgresql.log'))}"
            )
    with outcome.stage("checksums", bench.say) as stage:
        stage.bytes = newest.bytes
        checked = bench.run([f"{binaries}/pg_checksums", "--check", "--pgdata", data])
        outcome.facts["blocks_checked"], problems = verdicts.checksums(*checked)
        outcome.problems += problems


def prove_yearly(settings: Settings, repository: str, bench: Bench, outcome: Outcome) -> None:
    """Prove the newest set that is kept for good, from a configuration of its own; nobody asks it to be young."""
    config = settings.pgbackrest_yearly[int(repository) - 1]
    prove(dataclasses.replace(settings, pgbackrest_config=config, rpo_seconds=0), "1", bench, outcome)


def pgbackrest(settings: Settings, repository: str, bench: Bench, *command: str) -> list[str]:
    """Return a command of pgBackRest that leaves the live cluster's locks and logs alone."""
    return [
        "pgbackrest",
        f"--config={settings.pgbackrest_config}",
        f"--stanza={settings.pgbackrest_stanza}",
        f"--repo={repository}",
        f"--lock-path={bench.path('locks')}",
        "--log-level-file=off",
        "--log-level-stderr=off",
        *command,
    ]


def newest_set(settings: Settings, repository: str, bench: Bench, outcome: Outcome) -> verdicts.BackupSet:
    """Find what to restore, and whether there is room for it."""
    bench.folder("locks")
    told = bench.run(pgbackrest(settings, repository, bench, "--log-level-console=error", "--output=json", "info"))
    if told.status:
        raise Failed(f"pgbackrest info: {reason(told)}")
    newest = verdicts.newest_set(told.out, int(repository))
    outcome.facts.update(set=newest.label, bytes=newest.bytes, wal_max=newest.wal_max)
    problems = verdicts.disk(newest.bytes, *host.room(bench.directory))
    if problems:
        raise Failed(problems[0])
    return newest


def reason(answer: host.Answer) -> str:
    """Return why pgBackRest ended."""
    lines = [line.strip() for line in f"{answer.out}\n{answer.err}".splitlines() if line.strip()]
    errors = [line for line in lines if "ERROR:" in line]
    return "; ".join((errors or lines)[:3]) or f"exit {answer.status}"


def restore(settings: Settings, repository: str, bench: Bench, outcome: Outcome) -> None:
    """Restore into the bench; every option that could lead elsewhere is given here."""
    done = bench.run(
        pgbackrest(
            settings,
            repository,
            bench,
            "--log-level-console=info",
            f"--pg1-path={bench.path('data')}",
            "--reset-pg1-host",
            # A restore empties it: the live cluster's own holds what its archiving waits for.
            f"--spool-path={bench.folder('spool')}",
            f"--tablespace-map-all={bench.folder('tablespaces')}",
            "--archive-mode=off",
            "--no-delta",
            "--no-link-all",
            "--type=default",
            "restore",
        )
    )
    if done.status or "restore command end: completed successfully" not in done.out:
        raise Failed(f"pgbackrest restore: {reason(done)}")
    outcome.facts["files"] = int(done.out.rpartition("file total = ")[2].split()[0])


def instance(settings: Settings, repository: str, bench: Bench, binaries: str, control: str) -> list[str]:
    """Return the command of an instance that nobody else can reach."""
    fetch = pgbackrest(
        settings,
        repository,
        bench,
        "--log-level-console=warn",
        "--no-archive-async",
        f"--pg1-path={bench.path('data')}",
    )
    wanted = {
        **settings.postgresql_settings,
        **OVERRIDES,
        "config_file": bench.write("postgresql.conf", ""),
        "hba_file": bench.write("pg_hba.conf", "local all all trust\n"),
        "ident_file": bench.write("pg_ident.conf", ""),
        "unix_socket_directories": bench.folder("socket"),
        "restore_command": " ".join([*fetch, "archive-get", "%f", "%p"]),
        # Fewer than the live cluster had could not take over its prepared transactions.
        "max_prepared_transactions": str(verdicts.control(control, "max_prepared_xacts setting")),
    }
    options = [word for name, value in wanted.items() for word in ("-c", f"{name}={value}")]
    return [f"{binaries}/postgres", "-D", bench.path("data"), *options]


def psql(bench: Bench, database: str, sql: str, stop: bool = True) -> host.Answer:
    """Ask the restored cluster; rows come as CSV."""
    options = ["--no-psqlrc", "--quiet", "--tuples-only", "--csv", "--set", f"ON_ERROR_STOP={int(stop)}"]
    address = ["--host", bench.path("socket"), "--port", "5432", "--username", "postgres", "--dbname", database]
    return bench.run(["psql", *options, *address], env=SESSION, text=sql)


def recover(bench: Bench, process: subprocess.Popen[bytes]) -> None:
    """Wait for the end of recovery; the limit is the unit's."""
    told = time.monotonic()
    while True:
        answer = psql(bench, "postgres", "SELECT pg_is_in_recovery()")
        if answer.out.strip() == "f":
            return
        if process.poll() is not None:
            raise Failed(f"the restored cluster does not come up: {verdicts.last_words(bench.read('postgresql.log'))}")
        if time.monotonic() - told > 15:
            told = time.monotonic()
            bench.say("still recovering")
        time.sleep(0.3)


def rows(text: str) -> list[list[str]]:
    """Read psql's CSV."""
    return [row for row in csv.reader(io.StringIO(text)) if row]


def examine(settings: Settings, bench: Bench, outcome: Outcome, moment: float) -> None:
    """Read the markers, where they tell what would be lost, then every row of every table."""
    if settings.rpo_seconds:
        read_markers(settings, bench, outcome, moment)
    databases = psql(bench, "postgres", "SELECT datname FROM pg_database WHERE datallowconn ORDER BY 1")
    if databases.status or not databases.out.strip():
        raise Failed(f"databases cannot be listed: {databases.err.strip()}")
    for (database,) in rows(databases.out):
        read_tables(bench, outcome, database)
    outcome.facts["tables"] = len(outcome.tables)
    outcome.facts["rows"] = sum(table["rows"] for table in outcome.tables)


def read_markers(settings: Settings, bench: Bench, outcome: Outcome, moment: float) -> None:
    """Hold the markers against each other and against the clock."""
    answer = psql(bench, "postgres", MARKERS)
    if answer.status:
        outcome.problems.append(f"markers cannot be read: {answer.err.strip().splitlines()[0]}")
    found = verdicts.markers(rows(answer.out)) if not answer.status else []
    age, problems = verdicts.rpo(found, moment, settings.rpo_seconds)
    outcome.problems += verdicts.chain(found) + problems
    outcome.facts["markers"] = len(found)
    if age is not None:
        outcome.lower(age)


def read_tables(bench: Bench, outcome: Outcome, database: str) -> None:
    """Read all tables of a database; psql ends with 0 also when some cannot be read."""
    wanted = psql(bench, database, COUNT).out.strip()
    answer = psql(bench, database, TABLES, stop=False)
    found = [
        {"database": database, "table": name, "rows": int(count), "checksum": checksum}
        for name, count, checksum in rows(answer.out)
    ]
    outcome.tables += found
    errors = verdicts.errors(answer.err)
    if answer.status or errors or str(len(found)) != wanted:
        said = "; ".join(errors[:3])
        outcome.problems.append(f"database {database}: {len(found)} of {wanted or '?'} tables could be read: {said}")


def amcheck(bench: Bench, binaries: str, outcome: Outcome) -> None:
    """Hold every index against its table, and every table against itself."""
    done = bench.run(
        [
            f"{binaries}/pg_amcheck",
            *("--host", bench.path("socket"), "--port", "5432", "--username", "postgres"),
            *("--all", "--heapallindexed", "--parent-check", "--checkunique", "--install-missing", "--progress"),
        ],
        env=SESSION,
    )
    outcome.facts["relations_checked"], problems = verdicts.amcheck(*done)
    outcome.problems += problems


def newest_history(bench: Bench) -> str:
    """Return the history of the timeline that recovery has ended in."""
    names = sorted(name for name in os.listdir(bench.path("data/pg_wal")) if name.endswith(".history"))
    return bench.read(f"data/pg_wal/{names[-1]}") if names else ""
