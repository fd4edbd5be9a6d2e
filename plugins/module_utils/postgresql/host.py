# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read and change a PostgreSQL cluster on a Debian host: all functions do I/O; the decisions are in cluster.py."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pwd
import shutil
import typing as t

from ..host import files, locks, programs
from . import session, tablespaces
from .cluster import (
    CREATECLUSTER,
    ClusterError,
    History,
    HostState,
    Standby,
    Upstream,
    build_conninfo,
    count_commits,
    find_backup_end,
    find_last_lsn,
    initdb_options,
    parse_history,
    parse_lsn,
    parse_primary_conninfo,
)
from .instance import RECOVERY_MINIMA, describe_low_settings, parse_controldata, select_recovery_minima

CREATECLUSTER_FILE = "/etc/postgresql-common/createcluster.d/vise.conf"
# (argv, environment) -> (status, stdout, stderr)
Run = t.Callable[[t.Sequence[str], t.Mapping[str, str]], tuple[int, str, str]]


def run_program(argv: t.Sequence[str], environment: t.Mapping[str, str]) -> tuple[int, str, str]:
    """Run a program as root; the Run of a cluster on this host."""
    return programs.run(argv, environment=environment).parts


@dataclasses.dataclass(frozen=True)
class Cluster:
    """A cluster of Debian's postgresql-common: its paths, its unit, and how programs are run for it."""

    version: str
    name: str
    run: Run
    root: str = "/"

    @property
    def data(self) -> str:
        """The data directory."""
        return os.path.join(self.root, "var/lib/postgresql", self.version, self.name)

    @property
    def config(self) -> str:
        """The configuration directory."""
        return os.path.join(self.root, "etc/postgresql", self.version, self.name)

    @property
    def creation_marker(self) -> str:
        """Path of a marker that exists while the cluster is created: until it is removed, the files are incomplete."""
        return os.path.join(self.root, "var/lib/postgresql", f".vise-creating-{self.version}-{self.name}")

    @property
    def rewind_marker(self) -> str:
        """Path of a marker that exists while pg_rewind runs: after an interruption, the data are unusable."""
        return self.data + ".vise-rewinding"

    @property
    def fence_file(self) -> str:
        """Path of the fence file, which keeps the unit from starting; it contains the reason."""
        return os.path.join(self.root, "etc/vise", f"postgresql-{self.version}-{self.name}.fenced")

    @property
    def unit(self) -> str:
        """The systemd unit."""
        return f"postgresql@{self.version}-{self.name}.service"

    def program(self, name: str) -> str:
        """Return the path of a PostgreSQL program of this version."""
        return os.path.join(self.root, "usr/lib/postgresql", self.version, "bin", name)

    def call(self, argv: t.Sequence[str], **environment: str) -> str:
        """Run a command; return its standard output, raise ClusterError when it fails."""
        status, out, err = self.run(argv, environment)
        if status:
            raise ClusterError(programs.describe_failure(argv, programs.Result(status, out, err)))
        return out.strip()

    def call_as_postgres(self, argv: t.Sequence[str], **environment: str) -> str:
        """Run a command as user postgres."""
        return self.call(["runuser", "-u", "postgres", "--", *argv], **environment)


def lock(cluster: Cluster) -> contextlib.AbstractContextManager[None]:
    """Return the lock that lets one module run at a time; it waits for a run that outlived its killed controller."""
    return locks.lock(os.path.join(cluster.root, "var/lib/vise/.postgresql-cluster.lock"))


def is_installed(cluster: Cluster) -> bool:
    """Return whether the server is installed completely; programs already exist while dpkg unpacks the package."""
    if not os.path.exists(cluster.program("postgres")):
        return False
    package = f"postgresql-{cluster.version}"
    _status, out, _err = cluster.run(["dpkg-query", "-W", "-f", "${db:Status-Status}", package], {"LC_ALL": "C"})
    return out.strip() == "installed"


def read_controldata(cluster: Cluster, data: str = "") -> dict[str, str]:
    """Return the values of the control file of a data directory, by default the cluster's; raises ClusterError."""
    return parse_controldata(cluster.call([cluster.program("pg_controldata"), data or cluster.data], LC_ALL="C"))


def inspect(cluster: Cluster) -> HostState:
    """Return the state of the cluster on this host."""
    incomplete = os.path.exists(cluster.creation_marker)
    current = HostState(
        installed=is_installed(cluster),
        configured=not incomplete and os.path.exists(os.path.join(cluster.config, "postgresql.conf")),
        fence=files.read_text(cluster.fence_file).strip(),
        version=cluster.version,
        rewinding=os.path.exists(cluster.rewind_marker),
        others=find_other_versions(cluster),
    )
    if incomplete or not _list_directory(cluster.data):
        return current
    facts: dict[str, str] = {}
    with contextlib.suppress(ClusterError):
        facts = read_controldata(cluster)
    if "Database system identifier" not in facts:
        return dataclasses.replace(current, data="damaged")
    standby = os.path.exists(os.path.join(cluster.data, "standby.signal"))
    return dataclasses.replace(
        current,
        data="standby" if standby else "primary",
        system=facts["Database system identifier"],
        checksums=facts.get("Data page checksum version", "0") != "0",
    )


def find_other_versions(cluster: Cluster) -> tuple[str, ...]:
    """Return the other major versions that have data on this host and are not fenced."""
    parent = os.path.dirname(os.path.dirname(cluster.data))
    versions = sorted(name for name in _list_directory(parent) if name.isdigit())
    clusters = [dataclasses.replace(cluster, version=version) for version in versions if version != cluster.version]
    return tuple(
        other.version
        for other in clusters
        if os.path.exists(os.path.join(other.data, "PG_VERSION")) and not os.path.exists(other.fence_file)
    )


def query_primary(cluster: Cluster, primary: t.Mapping[str, t.Any]) -> tuple[Upstream, str]:
    """Query the described primary; return its answer and, when it does not answer, the error."""
    try:
        answer = run_replication_commands(cluster, primary, "IDENTIFY_SYSTEM", "SHOW in_hot_standby")
        identity, in_hot_standby = answer.splitlines()
    except ClusterError as error:
        return Upstream(), str(error)
    return Upstream(identity.split("|")[0], in_hot_standby == "off"), ""


def run_replication_commands(cluster: Cluster, primary: t.Mapping[str, t.Any], *commands: str) -> str:
    """Run commands of the replication protocol on the primary; return its output."""
    argv = [cluster.program("psql"), "-XAtw", "-d", build_conninfo(primary) + " replication=true"]
    argv += [word for command in commands for word in ("-c", command)]
    return cluster.call_as_postgres(argv, **_replication_environment(cluster, primary))


def _replication_environment(cluster: Cluster, primary: t.Mapping[str, t.Any]) -> dict[str, str]:
    return {"PGPASSWORD": primary["password"], **session.build_environment(cluster.version)}


def read_history(cluster: Cluster, primary: t.Mapping[str, t.Any]) -> History:
    """Return the history of the primary's WAL."""
    timeline = int(run_replication_commands(cluster, primary, "IDENTIFY_SYSTEM").split("|")[1])
    text = run_replication_commands(cluster, primary, f"TIMELINE_HISTORY {timeline}") if timeline > 1 else ""
    return History(timeline, parse_history(text))


def read_recovery_settings(cluster: Cluster, primary: t.Mapping[str, t.Any]) -> dict[str, int]:
    """Return the settings of the primary that a standby needs at least as high."""
    answer = run_replication_commands(cluster, primary, *(f"SHOW {name}" for name in RECOVERY_MINIMA))
    return {name: int(value) for name, value in zip(RECOVERY_MINIMA, answer.splitlines(), strict=True)}


def ensure_slot(cluster: Cluster, primary: t.Mapping[str, t.Any]) -> None:
    """Create the slot that retains WAL for this host if it is missing: a restored primary has lost its slots."""
    slot = run_replication_commands(cluster, primary, f"READ_REPLICATION_SLOT {primary['slot']}")
    if not slot.startswith("physical"):
        run_replication_commands(cluster, primary, f"CREATE_REPLICATION_SLOT {primary['slot']} PHYSICAL (RESERVE_WAL)")


def describe_discarded_transactions(cluster: Cluster, past: History) -> str:
    """Describe what a former primary committed after the current primary left its timeline; empty for nothing."""
    facts = read_controldata(cluster)
    timeline = facts["Latest checkpoint's TimeLineID"]
    start = past.ends.get(int(timeline), "")
    if int(timeline) == past.timeline or (start and parse_lsn(find_end_of_wal(cluster)) <= parse_lsn(start)):
        return ""
    argv = [cluster.program("pg_waldump"), "--stats=record", "-p", os.path.join(cluster.data, "pg_wal")]
    # pg_waldump exits with an error at the end of the WAL, after it has counted.
    _status, out, _err = cluster.run([*argv, "-t", timeline, "-s", start or "0/0"], {"LC_ALL": "C"})
    count = count_commits(out)
    if count == 0:
        return ""
    number = "an unknown number of" if count is None else count
    return f"discard {number} transactions that only this host has committed, after {start or 'an unknown position'}"


def measure_resources(cluster: Cluster) -> dict[str, int]:
    """Return memory in MB, cores and size of the data directory's disk in MB, from which settings are derived."""
    with open("/proc/meminfo", encoding="ascii") as handle:
        memory = next(int(line.split()[1]) for line in handle if line.startswith("MemTotal:")) // 1024
    place = cluster.data
    while not os.path.isdir(place):
        place = os.path.dirname(place)
    disk = os.statvfs(place)
    return {"memory_mb": memory, "cores": os.cpu_count() or 1, "disk_mb": disk.f_frsize * disk.f_blocks // 1024**2}


def disable_default_cluster(root: str = "/") -> None:
    """Configure postgresql-common so that installing the package creates no cluster."""
    path = os.path.join(root, CREATECLUSTER_FILE.lstrip("/"))
    files.make_directories(os.path.dirname(path))
    files.replace_file(path, CREATECLUSTER, mode=0o644)


def create(cluster: Cluster) -> None:
    """Create an empty cluster; first remove an incomplete one of a killed run."""
    disable_default_cluster(cluster.root)
    if os.path.exists(cluster.creation_marker):
        for left_over in (cluster.data, cluster.config):
            shutil.rmtree(left_over, ignore_errors=True)
    files.make_directories(os.path.dirname(cluster.creation_marker))
    files.replace_file(cluster.creation_marker, "", mode=0o644)
    cluster.call(["pg_createcluster", cluster.version, cluster.name, "--", *initdb_options(cluster.version)])
    files.remove_file(cluster.creation_marker)


def stop(cluster: Cluster) -> None:
    """Stop the server, also one that was started without its unit."""
    cluster.call(["systemctl", "stop", cluster.unit])
    control_program = [cluster.program("pg_ctl"), "-D", cluster.data]
    status, _out, _err = cluster.run(["runuser", "-u", "postgres", "--", *control_program, "status"], {})
    if status == 0:
        cluster.call_as_postgres([*control_program, "stop", "-m", "fast"])


TABLESPACES = "SELECT oid, pg_tablespace_location(oid) FROM pg_tablespace WHERE pg_tablespace_location(oid) <> ''"


def list_tablespaces(cluster: Cluster, primary: t.Mapping[str, t.Any]) -> dict[str, str]:
    """Return the location of each tablespace of the primary, by its number (OID); a standby uses the same locations."""
    argv = [cluster.program("psql"), "-XAtw", "-d", f"{build_conninfo(primary)} dbname=postgres", "-c", TABLESPACES]
    rows = cluster.call_as_postgres(argv, **_replication_environment(cluster, primary)).splitlines()
    return dict(row.split("|", 1) for row in rows)


def rewind(cluster: Cluster, primary: t.Mapping[str, t.Any]) -> None:
    """Run pg_rewind: discard the former primary's own transactions and fetch the changes of the current primary."""
    files.replace_file(cluster.rewind_marker, "", mode=0o644)
    for location in list_tablespaces(cluster, primary).values():
        tablespaces.prepare(location)
    argv = [cluster.program("pg_rewind"), f"--target-pgdata={cluster.data}"]
    # pg_rewind first runs crash recovery if the cluster crashed, which needs the configuration.
    argv += [f"--config-file={os.path.join(cluster.config, 'postgresql.conf')}"]
    argv += [f"--source-server={build_conninfo(primary)} dbname=postgres"]
    cluster.call_as_postgres(argv, **_replication_environment(cluster, primary))
    cluster.call_as_postgres(["touch", os.path.join(cluster.data, "standby.signal")])
    files.remove_file(cluster.rewind_marker)


# Folders in the location of a tablespace: the new copy, and the old files until they are removed.
FRESH, OLD = "vise-new", "vise-old"


def restore_backup(
    cluster: Cluster,
    primary: t.Mapping[str, t.Any],
    system: str,
    past: History,
    fresh: str,
    locations: t.Mapping[str, str],
) -> str:
    """Restore a backup to the directory `fresh` by the primary's restore command; return why that failed, or ''."""
    if locations and "{tablespaces}" not in primary["restore"]:
        return "the restore command has no place for tablespaces"
    mapping = [f"--tablespace-map={number}={location}/{FRESH}" for number, location in locations.items()]
    command = [part for word in primary["restore"] for part in (mapping if word == "{tablespaces}" else [word])]
    cluster.call(["install", "-d", "-o", "postgres", "-g", "postgres", "-m", "0700", fresh])
    try:
        cluster.call_as_postgres([word.replace("{data}", fresh) for word in command])
        controldata = read_controldata(cluster, fresh)
        began = parse_controldata(files.read_text(os.path.join(fresh, "backup_label"))).get("START WAL LOCATION", "")
        timeline, end = find_backup_end(cluster.call_as_postgres(primary["backups"]), began)
    except ClusterError as error:
        return str(error)
    if controldata.get("Database system identifier") != system:
        return "the backup belongs to another cluster"
    # A primary that was restarted with lower settings since the backup has WAL of both; a standby from the backup would
    # not start with the lower ones.
    low = describe_low_settings(select_recovery_minima(controldata), read_recovery_settings(cluster, primary))
    if low:
        return f"the backup was made with higher settings than the primary has now: {low}"
    # A restore to a point before or during the newest backup discards part of this backup. pgBackRest checks only where
    # the backup started, and takes the LSNs of the history as they are.
    return "" if past.includes(timeline, end) else "the newest backup contains WAL that a restore discarded"


def copy_primary(cluster: Cluster, primary: t.Mapping[str, t.Any], system: str, past: History) -> str:
    """Replace the data directory by a copy of the primary's, from a backup if a restore command is given.

    The old data are replaced only when the copy is complete. Return why the backup could not be used, or ''.
    """
    fresh, old = cluster.data + ".vise-new", cluster.data + ".vise-old"
    parent = os.path.dirname(cluster.data)
    user = pwd.getpwnam("postgres")
    files.make_directories(parent)
    os.chown(parent, user.pw_uid, user.pw_gid)
    for left_over in (fresh, old):
        shutil.rmtree(left_over, ignore_errors=True)
    locations = list_tablespaces(cluster, primary)
    folders = _prepare_tablespaces(locations)
    why = restore_backup(cluster, primary, system, past, fresh, locations) if primary["restore"] else ""
    if why or not primary["restore"]:
        shutil.rmtree(fresh, ignore_errors=True)
        _prepare_tablespaces(locations)
        # A standby that still replicates occupies the slot.
        stop(cluster)
        _base_backup(cluster, primary, fresh, folders)
    cluster.call_as_postgres(["touch", os.path.join(fresh, "standby.signal")])
    stop(cluster)
    kept = tablespaces.set_aside(cluster.data, locations.values(), cluster.version, OLD)
    tablespaces.put_back(fresh, cluster.version, FRESH)
    if os.path.isdir(cluster.data):
        os.rename(cluster.data, old)
    os.rename(fresh, cluster.data)
    for left_over in (old, *kept):
        shutil.rmtree(left_over, ignore_errors=True)
    files.remove_file(cluster.rewind_marker)
    return why


def _prepare_tablespaces(locations: t.Mapping[str, str]) -> dict[str, str]:
    """Create an empty folder in each location; return the folders by their location."""
    try:
        return {location: tablespaces.prepare(location, FRESH) for location in locations.values()}
    except tablespaces.TablespaceError as error:
        raise ClusterError(str(error)) from error


def _base_backup(cluster: Cluster, primary: t.Mapping[str, t.Any], fresh: str, folders: t.Mapping[str, str]) -> None:
    argv = [cluster.program("pg_basebackup"), "-d", build_conninfo(primary), "-D", fresh, "--no-password"]
    argv += ["--wal-method=stream", f"--slot={primary['slot']}", "--checkpoint=fast"]
    pairs = ((location.replace("=", "\\="), folder.replace("=", "\\=")) for location, folder in folders.items())
    argv += [f"--tablespace-mapping={location}={folder}" for location, folder in pairs]
    try:
        cluster.call_as_postgres(argv, **_replication_environment(cluster, primary))
    except ClusterError:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def configure(cluster: Cluster) -> None:
    """Create Debian's configuration for existing data, from PostgreSQL's sample files."""
    for name in ("postgresql.conf", "pg_hba.conf", "pg_ident.conf"):
        sample = os.path.join(cluster.root, "usr/share/postgresql", cluster.version, name + ".sample")
        mine = os.path.join(cluster.data, name)
        cluster.call(["install", "-o", "postgres", "-g", "postgres", "-m", "0640", sample, mine])
    cluster.call(["pg_createcluster", cluster.version, cluster.name])


def fence(cluster: Cluster, why: str) -> None:
    """Stop the cluster and prevent its start, across reboots, by the fence file, start.conf and a masked unit."""
    files.make_directories(os.path.dirname(cluster.fence_file))
    files.replace_file(cluster.fence_file, why + "\n", mode=0o644)
    _start_conf(cluster, "disabled")
    cluster.call(["systemctl", "stop", cluster.unit])
    cluster.call(["systemctl", "mask", cluster.unit])


def unfence(cluster: Cluster) -> None:
    """Remove the fence so that the cluster can start again."""
    cluster.call(["systemctl", "unmask", cluster.unit])
    _start_conf(cluster, "auto")
    files.remove_file(cluster.fence_file)


def _start_conf(cluster: Cluster, mode: str) -> None:
    files.replace_file(os.path.join(cluster.config, "start.conf"), f"{mode}\n", mode=0o644)


def _list_directory(path: str) -> list[str]:
    try:
        return [entry for entry in os.listdir(path) if entry != "lost+found"]
    except FileNotFoundError:
        return []


def find_end_of_wal(cluster: Cluster) -> str:
    """Return the LSN at which the WAL of a stopped cluster ends; empty when it cannot be read."""
    try:
        facts = read_controldata(cluster)
    except ClusterError:
        return ""
    checkpoint = facts.get("Latest checkpoint location", "")
    if facts.get("Database cluster state") == "shut down":
        return checkpoint
    # After a crash, the WAL continues after the last checkpoint, up to the first record that cannot be read.
    argv = [cluster.program("pg_waldump"), "--quiet", "-p", os.path.join(cluster.data, "pg_wal")]
    argv += ["-t", facts["Latest checkpoint's TimeLineID"], "-s", checkpoint]
    _status, _out, err = cluster.run(argv, {"LC_ALL": "C"})
    return find_last_lsn(err) or checkpoint


def query_server(cluster: Cluster, port: int, query: str) -> str:
    """Run a query as user postgres on the server of this host; return its output."""
    argv = [cluster.program("psql"), "-XAtw", "-h", "/run/postgresql", "-p", str(port), "-d", "postgres"]
    environment = session.build_environment(cluster.version)
    return cluster.call_as_postgres([*argv, "-v", "ON_ERROR_STOP=1", "-c", query], **environment)


def read_standby(cluster: Cluster, port: int) -> Standby | None:
    """Return the state of the standby on this host; None when the server is a primary."""
    if query_server(cluster, port, "SELECT pg_is_in_recovery()") == "f":
        return None
    query = """
        SELECT greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()),
          ceil(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())),
          current_setting('primary_conninfo')
    """
    received, seconds, conninfo_text = query_server(cluster, port, query).split("|", 2)
    address, primary_port = parse_primary_conninfo(conninfo_text)
    return Standby(address, primary_port, received, int(seconds) if seconds else None)


def promote(cluster: Cluster, port: int) -> None:
    """Promote the standby on this host and wait up to 120 s until it is the primary."""
    if query_server(cluster, port, "SELECT pg_promote(true, 120)") != "t":
        raise ClusterError("the standby did not become a primary within 120 s; see the server's log")
    # Until a checkpoint, the control file names the old timeline, and a backup would refuse to start.
    query_server(cluster, port, "CHECKPOINT")
