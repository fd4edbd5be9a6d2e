# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Prove PostgreSQL's backup: restore it, recover it to the end of the archive, read every page and row."""

from __future__ import annotations

import csv
import dataclasses
import io
import os
import signal
import subprocess
import time

from ..host import programs
from ..postgresql import instance, session
from . import host, verdicts
from .host import ScratchDirectory
from .report import Outcome
from .settings import ProofError, Settings

BINARIES = "/usr/lib/postgresql/{version}/bin"
# These settings are passed on the command line, which overrides the settings in the restored cluster.
OVERRIDES = {
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_group": "",
    "unix_socket_permissions": "0700",
    "hot_standby": "off",
    "maintenance_work_mem": "64MB",
    "max_wal_size": "256MB",
    **instance.SMALL_MEMORY,
    "archive_mode": "off",
    "recovery_target_timeline": "latest",
    "primary_conninfo": "",
    "archive_cleanup_command": "",
    "recovery_end_command": "",
    "synchronous_standby_names": "",
    "max_wal_senders": "0",
    # Subscriptions would read from the real publisher, and libraries may start workers with external effects.
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
    # The restored cluster is temporary and needs no durability.
    "fsync": "off",
    "full_page_writes": "off",
}
MARKERS = (
    "SELECT id, (extract(epoch FROM written_at) * 1000000)::bigint, payload, previous, sha256"
    " FROM vise.backup_marker ORDER BY id"
)
# A cast is found by its type in spite of the search path, therefore no query may convert an owner's type by `::`.
# The text of a row makes PostgreSQL read the whole row, TOAST included; the sum does not depend on the order of rows.
# The text comes from PostgreSQL's own functions, because (r.*)::text would use a cast that the owner may have created.
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
# An interrupted DROP DATABASE leaves a database with this limit, to which no session can connect.
DATABASES = "SELECT datname, datconnlimit = -2 FROM pg_database WHERE datallowconn ORDER BY 1"
PATIENCE = 300


def prove(settings: Settings, repository: str, scratch: ScratchDirectory, outcome: Outcome) -> None:
    """Restore the newest set of a repository and verify all of it; add problems and facts to the outcome."""
    newest = find_newest_set(settings, repository, scratch, outcome)
    data = scratch.create_directory("data")
    with outcome.stage("restore", scratch.log) as stage:
        restore_set(settings, repository, scratch, outcome)
        stage.bytes = newest.bytes
    binaries = BINARIES.format(version=scratch.read_file("data/PG_VERSION").strip())
    if not os.path.exists(f"{binaries}/postgres"):
        raise ProofError(f"{binaries}/postgres is missing: install PostgreSQL in the version of the backup")
    controldata = scratch.run([f"{binaries}/pg_controldata", data]).out
    outcome.facts["system_identifier"] = verdicts.parse_control_number(controldata, "Database system identifier")
    with scratch.run_postgres(
        build_server_command(settings, repository, scratch, binaries, controldata), "postgresql.log"
    ) as process:
        with outcome.stage("recover", scratch.log):
            wait_for_recovery(scratch, process)
        moment = time.time()
        log, history = scratch.read_file("postgresql.log"), read_newest_history(scratch)
        segment = verdicts.parse_control_number(controldata, "Bytes per WAL segment")
        outcome.problems += verdicts.find_recovery_problems(log, history, newest.wal_max, segment)
        with outcome.stage("read", scratch.log) as stage:
            stage.bytes = newest.bytes
            read_all(settings, scratch, outcome, moment)
        with outcome.stage("amcheck", scratch.log) as stage:
            stage.bytes = newest.bytes
            amcheck(scratch, binaries, outcome)
        if instance.stop(process, signal.SIGINT, PATIENCE) != 0:
            outcome.problems.append(
                f"the restored cluster does not stop: {verdicts.extract_errors(scratch.read_file('postgresql.log'))}"
            )
    with outcome.stage("checksums", scratch.log) as stage:
        stage.bytes = newest.bytes
        checked = scratch.run([f"{binaries}/pg_checksums", "--check", "--pgdata", data])
        outcome.facts["blocks_checked"], problems = verdicts.parse_checksums(*checked.parts)
        outcome.problems += problems


def prove_yearly(settings: Settings, repository: str, scratch: ScratchDirectory, outcome: Outcome) -> None:
    """Prove the newest yearly set, which has its own configuration file and no limit of age."""
    config = settings.pgbackrest_yearly[int(repository) - 1]
    prove(dataclasses.replace(settings, pgbackrest_config=config, rpo_seconds=0), "1", scratch, outcome)


def pgbackrest(settings: Settings, repository: str, scratch: ScratchDirectory, *command: str) -> list[str]:
    """Return a pgBackRest command line that does not use the locks and logs of the live cluster."""
    return [
        "pgbackrest",
        f"--config={settings.pgbackrest_config}",
        f"--stanza={settings.pgbackrest_stanza}",
        f"--repo={repository}",
        f"--lock-path={scratch.path('locks')}",
        "--log-level-file=off",
        "--log-level-stderr=off",
        *command,
    ]


def find_newest_set(
    settings: Settings, repository: str, scratch: ScratchDirectory, outcome: Outcome
) -> verdicts.BackupSet:
    """Return the newest set of a repository; raise ProofError when the disk has too little space for it."""
    scratch.create_directory("locks")
    result = scratch.run(
        pgbackrest(settings, repository, scratch, "--log-level-console=error", "--output=json", "info")
    )
    if result.code:
        raise ProofError(f"pgbackrest info: {extract_reason(result)}")
    newest = verdicts.parse_newest_set(result.out, int(repository))
    outcome.facts.update(set=newest.label, bytes=newest.bytes, wal_max=newest.wal_max)
    problems = verdicts.find_disk_problems(newest.bytes, *host.measure_disk(scratch.directory))
    if problems:
        raise ProofError(problems[0])
    return newest


def extract_reason(result: programs.Result) -> str:
    """Return the error lines of pgBackRest."""
    lines = [line.strip() for line in f"{result.out}\n{result.err}".splitlines() if line.strip()]
    errors = [line for line in lines if "ERROR:" in line]
    return "; ".join((errors or lines)[:3]) or f"exit {result.code}"


def restore_set(settings: Settings, repository: str, scratch: ScratchDirectory, outcome: Outcome) -> None:
    """Restore into the scratch directory; each option that could point to another directory is set explicitly."""
    result = scratch.run(
        pgbackrest(
            settings,
            repository,
            scratch,
            "--log-level-console=info",
            f"--pg1-path={scratch.path('data')}",
            "--reset-pg1-host",
            # A restore empties its spool; that of the live cluster contains the state of its archiving.
            f"--spool-path={scratch.create_directory('spool')}",
            f"--tablespace-map-all={scratch.create_directory('tablespaces')}",
            "--archive-mode=off",
            "--no-delta",
            "--no-link-all",
            "--type=default",
            "restore",
        )
    )
    if result.code or "restore command end: completed successfully" not in result.out:
        raise ProofError(f"pgbackrest restore: {extract_reason(result)}")
    outcome.facts["files"] = int(result.out.rpartition("file total = ")[2].split()[0])


def build_server_command(
    settings: Settings, repository: str, scratch: ScratchDirectory, binaries: str, controldata: str
) -> list[str]:
    """Return the command line of a server to which no other user can connect."""
    fetch = pgbackrest(
        settings,
        repository,
        scratch,
        "--log-level-console=warn",
        "--no-archive-async",
        f"--pg1-path={scratch.path('data')}",
    )
    server_settings = {
        **settings.postgresql_settings,
        **OVERRIDES,
        "config_file": scratch.write("postgresql.conf", ""),
        "hba_file": scratch.write("pg_hba.conf", "local all all trust\n"),
        "ident_file": scratch.write("pg_ident.conf", ""),
        "unix_socket_directories": scratch.create_directory("socket"),
        "restore_command": " ".join([*fetch, "archive-get", "%f", "%p"]),
        # With a lower value than in the live cluster, recovery of prepared transactions would fail.
        "max_prepared_transactions": str(verdicts.parse_control_number(controldata, "max_prepared_xacts setting")),
    }
    options = [word for name, value in server_settings.items() for word in ("-c", f"{name}={value}")]
    return [f"{binaries}/postgres", "-D", scratch.path("data"), *options]


def build_session(scratch: ScratchDirectory) -> dict[str, str]:
    """Return the variables of a client; settings of a database or role could cancel a long read."""
    return session.build_environment(session.read_version(scratch.path("data")), "default_transaction_read_only=off")


def psql(scratch: ScratchDirectory, database: str, sql: str, stop: bool = True) -> programs.Result:
    """Run SQL on the restored cluster; the output is CSV."""
    options = ["--no-psqlrc", "--quiet", "--tuples-only", "--csv", "--set", f"ON_ERROR_STOP={int(stop)}"]
    address = ["--host", scratch.path("socket"), "--port", "5432", "--username", "postgres", "--dbname", database]
    return scratch.run(["psql", *options, *address], env=build_session(scratch), text=sql)


def wait_for_recovery(scratch: ScratchDirectory, process: subprocess.Popen[bytes]) -> None:
    """Wait for the end of recovery; the time limit is that of the systemd unit."""
    reported_at = time.monotonic()
    while True:
        result = psql(scratch, "postgres", "SELECT pg_is_in_recovery()")
        if result.out.strip() == "f":
            return
        if process.poll() is not None:
            raise ProofError(
                f"the restored cluster does not start: {verdicts.extract_errors(scratch.read_file('postgresql.log'))}"
            )
        if time.monotonic() - reported_at > 15:
            reported_at = time.monotonic()
            scratch.log("still recovering")
        time.sleep(0.3)


def parse_rows(text: str) -> list[list[str]]:
    """Parse psql's CSV output."""
    return [row for row in csv.reader(io.StringIO(text)) if row]


def read_all(settings: Settings, scratch: ScratchDirectory, outcome: Outcome, moment: float) -> None:
    """Read the markers, if there is a limit for the RPO, then every row of every table."""
    if settings.rpo_seconds:
        read_markers(settings, scratch, outcome, moment)
    databases = psql(scratch, "postgres", DATABASES)
    if databases.code or not databases.out.strip():
        raise ProofError(f"databases cannot be listed: {databases.err.strip()}")
    for database, invalid in parse_rows(databases.out):
        if invalid == "t":
            outcome.warnings.append(
                f"database {database} was left by an interrupted DROP DATABASE and was not read: drop it again"
            )
        else:
            read_tables(scratch, outcome, database)
    outcome.facts["tables"] = len(outcome.tables)
    outcome.facts["rows"] = sum(table["rows"] for table in outcome.tables)


def read_markers(settings: Settings, scratch: ScratchDirectory, outcome: Outcome, moment: float) -> None:
    """Verify the chain of markers and the age of the newest one."""
    result = psql(scratch, "postgres", MARKERS)
    if result.code:
        outcome.problems.append(f"markers cannot be read: {result.err.strip().splitlines()[0]}")
    found = verdicts.parse_markers(parse_rows(result.out)) if not result.code else []
    age, problems = verdicts.measure_rpo(found, moment, settings.rpo_seconds)
    outcome.problems += verdicts.find_marker_problems(found) + problems
    outcome.facts["markers"] = len(found)
    if age is not None:
        outcome.record_rpo(age)


def read_tables(scratch: ScratchDirectory, outcome: Outcome, database: str) -> None:
    """Read all tables of a database; psql exits with 0 also when a table cannot be read."""
    expected = psql(scratch, database, COUNT).out.strip()
    result = psql(scratch, database, TABLES, stop=False)
    found = [
        {"database": database, "table": name, "rows": int(count), "checksum": checksum}
        for name, count, checksum in parse_rows(result.out)
    ]
    outcome.tables += found
    errors = verdicts.parse_client_errors(result.err)
    if result.code or errors or str(len(found)) != expected:
        details = "; ".join(errors[:3])
        outcome.problems.append(
            f"database {database}: {len(found)} of {expected or '?'} tables are readable: {details}"
        )


def amcheck(scratch: ScratchDirectory, binaries: str, outcome: Outcome) -> None:
    """Verify every index against its table, and the structure of every table, by pg_amcheck."""
    result = scratch.run(
        [
            f"{binaries}/pg_amcheck",
            *("--host", scratch.path("socket"), "--port", "5432", "--username", "postgres"),
            *("--all", "--heapallindexed", "--parent-check", "--checkunique", "--install-missing", "--progress"),
        ],
        env=build_session(scratch),
    )
    outcome.facts["relations_checked"], problems = verdicts.parse_amcheck(*result.parts)
    outcome.problems += problems


def read_newest_history(scratch: ScratchDirectory) -> str:
    """Return the history file of the timeline on which recovery has ended; empty when there is none."""
    names = sorted(name for name in os.listdir(scratch.path("data/pg_wal")) if name.endswith(".history"))
    return scratch.read_file(f"data/pg_wal/{names[-1]}") if names else ""
