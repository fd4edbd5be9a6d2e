# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The steps of an upgrade to another major version on a Debian host: everything here does I/O.

The old cluster is only ever read: pg_upgrade copies, or shares blocks where the file system can. At each moment at most
one of the two is without a fence and on the real port.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
import typing as t

from ansible_collections.vise.platform.plugins.module_utils.postgresql import host, upgrade
from ansible_collections.vise.platform.plugins.module_utils.postgresql.cluster import (
    ClusterError,
    control,
    initdb_options,
)
from ansible_collections.vise.platform.plugins.module_utils.postgresql.host import Cluster

NOTE = "var/lib/vise/postgresql-upgrade.json"
# Whatever belongs to a run is in one of these units, so that the next one can end it whole.
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
DATABASES = "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY 1"
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
    WHERE datallowconn AND datcollversion IS DISTINCT FROM pg_database_collation_actual_version(oid)))
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
# In a cluster that serves; whatever writes takes the next number.
TRANSACTION = "SELECT pg_snapshot_xmax(pg_current_snapshot())"
WRITTEN = "SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0) FROM pg_stat_user_tables"

OPEN, PRIVATE = "/run/postgresql", f"/run/{PRIVATE_UNIT}"  # where the sockets of the two kinds of server are
# What a database or a user has set for sessions must not end a long count, nor the work that follows the switch. Names
# are PostgreSQL's own: whoever owns a database makes functions and operators in it, and it is asked as superuser.
SESSION = (
    "-c statement_timeout=0 -c transaction_timeout=0 -c lock_timeout=0 -c default_transaction_read_only=off"
    " -c search_path=pg_catalog,pg_temp"
)


# ---- the note of how far it came ----


def noted(path: str) -> dict[str, t.Any]:
    """Return what a run before wrote down; nothing where there was none."""
    try:
        with open(path, encoding="utf-8") as handle:
            return t.cast("dict[str, t.Any]", json.load(handle))
    except FileNotFoundError:
        return {}


def note(path: str, content: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Write down how far it came, before it goes on."""
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    with open(path + ".new", "w", encoding="utf-8") as handle:
        json.dump(content, handle)
        handle.flush()
        os.fsync(handle.fileno())
    os.rename(path + ".new", path)
    return dict(content)


def forget(path: str) -> None:
    """Take the note away."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


# ---- asking ----


def sql(cluster: Cluster, place: str, port: int, query: str, database: str = "postgres", *options: str) -> str:
    """Return what a server answers over the socket in a place."""
    argv = [
        cluster.program("psql"),
        "-XAtqw",
        *options,
        "-h",
        place,
        "-p",
        str(port),
        "-d",
        database,
        "-v",
        "ON_ERROR_STOP=1",
    ]
    # 15 does not know one of the settings.
    session = SESSION if int(cluster.version) >= 17 else SESSION.replace("-c transaction_timeout=0 ", "")
    return cluster.call_as_postgres([*argv, "-c", query], PGOPTIONS=session, LC_ALL="C.UTF-8")


def records(cluster: Cluster, place: str, port: int, query: str, database: str) -> list[str]:
    """Return the rows of an answer in which names may have line breaks."""
    return [row for row in sql(cluster, place, port, query, database, "--record-separator-zero").split("\0") if row]


def databases(cluster: Cluster, place: str, port: int) -> list[str]:
    """Return the names of all databases that hold something."""
    return sql(cluster, place, port, DATABASES).splitlines()


def inventory(cluster: Cluster, place: str, port: int) -> dict[str, dict[str, int]]:
    """Count what each database holds."""
    found = {}
    for database in databases(cluster, place, port):
        counts = records(cluster, place, port, TABLES, database)
        parts = [counts[at : at + COUNT_AT_A_TIME] for at in range(0, len(counts), COUNT_AT_A_TIME)]
        rows = [row for part in parts for row in records(cluster, place, port, " UNION ALL ".join(part), database)]
        rows += records(cluster, place, port, REST, database)
        found[database] = {name: int(number) for name, number in (row.rsplit("|", 1) for row in rows)}
    return found


def written(cluster: Cluster, port: int) -> int:
    """Return how many rows were written since the statistics began: with the cluster, or anew with its last crash."""
    return sum(int(sql(cluster, OPEN, port, WRITTEN, database)) for database in databases(cluster, OPEN, port))


def next_transaction(cluster: Cluster) -> int:
    """Return the number that the next transaction of a stopped cluster gets."""
    return upgrade.transaction(control(cluster.call([cluster.program("pg_controldata"), cluster.data], LC_ALL="C")))


def facts(cluster: Cluster, port: int, to: str) -> upgrade.Facts:
    """Return what speaks for or against beginning."""
    found = host.find(cluster)
    status, _out, _err = cluster.run(["systemctl", "-q", "is-active", cluster.unit], {})
    about: dict[str, t.Any] = {}
    if not status and found.data == "primary":
        about = json.loads(sql(cluster, OPEN, port, FACTS))
        about.update(absent=tuple(about["absent"]), collations=tuple(about["collations"]))
    _status, policy, _err = cluster.run(["apt-cache", "policy", f"postgresql-{to}"], {"LC_ALL": "C"})
    disk = os.statvfs(os.path.dirname(cluster.data))
    return upgrade.Facts(
        data=found.data,
        checksums=found.checksums,
        running=not status,
        installable="Candidate:" in policy and "Candidate: (none)" not in policy,
        needed=0 if shares_blocks(cluster) else size(cluster),
        free=disk.f_frsize * disk.f_bavail,
        **about,
    )


def size(cluster: Cluster) -> int:
    """Return how many bytes a copy of the data takes."""
    return int(cluster.call(["du", "-sLB1", "--exclude=pg_wal", cluster.data]).split()[0])


def shares_blocks(cluster: Cluster) -> bool:
    """Whether the file system copies by sharing blocks, as XFS and Btrfs do."""
    probe = cluster.data + ".vise-reflink"
    status, _out, _err = cluster.run(["cp", "--reflink=always", os.path.join(cluster.data, "PG_VERSION"), probe], {})
    with contextlib.suppress(FileNotFoundError):
        os.unlink(probe)
    return not status


# ---- servers and programs ----


@contextlib.contextmanager
def private(cluster: Cluster, port: int) -> t.Iterator[None]:
    """Run a cluster where nobody but us reaches it."""
    settings = {
        "config_file": os.path.join(cluster.config, "postgresql.conf"),
        "listen_addresses": "",
        "unix_socket_directories": PRIVATE,
        "port": str(port),
        "external_pid_file": "",
        "archive_mode": "off",
        "autovacuum": "off",
    }
    given = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
    properties = ["Type=notify", "KillSignal=SIGINT", "TimeoutStartSec=infinity", f"RuntimeDirectory={PRIVATE_UNIT}"]
    cluster.call([*_unit(PRIVATE_UNIT, properties), cluster.program("postgres"), "-D", cluster.data, *given])
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


def pg_upgrade(old: Cluster, new: Cluster, new_place: str, *options: str) -> None:
    """Run pg_upgrade; raise with what it found when it fails."""
    properties = [f"RuntimeDirectory={UPGRADE_UNIT}", f"WorkingDirectory=/run/{UPGRADE_UNIT}"]
    argv = [*_unit(UPGRADE_UNIT, properties), "--wait", "--pipe", "--setenv=LC_ALL=C.UTF-8", new.program("pg_upgrade")]
    argv += ["-U", "postgres", "-b", os.path.dirname(old.program("x")), "-B", os.path.dirname(new.program("x"))]
    argv += ["-d", old.config, "-D", new_place, "-o", "-c archive_mode=off", "-O", "-c archive_mode=off", *options]
    status, out, err = old.run(argv, {})
    if status:
        raise ClusterError(f"pg_upgrade {' '.join(options)}: {complaint(out + err)} {_lists(new)}".strip())


def complaint(text: str) -> str:
    """Return what pg_upgrade has printed, but for what went well."""
    lines = (line.strip() for line in text.replace("\r", "\n").splitlines())
    return " ".join(line for line in lines if line.strip("-") and not line.endswith("  ok"))[-1500:]


def _lists(new: Cluster) -> str:
    """Return what the lists say that pg_upgrade leaves below a data directory."""
    parent = os.path.dirname(new.data)
    texts = []
    for folder, _folders, files in os.walk(parent):
        if "pg_upgrade_output.d" in folder:
            texts += [_read(os.path.join(folder, name)) for name in files if name.endswith(".txt")]
    return " ".join(" ".join(texts).split())[:1500]


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as handle:
        return handle.read()


def compatible(old: Cluster, new: Cluster, port: int) -> None:
    """Let pg_upgrade look at the running old cluster, beside an empty one that is thrown away."""
    place = os.path.join(os.path.dirname(new.data), ".vise-check")
    cleared(place)
    old.call(["install", "-d", "-o", "postgres", "-g", "postgres", os.path.dirname(new.data)])
    try:
        new.call_as_postgres(
            [new.program("initdb"), "-D", place, "--no-sync", "--no-instructions", *initdb_options(new.version)]
        )
        pg_upgrade(old, new, place, "--check", "-p", str(port))
    finally:
        cleared(place)


def cleared(path: str) -> None:
    """Remove a directory, if it is there."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path)


def drop(cluster: Cluster) -> None:
    """Remove a cluster with its data, its configuration and whatever keeps its unit from starting or lets it start."""
    cluster.call(["systemctl", "unmask", cluster.unit])
    cluster.call(["systemctl", "disable", "--now", cluster.unit])
    for place in (cluster.data, cluster.config):
        cleared(place)
        # Of the version's directory nothing may be left, unless it has another cluster.
        with contextlib.suppress(OSError):
            os.rmdir(os.path.dirname(place))
    with contextlib.suppress(FileNotFoundError):
        os.unlink(cluster.fence)


def end_leftovers(cluster: Cluster) -> None:
    """End what a killed run has started and nobody has ended."""
    for unit in (UPGRADE_UNIT, PRIVATE_UNIT):
        cluster.run(["systemctl", "stop", unit], {})


def start(cluster: Cluster) -> None:
    """Start a cluster's unit and wait until it serves."""
    cluster.run(["systemctl", "reset-failed", cluster.unit], {})
    cluster.call(["systemctl", "start", cluster.unit])


# ---- the steps ----


def put_back(old: Cluster, new: Cluster, path: str) -> None:
    """Let the old cluster serve again, and leave nothing of the new one."""
    end_leftovers(old)
    drop(new)
    start(old)
    forget(path)


def take_over(
    old: Cluster, new: Cluster, port: int, count: bool, found: t.Mapping[str, t.Any], path: str
) -> dict[str, t.Any]:
    """Stop the old cluster, and make the new one hold what it held; nobody is served meanwhile."""
    state = note(path, {**found, "stage": upgrade.UPGRADING})
    way = "--clone" if shares_blocks(old) else "--copy"
    host.fence(new, f"it is being made from the cluster of {old.version}: run upgrade_postgresql.yml again")
    moments = [time.time()]
    old.call(["systemctl", "stop", old.unit])
    before: dict[str, dict[str, int]] = {}
    if count:
        with private(old, port):
            before = inventory(old, PRIVATE, port)
    moments.append(time.time())
    pg_upgrade(old, new, new.config, way, "--jobs", str(os.cpu_count() or 1))
    # Until the role has written the real one into the file, which says another while both clusters run.
    settings = os.path.join(new.data, "postgresql.auto.conf")
    with open(os.open(settings, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW), "a", encoding="utf-8") as handle:
        handle.write(f"port = '{port}'\n")
    moments.append(time.time())
    if count:
        with private(new, port):
            after = inventory(new, PRIVATE, port)
        lines = upgrade.differences(before, after)
        if lines:
            raise ClusterError(f"the new cluster does not hold what the old one held: {'; '.join(lines[:10])}")
    moments.append(time.time())
    names = ("stop and count", "pg_upgrade", "count again")
    seconds = {name: round(end - begin, 1) for name, begin, end in zip(names, moments, moments[1:], strict=False)}
    found = {
        "way": way,
        "before": before,
        "began": moments[0],
        "seconds": seconds,
        "transaction": next_transaction(new),
    }
    return note(path, {**state, **found, "stage": upgrade.SWITCHED})


def serve(old: Cluster, new: Cluster, state: t.Mapping[str, t.Any], path: str) -> dict[str, t.Any]:
    """Let the new cluster serve in the old one's place, with new statistics and extensions."""
    end_leftovers(old)
    host.fence(old, f"it was upgraded to {new.version}")
    host.unfence(new)
    start(new)
    if "switched" not in state:
        now = time.time()
        seconds = {**state["seconds"], "nobody was served": round(now - state["began"], 1)}
        state = note(path, {**state, "switched": now, "seconds": seconds})
    return dict(state)


def settle(new: Cluster, port: int, state: t.Mapping[str, t.Any], path: str) -> dict[str, t.Any]:
    """Update extensions and make statistics, which pg_upgrade leaves to others."""
    began, updated = time.time(), []
    for database in databases(new, OPEN, port):
        for extension in sql(new, OPEN, port, UPDATABLE, database).splitlines():
            sql(new, OPEN, port, f"ALTER EXTENSION {extension} UPDATE", database)
            updated.append(f"{database}: {extension}")
    argv = [
        new.program("vacuumdb"),
        "-h",
        OPEN,
        "-p",
        str(port),
        "--all",
        "--analyze-in-stages",
        "--jobs",
        str(os.cpu_count() or 1),
    ]
    new.call_as_postgres([*argv, "--quiet", "--no-password"], PGOPTIONS=SESSION)
    seconds = {**state["seconds"], "statistics": round(time.time() - began, 1)}
    return note(path, {**state, "stage": upgrade.SERVING, "extensions": updated, "seconds": seconds})


def health(new: Cluster, port: int) -> list[str]:
    """Return what is not as it has to be in the cluster that serves."""
    found = [] if sql(new, OPEN, port, VERSION) == new.version else ["it is another version"]
    found += sql(new, OPEN, port, PROBLEMS).splitlines()
    for database in databases(new, OPEN, port):
        found += [
            f"{database}: extension {one} is old" for one in sql(new, OPEN, port, UPDATABLE, database).splitlines()
        ]
    return found


def gained(new: Cluster, port: int, state: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Count what the new cluster has written while it serves, which goes on meanwhile."""
    # A standby has nothing of its own.
    if state.get("standby"):
        return {"transactions": 0, "rows": 0, "changed": []}
    try:
        # Without a count from before there is nothing to compare with.
        changed = upgrade.differences(state["before"], inventory(new, OPEN, port)) if state["before"] else []
        rows, transactions = written(new, port), int(sql(new, OPEN, port, TRANSACTION)) - state["transaction"]
    except ClusterError:
        return {"transactions": 0, "rows": None, "changed": []}
    return {"transactions": transactions, "rows": rows, "changed": changed}


def loss(state: t.Mapping[str, t.Any], found: t.Mapping[str, t.Any]) -> str:
    """Return what going back loses, in words."""
    since = state.get("switched", state.get("began", 0.0))
    return upgrade.loss(found["transactions"], found["rows"], found["changed"], since, time.time())


def end_service(new: Cluster, why: str, state: t.Mapping[str, t.Any], accepted: bool, path: str) -> dict[str, t.Any]:
    """Stop the new cluster, and note what going back loses, now that nothing comes to it any more.

    Where that is something, other than before it was stopped, and nobody has accepted it, the new one serves on.
    """
    host.fence(new, why)
    found = state["gained"]
    if not state.get("standby") and found["rows"] is not None:
        # After a crash the control file is older than what was asked.
        found = {**found, "transactions": max(found["transactions"], next_transaction(new) - state["transaction"])}
    lost = loss(state, found)
    if lost and not accepted:
        host.unfence(new)
        start(new)
        note(path, {**state, "stage": state["came"]})
        raise ClusterError(f"{new.version} serves on. While it was counted something was written: {lost}")
    return note(path, {**state, "lost": lost})


def go_back(
    old: Cluster, new: Cluster, port: int, state: t.Mapping[str, t.Any], accepted: bool, path: str
) -> dict[str, t.Any]:
    """Let the old cluster serve again, as it was when it was stopped; the new one is kept, and kept from starting."""
    if state["stage"] != upgrade.GOING_BACK:
        state = note(path, {**state, "stage": upgrade.GOING_BACK, "came": state["stage"]})
    end_leftovers(old)
    if "lost" not in state:
        why = f"the cluster of {old.version} serves again in its place"
        state = end_service(new, why, state, accepted, path)
    if state.get("before"):
        _status, active, _err = old.run(["systemctl", "is-active", old.unit], {})
        if active.strip() != "active":
            with private(old, port):
                lines = upgrade.differences(state["before"], inventory(old, PRIVATE, port))
            if lines:
                raise ClusterError(f"the old cluster is not what it was: {'; '.join(lines[:10])}")
    host.unfence(old)
    start(old)
    return note(path, {**state, "stage": upgrade.BACK})
