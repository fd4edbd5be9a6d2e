# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a PostgreSQL cluster is on a Debian host: everything here does I/O, nothing decides."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import pwd
import shutil
import typing as t

from ansible_collections.vise.platform.plugins.module_utils.postgresql.cluster import (
    CREATECLUSTER,
    ClusterError,
    Found,
    History,
    Standby,
    Upstream,
    backup_end,
    commits,
    conninfo,
    control,
    followed,
    initdb_options,
    last_position,
    left,
    position,
)

CREATECLUSTER_FILE = "/etc/postgresql-common/createcluster.d/vise.conf"
# (argv, environment) -> (status, stdout, stderr)
Run = t.Callable[[t.Sequence[str], t.Mapping[str, str]], tuple[int, str, str]]


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Debian's places of a cluster."""

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
    def creating(self) -> str:
        """The marker of a cluster that is being made: what lies in its places is nobody's data yet."""
        return os.path.join(self.root, "var/lib/postgresql", f".vise-creating-{self.version}-{self.name}")

    @property
    def rewinding(self) -> str:
        """The marker of data that are being rewound: cut off, they are nobody's."""
        return self.data + ".vise-rewinding"

    @property
    def fence(self) -> str:
        """The marker that keeps the unit from starting."""
        return os.path.join(self.root, "etc/vise", f"postgresql-{self.version}-{self.name}.fenced")

    @property
    def unit(self) -> str:
        """The systemd unit."""
        return f"postgresql@{self.version}-{self.name}.service"

    def program(self, name: str) -> str:
        """Return a program of this version."""
        return os.path.join(self.root, "usr/lib/postgresql", self.version, "bin", name)

    def call(self, argv: t.Sequence[str], **environment: str) -> str:
        """Run a command; return what it printed, raise when it fails."""
        status, out, err = self.run(argv, environment)
        if status:
            raise ClusterError(f"`{' '.join(argv)}` failed (exit {status}): {(err or out).strip()[-2000:]}")
        return out.strip()

    def call_as_postgres(self, argv: t.Sequence[str], **environment: str) -> str:
        """Run a command as the database's user."""
        return self.call(["runuser", "-u", "postgres", "--", *argv], **environment)


@contextlib.contextmanager
def locked(cluster: Cluster) -> t.Iterator[None]:
    """Let one run at a time work. What a killed controller has started goes on on the host, and is waited for."""
    directory = os.path.join(cluster.root, "var/lib/vise")
    os.makedirs(directory, mode=0o755, exist_ok=True)
    with open(os.path.join(directory, ".postgresql-cluster.lock"), "w", encoding="utf-8") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def installed(cluster: Cluster) -> bool:
    """Whether the server is there whole; while its package is being unpacked its programs exist already."""
    if not os.path.exists(cluster.program("postgres")):
        return False
    package = f"postgresql-{cluster.version}"
    _status, out, _err = cluster.run(["dpkg-query", "-W", "-f", "${db:Status-Status}", package], {"LC_ALL": "C"})
    return out.strip() == "installed"


def find(cluster: Cluster) -> Found:
    """Return what the host holds."""
    half_made = os.path.exists(cluster.creating)
    found = Found(
        installed=installed(cluster),
        configured=not half_made and os.path.exists(os.path.join(cluster.config, "postgresql.conf")),
        fence=_text(cluster.fence).strip(),
        version=cluster.version,
        rewinding=os.path.exists(cluster.rewinding),
        others=others(cluster),
    )
    if half_made or not _entries(cluster.data):
        return found
    status, out, _err = cluster.run([cluster.program("pg_controldata"), cluster.data], {"LC_ALL": "C"})
    facts = control(out)
    if status or "Database system identifier" not in facts:
        return dataclasses.replace(found, data="damaged")
    standby = os.path.exists(os.path.join(cluster.data, "standby.signal"))
    return dataclasses.replace(
        found,
        data="standby" if standby else "primary",
        system=facts["Database system identifier"],
        checksums=facts.get("Data page checksum version", "0") != "0",
    )


def others(cluster: Cluster) -> tuple[str, ...]:
    """Return the other versions of which the host holds data that may run."""
    versions = sorted(name for name in _entries(os.path.dirname(os.path.dirname(cluster.data))) if name.isdigit())
    clusters = [dataclasses.replace(cluster, version=version) for version in versions if version != cluster.version]
    return tuple(
        other.version
        for other in clusters
        if os.path.exists(os.path.join(other.data, "PG_VERSION")) and not os.path.exists(other.fence)
    )


def ask(cluster: Cluster, primary: t.Mapping[str, t.Any]) -> tuple[Upstream, str]:
    """Return what the named primary says of itself, and why it says nothing."""
    try:
        identity, in_hot_standby = replicate(cluster, primary, "IDENTIFY_SYSTEM", "SHOW in_hot_standby").splitlines()
    except ClusterError as error:
        return Upstream(), str(error)
    return Upstream(identity.split("|")[0], in_hot_standby == "off"), ""


def replicate(cluster: Cluster, primary: t.Mapping[str, t.Any], *commands: str) -> str:
    """Return what the primary answers to commands of the replication protocol."""
    argv = [cluster.program("psql"), "-XAtw", "-d", conninfo(primary) + " replication=true"]
    argv += [word for command in commands for word in ("-c", command)]
    return cluster.call_as_postgres(argv, PGPASSWORD=primary["password"])


def history(cluster: Cluster, primary: t.Mapping[str, t.Any]) -> History:
    """Return where the primary's WAL comes from."""
    timeline = int(replicate(cluster, primary, "IDENTIFY_SYSTEM").split("|")[1])
    text = replicate(cluster, primary, f"TIMELINE_HISTORY {timeline}") if timeline > 1 else ""
    return History(timeline, left(text))


def keep_slot(cluster: Cluster, primary: t.Mapping[str, t.Any]) -> None:
    """Make the slot that keeps WAL for this host: a restored primary has none of those that it had."""
    if not replicate(cluster, primary, f"READ_REPLICATION_SLOT {primary['slot']}").startswith("physical"):
        replicate(cluster, primary, f"CREATE_REPLICATION_SLOT {primary['slot']} PHYSICAL (RESERVE_WAL)")


def given_up(cluster: Cluster, past: History) -> str:
    """Say what a former primary has committed since the primary left its history; nothing where that is nothing."""
    facts = control(cluster.call([cluster.program("pg_controldata"), cluster.data], LC_ALL="C"))
    timeline = facts["Latest checkpoint's TimeLineID"]
    start = past.left.get(int(timeline), "")
    if int(timeline) == past.timeline or (start and position(end_of_wal(cluster)) <= position(start)):
        return ""
    argv = [cluster.program("pg_waldump"), "--stats=record", "-p", os.path.join(cluster.data, "pg_wal")]
    # It ends with an error where the WAL does, and has counted by then.
    _status, out, _err = cluster.run([*argv, "-t", timeline, "-s", start or "0/0"], {"LC_ALL": "C"})
    count = commits(out)
    if count == 0:
        return ""
    number = "an unknown number of" if count is None else count
    return f"give up {number} transactions that this host alone has committed, after {start or 'an unknown position'}"


def resources(cluster: Cluster) -> dict[str, int]:
    """Return what the settings are derived from, in MB: memory, cores and the disk of the data directory."""
    with open("/proc/meminfo", encoding="ascii") as handle:
        memory = next(int(line.split()[1]) for line in handle if line.startswith("MemTotal:")) // 1024
    place = cluster.data
    while not os.path.isdir(place):
        place = os.path.dirname(place)
    disk = os.statvfs(place)
    return {"memory_mb": memory, "cores": os.cpu_count() or 1, "disk_mb": disk.f_frsize * disk.f_blocks // 1024**2}


def before_packages(root: str = "/") -> None:
    """Keep Debian's package from making a cluster of its own when it is installed."""
    path = os.path.join(root, CREATECLUSTER_FILE.lstrip("/"))
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    with open(path, "w", encoding="utf-8") as handle:
        handle.write(CREATECLUSTER)
    os.chmod(path, 0o644)


def create(cluster: Cluster) -> None:
    """Make an empty cluster; what a killed run has left of one goes first."""
    before_packages(cluster.root)
    if os.path.exists(cluster.creating):
        for left_over in (cluster.data, cluster.config):
            shutil.rmtree(left_over, ignore_errors=True)
    os.makedirs(os.path.dirname(cluster.creating), mode=0o755, exist_ok=True)
    _put(cluster.creating, "")
    cluster.call(["pg_createcluster", cluster.version, cluster.name, "--", *initdb_options(cluster.version)])
    os.unlink(cluster.creating)


def stop(cluster: Cluster) -> None:
    """Stop the server, also one that somebody has started past its unit."""
    cluster.call(["systemctl", "stop", cluster.unit])
    control_program = [cluster.program("pg_ctl"), "-D", cluster.data]
    status, _out, _err = cluster.run(["runuser", "-u", "postgres", "--", *control_program, "status"], {})
    if status == 0:
        cluster.call_as_postgres([*control_program, "stop", "-m", "fast"])


def rewind(cluster: Cluster, primary: t.Mapping[str, t.Any]) -> None:
    """Take back what a former primary has that the primary has not, and bring what it lacks."""
    _put(cluster.rewinding, "")
    argv = [cluster.program("pg_rewind"), f"--target-pgdata={cluster.data}"]
    # It begins with the recovery of a cluster that has crashed.
    argv += [f"--config-file={os.path.join(cluster.config, 'postgresql.conf')}"]
    argv += [f"--source-server={conninfo(primary)} dbname=postgres"]
    cluster.call_as_postgres(argv, PGPASSWORD=primary["password"])
    cluster.call_as_postgres(["touch", os.path.join(cluster.data, "standby.signal")])
    os.unlink(cluster.rewinding)


def restore(cluster: Cluster, primary: t.Mapping[str, t.Any], system: str, past: History, fresh: str) -> str:
    """Make a copy by the primary's own command for that, from a backup; return why there is none, or nothing."""
    cluster.call(["install", "-d", "-o", "postgres", "-g", "postgres", "-m", "0700", fresh])
    try:
        cluster.call_as_postgres([word.replace("{data}", fresh) for word in primary["restore"]])
        found = control(cluster.call([cluster.program("pg_controldata"), fresh], LC_ALL="C"))
        began = control(_text(os.path.join(fresh, "backup_label"))).get("START WAL LOCATION", "")
        timeline, end = backup_end(cluster.call_as_postgres(primary["backups"]), began)
    except ClusterError as error:
        return str(error)
    if found.get("Database system identifier") != system:
        return "the backup is of another cluster"
    # As after a restore to a moment before the newest backup or amid it. pgBackRest looks only where it began, and
    # takes the positions of the history as they are.
    return "" if past.includes(timeline, end) else "the newest backup has what the primary went back behind"


def copy(cluster: Cluster, primary: t.Mapping[str, t.Any], system: str, past: History) -> str:
    """Make the data directory a copy of the primary's; return why it is not from a backup, where one was wanted.

    It is complete before it takes the place of what was there.
    """
    fresh, old = cluster.data + ".vise-new", cluster.data + ".vise-old"
    parent = os.path.dirname(cluster.data)
    user = pwd.getpwnam("postgres")
    os.makedirs(parent, mode=0o755, exist_ok=True)
    os.chown(parent, user.pw_uid, user.pw_gid)
    for left_over in (fresh, old):
        shutil.rmtree(left_over, ignore_errors=True)
    why = restore(cluster, primary, system, past, fresh) if primary["restore"] else ""
    if why or not primary["restore"]:
        shutil.rmtree(fresh, ignore_errors=True)
        # A standby that still follows holds the slot.
        stop(cluster)
        _base_backup(cluster, primary, fresh)
    cluster.call_as_postgres(["touch", os.path.join(fresh, "standby.signal")])
    stop(cluster)
    if os.path.isdir(cluster.data):
        os.rename(cluster.data, old)
    os.rename(fresh, cluster.data)
    shutil.rmtree(old, ignore_errors=True)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(cluster.rewinding)
    return why


def _base_backup(cluster: Cluster, primary: t.Mapping[str, t.Any], fresh: str) -> None:
    argv = [cluster.program("pg_basebackup"), "-d", conninfo(primary), "-D", fresh, "--no-password"]
    argv += ["--wal-method=stream", f"--slot={primary['slot']}", "--checkpoint=fast"]
    try:
        cluster.call_as_postgres(argv, PGPASSWORD=primary["password"])
    except ClusterError:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def configure(cluster: Cluster) -> None:
    """Make Debian's configuration for data that are there; it starts from PostgreSQL's own samples."""
    for name in ("postgresql.conf", "pg_hba.conf", "pg_ident.conf"):
        sample = os.path.join(cluster.root, "usr/share/postgresql", cluster.version, name + ".sample")
        mine = os.path.join(cluster.data, name)
        cluster.call(["install", "-o", "postgres", "-g", "postgres", "-m", "0640", sample, mine])
    cluster.call(["pg_createcluster", cluster.version, cluster.name])


def fence(cluster: Cluster, why: str) -> None:
    """Stop the cluster and keep it from starting, across reboots, by three locks of which each is enough."""
    os.makedirs(os.path.dirname(cluster.fence), mode=0o755, exist_ok=True)
    with open(cluster.fence, "w", encoding="utf-8") as handle:
        handle.write(why + "\n")
        handle.flush()
        os.fsync(handle.fileno())
    _start_conf(cluster, "disabled")
    cluster.call(["systemctl", "stop", cluster.unit])
    cluster.call(["systemctl", "mask", cluster.unit])


def unfence(cluster: Cluster) -> None:
    """Let the cluster start again."""
    cluster.call(["systemctl", "unmask", cluster.unit])
    _start_conf(cluster, "auto")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(cluster.fence)


def _start_conf(cluster: Cluster, mode: str) -> None:
    _put(os.path.join(cluster.config, "start.conf"), f"{mode}\n")


def _put(path: str, text: str) -> None:
    """Write a file in a directory of postgres', in the place of what lies there, which may be a link to root's."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
    with open(descriptor, "w", encoding="utf-8") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())


def _entries(path: str) -> list[str]:
    try:
        return [entry for entry in os.listdir(path) if entry != "lost+found"]
    except FileNotFoundError:
        return []


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as handle:
            return handle.read()
    except FileNotFoundError:
        return ""


def end_of_wal(cluster: Cluster) -> str:
    """Return where the WAL of a stopped cluster ends; nothing where there is none that can be read."""
    status, out, _err = cluster.run([cluster.program("pg_controldata"), cluster.data], {"LC_ALL": "C"})
    facts = control(out)
    checkpoint = facts.get("Latest checkpoint location", "")
    if status or facts.get("Database cluster state") == "shut down":
        return checkpoint
    # It crashed: its WAL goes on behind the last checkpoint, up to the first record that cannot be read.
    argv = [cluster.program("pg_waldump"), "--quiet", "-p", os.path.join(cluster.data, "pg_wal")]
    argv += ["-t", facts["Latest checkpoint's TimeLineID"], "-s", checkpoint]
    _status, _out, err = cluster.run(argv, {"LC_ALL": "C"})
    return last_position(err) or checkpoint


def ask_server(cluster: Cluster, port: int, query: str) -> str:
    """Return what the server on this host answers to user postgres."""
    argv = [cluster.program("psql"), "-XAtw", "-h", "/run/postgresql", "-p", str(port), "-d", "postgres"]
    return cluster.call_as_postgres([*argv, "-v", "ON_ERROR_STOP=1", "-c", query])


def standby(cluster: Cluster, port: int) -> Standby | None:
    """Return what the standby on this host says of itself; None when it is a primary."""
    if ask_server(cluster, port, "SELECT pg_is_in_recovery()") == "f":
        return None
    query = """
        SELECT greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()),
          ceil(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())),
          current_setting('primary_conninfo')
    """
    received, seconds, conninfo_text = ask_server(cluster, port, query).split("|", 2)
    address, primary_port = followed(conninfo_text)
    return Standby(address, primary_port, received, int(seconds) if seconds else None)


def promote(cluster: Cluster, port: int) -> None:
    """Make the standby on this host the primary, and wait until it is."""
    if ask_server(cluster, port, "SELECT pg_promote(true, 120)") != "t":
        raise ClusterError("the standby did not become a primary within 120 s; see its log")
    # Until then the control file names the old timeline, and a backup would refuse to begin.
    ask_server(cluster, port, "CHECKPOINT")
