# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The steps of an upgrade to another major version on a Debian host: all functions do I/O.

pg_upgrade only reads the old cluster: it copies the files, or shares their blocks where the file system can. At any
time at most one of the two clusters is unfenced and uses the real port.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
import typing as t

from ..host import files
from ..host.journal import Journal
from . import host, instance, session, tablespaces, upgrade
from .cluster import ClusterError, initdb_options
from .host import Cluster

NOTE = "var/lib/vise/postgresql-upgrade.json"
# All processes of a run are in one of these units, so that the next run can stop them.
UPGRADE_UNIT, PRIVATE_UNIT = "vise-postgresql-upgrade", "vise-postgresql-private"
COUNT_AT_A_TIME = 200

TABLES = """
SELECT format('SELECT %L, count(*) FROM ONLY %I.%I', format('table %s.%s', n.nspname, c.relname), n.nspname, c.relname)
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm') AND c.relispopulated AND n.nspname NOT IN ('pg_catalog', 'information_schema')
ORDER BY 1
"""
REST = """
SELECT format('sequence %s.%s', schemaname, sequencename), coalesce(last_value, 0) FROM pg_sequences
UNION ALL SELECT 'large objects', count(*) FROM pg_largeobject_metadata
UNION ALL SELECT 'functions', count(*) FROM pg_proc AS p
  JOIN pg_namespace AS n ON n.oid = p.pronamespace AND n.nspname NOT IN ('pg_catalog', 'information_schema')
  WHERE NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = p.oid AND deptype = 'e')
UNION ALL SELECT 'indexes', count(*) FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
  JOIN pg_namespace AS n ON n.oid = c.relnamespace AND n.nspname NOT IN ('pg_catalog', 'pg_toast') WHERE i.indisvalid
UNION ALL SELECT 'roles', count(*) FROM pg_roles WHERE rolname !~ '^pg_'
"""
# An interrupted DROP DATABASE leaves a database with this limit, to which no session can connect.
INVALID = "SELECT quote_ident(datname) FROM pg_database WHERE datconnlimit = -2 ORDER BY 1"
DATABASES = "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate AND datconnlimit <> -2 ORDER BY 1"
FACTS = """
SELECT json_build_object(
  'prepared', (SELECT count(*) FROM pg_prepared_xacts),
  'backups', (SELECT count(*) FROM pg_stat_progress_basebackup),
  'archiver_fails', (SELECT coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false)
    AND current_setting('archive_mode') <> 'off' FROM pg_stat_archiver),
  'queue', (SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'),
  'lags', (SELECT coalesce(json_object_agg(application_name,
    pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)::bigint), '{}')
    FROM pg_stat_replication WHERE replay_lsn IS NOT NULL),
  'absent', (SELECT coalesce(json_agg(slot_name), '[]') FROM pg_replication_slots WHERE NOT active),
  'collations', (SELECT coalesce(json_agg(datname), '[]') FROM pg_database
    WHERE datallowconn AND datconnlimit <> -2
      AND datcollversion IS DISTINCT FROM pg_database_collation_actual_version(oid)))
"""
UPDATABLE = (
    "SELECT quote_ident(name) FROM pg_available_extensions WHERE installed_version <> default_version ORDER BY 1"
)
VERSION = "SELECT current_setting('server_version_num')::int / 10000"
PROBLEMS = """
SELECT 'it has no data checksums' WHERE current_setting('data_checksums') <> 'on'
UNION ALL SELECT 'it is in recovery' WHERE pg_is_in_recovery()
UNION ALL SELECT 'a setting waits for a restart: ' || name FROM pg_settings WHERE pending_restart
UNION ALL SELECT 'it has no statistics' WHERE NOT EXISTS (SELECT FROM pg_statistic)
"""
# The number of the next transaction; each write takes one.
TRANSACTION = "SELECT pg_snapshot_xmax(pg_current_snapshot())"
WRITTEN = "SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0) FROM pg_stat_user_tables"

PUBLIC_SOCKET, PRIVATE_SOCKET = (
    "/run/postgresql",
    f"/run/{PRIVATE_UNIT}",
)  # socket directories of the normal and the private server
# The archive guard may have set the cluster to read-only.
WRITABLE = "default_transaction_read_only=off"


# ---- queries ----


def query_server(
    cluster: Cluster, socket: str, port: int, query: str, database: str = "postgres", *options: str
) -> str:
    """Run a query on the server whose socket is in a directory; return psql's output."""
    argv = [
        cluster.program("psql"),
        "-XAtqw",
        *options,
        "-h",
        socket,
        "-p",
        str(port),
        "-d",
        database,
        "-v",
        "ON_ERROR_STOP=1",
    ]
    environment = session.build_environment(cluster.version, WRITABLE)
    return cluster.call_as_postgres([*argv, "-c", query], **environment, LC_ALL="C.UTF-8")


def query_records(cluster: Cluster, socket: str, port: int, query: str, database: str) -> list[str]:
    """Run a query; return its rows, whose values may contain line breaks."""
    return [
        row
        for row in query_server(cluster, socket, port, query, database, "--record-separator-zero").split("\0")
        if row
    ]


def list_databases(cluster: Cluster, socket: str, port: int) -> list[str]:
    """Return the names of all databases that are not templates and allow connections."""
    return query_server(cluster, socket, port, DATABASES).splitlines()


def list_invalid_databases(cluster: Cluster, port: int) -> list[str]:
    """Return the quoted names of the databases that an interrupted DROP DATABASE has left."""
    return query_server(cluster, PUBLIC_SOCKET, port, INVALID).splitlines()


def drop_databases(cluster: Cluster, port: int, names: t.Iterable[str]) -> None:
    """Complete an interrupted DROP DATABASE, because pg_upgrade refuses such a database."""
    for name in names:
        query_server(cluster, PUBLIC_SOCKET, port, f"DROP DATABASE {name}")


def count_inventory(cluster: Cluster, socket: str, port: int) -> dict[str, dict[str, int]]:
    """Count the rows and objects of each database; see upgrade.Inventory."""
    found = {}
    for database in list_databases(cluster, socket, port):
        counts = query_records(cluster, socket, port, TABLES, database)
        parts = [counts[at : at + COUNT_AT_A_TIME] for at in range(0, len(counts), COUNT_AT_A_TIME)]
        rows = [
            row for part in parts for row in query_records(cluster, socket, port, " UNION ALL ".join(part), database)
        ]
        rows += query_records(cluster, socket, port, REST, database)
        found[database] = {name: int(number) for name, number in (row.rsplit("|", 1) for row in rows)}
    return found


def count_written_rows(cluster: Cluster, port: int) -> int:
    """Return how many rows were written since the statistics started, at the cluster's creation or last crash."""
    return sum(
        int(query_server(cluster, PUBLIC_SOCKET, port, WRITTEN, database))
        for database in list_databases(cluster, PUBLIC_SOCKET, port)
    )


def read_next_transaction(cluster: Cluster) -> int:
    """Return the number of the next transaction of a stopped cluster."""
    return upgrade.parse_next_transaction(host.read_controldata(cluster))


def collect_facts(cluster: Cluster, port: int, to: str) -> upgrade.Facts:
    """Return the state of the old cluster and its host, for upgrade.refusals."""
    found = host.inspect(cluster)
    status, _out, _err = cluster.run(["systemctl", "-q", "is-active", cluster.unit], {})
    queried: dict[str, t.Any] = {}
    if not status and found.data == "primary":
        queried = json.loads(query_server(cluster, PUBLIC_SOCKET, port, FACTS))
        queried.update(absent=tuple(queried["absent"]), collations=tuple(queried["collations"]))
    _status, policy, _err = cluster.run(["apt-cache", "policy", f"postgresql-{to}"], {"LC_ALL": "C"})
    disk = os.statvfs(os.path.dirname(cluster.data))
    return upgrade.Facts(
        data=found.data,
        checksums=found.checksums,
        running=not status,
        installable="Candidate:" in policy and "Candidate: (none)" not in policy,
        needed=0 if can_share_blocks(cluster) else measure_size(cluster.data, cluster),
        free=disk.f_frsize * disk.f_bavail,
        elsewhere=measure_tablespaces(cluster),
        **queried,
    )


def measure_size(path: str, cluster: Cluster) -> int:
    """Return the size of a copy of a directory, in bytes; tablespaces on other file systems are not included."""
    return int(cluster.call(["du", "-sxLB1", "--exclude=pg_wal", path]).split()[0])


def measure_tablespaces(cluster: Cluster) -> dict[str, tuple[int, int]]:
    """Return the needed and the free bytes of each other file system with tablespaces, by one of its paths."""
    if can_share_blocks(cluster):
        return {}
    sizes = {
        location: sum(measure_size(path, cluster) for path in tablespaces.list_content(location, cluster.version))
        for location in tablespaces.read_locations(cluster.data).values()
    }
    found = {}
    for place, needed in tablespaces.group_by_file_system(cluster.data, sizes).items():
        disk = os.statvfs(place)
        found[place] = (needed, disk.f_frsize * disk.f_bavail)
    return found


def can_share_blocks(cluster: Cluster) -> bool:
    """Return whether each file system can copy by sharing blocks (reflink), as XFS and Btrfs do."""
    source = os.path.join(cluster.data, "PG_VERSION")
    return _can_share(cluster, source, cluster.data + ".vise-reflink") and all(
        _can_share(cluster, os.path.join(path, ".vise-reflink"), os.path.join(path, ".vise-reflink-copy"))
        for path in tablespaces.read_locations(cluster.data).values()
    )


def _can_share(cluster: Cluster, source: str, copy: str) -> bool:
    created = not os.path.exists(source)
    if created:
        files.replace_file(source, "reflink\n", mode=0o600)
    status, _out, _err = cluster.run(["cp", "--reflink=always", source, copy], {})
    for path in (copy, source) if created else (copy,):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    return not status


# ---- servers and programs ----


@contextlib.contextmanager
def run_private_server(cluster: Cluster, port: int) -> t.Iterator[None]:
    """Run a cluster on a private socket directory, so that no client can connect."""
    settings = {
        "config_file": os.path.join(cluster.config, "postgresql.conf"),
        "listen_addresses": "",
        "unix_socket_directories": PRIVATE_SOCKET,
        "port": str(port),
        "external_pid_file": "",
        "archive_mode": "off",
        "autovacuum": "off",
        **instance.SMALL_MEMORY,
    }
    server = instance.build_command(cluster.program("postgres"), cluster.data, settings)
    properties = ["Type=notify", "KillSignal=SIGINT", "TimeoutStartSec=infinity", f"RuntimeDirectory={PRIVATE_UNIT}"]
    cluster.call([*_unit(PRIVATE_UNIT, properties), *server])
    try:
        yield
    finally:
        cluster.call(["systemctl", "stop", PRIVATE_UNIT])


def _unit(name: str, properties: t.Sequence[str]) -> list[str]:
    return [
        "systemd-run",
        "--quiet",
        "--collect",
        f"--unit={name}",
        "--uid=postgres",
        *(f"-p{one}" for one in properties),
    ]


def run_pg_upgrade(old: Cluster, new: Cluster, new_place: str, *options: str) -> None:
    """Run pg_upgrade; raise ClusterError with its messages and reports when it fails."""
    properties = [f"RuntimeDirectory={UPGRADE_UNIT}", f"WorkingDirectory=/run/{UPGRADE_UNIT}"]
    argv = [*_unit(UPGRADE_UNIT, properties), "--wait", "--pipe", "--setenv=LC_ALL=C.UTF-8", new.program("pg_upgrade")]
    argv += ["-U", "postgres", "-b", os.path.dirname(old.program("x")), "-B", os.path.dirname(new.program("x"))]
    private = " ".join(f"-c {name}={value}" for name, value in {"archive_mode": "off", **instance.SMALL_MEMORY}.items())
    argv += ["-d", old.config, "-D", new_place, "-o", private, "-O", private, *options]
    status, out, err = old.run(argv, {})
    if status:
        raise ClusterError(f"pg_upgrade {' '.join(options)}: {filter_failures(out + err)} {_read_reports(new)}".strip())


def filter_failures(text: str) -> str:
    """Return pg_upgrade's output without the checks that passed."""
    lines = (line.strip() for line in text.replace("\r", "\n").splitlines())
    return " ".join(line for line in lines if line.strip("-") and not line.endswith("  ok"))[-1500:]


def _read_reports(new: Cluster) -> str:
    """Return the content of the report files that pg_upgrade wrote below the data directory."""
    parent = os.path.dirname(new.data)
    texts = []
    for folder, _folders, names in os.walk(parent):
        if "pg_upgrade_output.d" in folder:
            texts += [files.read_text(os.path.join(folder, name)) for name in names if name.endswith(".txt")]
    return " ".join(" ".join(texts).split())[:1500]


def check_compatibility(old: Cluster, new: Cluster, port: int) -> None:
    """Run pg_upgrade --check on the running old cluster and a temporary empty cluster of the new version."""
    parent = os.path.dirname(new.data)
    place = os.path.join(parent, ".vise-check")
    created = not os.path.isdir(parent)
    remove_directory(place)
    old.call(["install", "-d", "-o", "postgres", "-g", "postgres", parent])
    try:
        new.call_as_postgres(
            [new.program("initdb"), "-D", place, "--no-sync", "--no-instructions", *initdb_options(new.version)]
        )
        run_pg_upgrade(old, new, place, "--check", "-p", str(port))
    finally:
        remove_directory(place)
        if created:
            with contextlib.suppress(OSError):
                os.rmdir(parent)


def remove_directory(path: str) -> None:
    """Remove a directory if it exists."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path)


def remove_cluster(cluster: Cluster, other: Cluster) -> None:
    """Remove a cluster: data, tablespaces, configuration, fence file, and the mask and the links of its unit.

    The other version uses the same locations, also of tablespaces whose link does not exist yet in this one.
    """
    cluster.call(["systemctl", "unmask", cluster.unit])
    cluster.call(["systemctl", "disable", "--now", cluster.unit])
    tablespaces.remove_content(cluster.data, cluster.version, tablespaces.read_locations(other.data).values())
    for place in (cluster.data, cluster.config):
        remove_directory(place)
        # Remove the version's directory, too, unless it contains another cluster.
        with contextlib.suppress(OSError):
            os.rmdir(os.path.dirname(place))
    files.remove_file(cluster.fence_file)


def stop_leftover_units(cluster: Cluster) -> None:
    """Stop the units that a killed run left running."""
    for unit in (UPGRADE_UNIT, PRIVATE_UNIT):
        cluster.run(["systemctl", "stop", unit], {})


def start_cluster(cluster: Cluster) -> None:
    """Start a cluster's unit and wait until the server accepts connections."""
    cluster.run(["systemctl", "reset-failed", cluster.unit], {})
    cluster.call(["systemctl", "start", cluster.unit])


# ---- the steps ----


def abort_upgrade(old: Cluster, new: Cluster, journal: Journal) -> None:
    """Roll back an upgrade before the switch: remove the new cluster and start the old one."""
    stop_leftover_units(old)
    remove_cluster(new, old)
    start_cluster(old)
    journal.remove()


def convert_data(
    old: Cluster, new: Cluster, port: int, count: bool, found: t.Mapping[str, t.Any], journal: Journal
) -> dict[str, t.Any]:
    """Stop the old cluster and run pg_upgrade into the new one; the database is down meanwhile. Return the note."""
    state = journal.write({**found, "stage": upgrade.UPGRADING})
    method = "--clone" if can_share_blocks(old) else "--copy"
    host.fence(new, f"it is being created from the cluster of {old.version}: run upgrade_postgresql.yml again")
    moments = [time.time()]
    old.call(["systemctl", "stop", old.unit])
    before: dict[str, dict[str, int]] = {}
    if count:
        with run_private_server(old, port):
            before = count_inventory(old, PRIVATE_SOCKET, port)
    moments.append(time.time())
    run_pg_upgrade(old, new, new.config, method, "--jobs", str(os.cpu_count() or 1))
    # postgresql.conf has a temporary port while both clusters exist, until the role writes the real port into it.
    settings = os.path.join(new.data, "postgresql.auto.conf")
    with open(os.open(settings, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW), "a", encoding="utf-8") as handle:
        handle.write(f"port = '{port}'\n")
    moments.append(time.time())
    if count:
        with run_private_server(new, port):
            after = count_inventory(new, PRIVATE_SOCKET, port)
        lines = upgrade.find_differences(before, after)
        if lines:
            raise ClusterError(f"the new cluster differs from the old one: {'; '.join(lines[:10])}")
    moments.append(time.time())
    names = ("stop and count", "pg_upgrade", "recount")
    seconds = {name: round(end - begin, 1) for name, begin, end in zip(names, moments, moments[1:], strict=False)}
    found = {
        "method": method,
        "before": before,
        "began": moments[0],
        "seconds": seconds,
        "transaction": read_next_transaction(new),
    }
    return journal.write({**state, **found, "stage": upgrade.SWITCHED})


def start_new_cluster(old: Cluster, new: Cluster, state: t.Mapping[str, t.Any], journal: Journal) -> dict[str, t.Any]:
    """Fence the old cluster and start the new one in its place; return the note."""
    stop_leftover_units(old)
    host.fence(old, f"it was upgraded to {new.version}")
    host.unfence(new)
    start_cluster(new)
    if "switched" not in state:
        now = time.time()
        seconds = {**state["seconds"], "downtime": round(now - state["began"], 1)}
        state = journal.write({**state, "switched": now, "seconds": seconds})
    return dict(state)


def finish_upgrade(new: Cluster, port: int, state: t.Mapping[str, t.Any], journal: Journal) -> dict[str, t.Any]:
    """Update extensions and create statistics, which pg_upgrade does not do; return the note."""
    began, updated = time.time(), []
    for database in list_databases(new, PUBLIC_SOCKET, port):
        for extension in query_server(new, PUBLIC_SOCKET, port, UPDATABLE, database).splitlines():
            query_server(new, PUBLIC_SOCKET, port, f"ALTER EXTENSION {extension} UPDATE", database)
            updated.append(f"{database}: {extension}")
    argv = [
        new.program("vacuumdb"),
        "-h",
        PUBLIC_SOCKET,
        "-p",
        str(port),
        "--all",
        "--analyze-in-stages",
        "--jobs",
        str(os.cpu_count() or 1),
    ]
    environment = session.build_environment(new.version, WRITABLE)
    new.call_as_postgres([*argv, "--quiet", "--no-password"], **environment)
    seconds = {**state["seconds"], "statistics": round(time.time() - began, 1)}
    return journal.write({**state, "stage": upgrade.SERVING, "extensions": updated, "seconds": seconds})


def find_health_problems(new: Cluster, port: int) -> list[str]:
    """Return one message for each problem of the running new cluster."""
    found = (
        []
        if query_server(new, PUBLIC_SOCKET, port, VERSION) == new.version
        else ["the server on the port has another version"]
    )
    found += query_server(new, PUBLIC_SOCKET, port, PROBLEMS).splitlines()
    for database in list_databases(new, PUBLIC_SOCKET, port):
        updatable = query_server(new, PUBLIC_SOCKET, port, UPDATABLE, database).splitlines()
        found += [f"{database}: extension {extension} is not updated" for extension in updatable]
    return found


def count_new_writes(new: Cluster, port: int, state: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Count what was written to the new cluster since the switch; it continues to run while this is counted."""
    # A standby has no writes of its own.
    if state.get("standby"):
        return {"transactions": 0, "rows": 0, "changed": []}
    try:
        # Without a count before the upgrade there is nothing to compare.
        changed = (
            upgrade.find_differences(state["before"], count_inventory(new, PUBLIC_SOCKET, port))
            if state["before"]
            else []
        )
        rows, transactions = (
            count_written_rows(new, port),
            int(query_server(new, PUBLIC_SOCKET, port, TRANSACTION)) - state["transaction"],
        )
    except ClusterError:
        return {"transactions": 0, "rows": None, "changed": []}
    return {"transactions": transactions, "rows": rows, "changed": changed}


def describe_loss(state: t.Mapping[str, t.Any], found: t.Mapping[str, t.Any]) -> str:
    """Describe what a rollback loses; empty when there is nothing."""
    since = state.get("switched", state.get("began", 0.0))
    return upgrade.describe_loss(found["transactions"], found["rows"], found["changed"], since, time.time())


def stop_new_cluster(
    new: Cluster, why: str, state: t.Mapping[str, t.Any], accepted: bool, journal: Journal
) -> dict[str, t.Any]:
    """Stop the new cluster, and note what the rollback loses now that no more writes can arrive; return the note.

    If something is lost that the operator has not accepted, start the new cluster again and raise ClusterError.
    """
    host.fence(new, why)
    found = state["writes"]
    if not state.get("standby") and found["rows"] is not None:
        # After a crash the control file is older than the number that the running server reported.
        found = {**found, "transactions": max(found["transactions"], read_next_transaction(new) - state["transaction"])}
    lost = describe_loss(state, found)
    if lost and not accepted:
        host.unfence(new)
        start_cluster(new)
        journal.write({**state, "stage": state["previous_stage"]})
        raise ClusterError(f"{new.version} still runs. Something was written during the count: {lost}")
    return journal.write({**state, "lost": lost})


def roll_back(
    old: Cluster, new: Cluster, port: int, state: t.Mapping[str, t.Any], accepted: bool, journal: Journal
) -> dict[str, t.Any]:
    """Roll back after the switch: fence the new cluster, whose data stay, and start the old one; return the note."""
    if state["stage"] != upgrade.ROLLING_BACK:
        state = journal.write({**state, "stage": upgrade.ROLLING_BACK, "previous_stage": state["stage"]})
    stop_leftover_units(old)
    if "lost" not in state:
        why = f"the upgrade was rolled back to the cluster of {old.version}"
        state = stop_new_cluster(new, why, state, accepted, journal)
    if state.get("before"):
        _status, active, _err = old.run(["systemctl", "is-active", old.unit], {})
        if active.strip() != "active":
            with run_private_server(old, port):
                lines = upgrade.find_differences(state["before"], count_inventory(old, PRIVATE_SOCKET, port))
            if lines:
                raise ClusterError(f"the old cluster has changed since the upgrade: {'; '.join(lines[:10])}")
    host.unfence(old)
    start_cluster(old)
    return journal.write({**state, "stage": upgrade.ROLLED_BACK})
