# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check and activate the configuration of a PostgreSQL cluster, and prevent a second primary; run by its unit."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import signal
import sys
import tempfile
import time
import typing as t

from ..host import files, programs
from . import instance, session
from .cluster import ClusterError

SETTINGS = "/etc/vise/{}.json"
USAGE = """usage: {0} check      check that a server starts with the files
       {0} activate   make the files live, with a restart only where a reload is not enough
       {0} guard      reject the start of a second primary, for example after a promotion while this host was down
       {0} yield      stop this primary if another server was promoted
       {0} live       print the live generation; fail if the live state differs from the files"""
USER = "postgres"
# Independent of files in a home directory.
ENVIRONMENT = {"HOME": "/nonexistent"}
# Lines of the log that explain why a server rejects its files.
REASON = re.compile(r".*(?:FATAL|ERROR|LOG: +(?:configuration|invalid|unrecognized|parameter|line)|CONTEXT|DETAIL).*")
START_SECONDS = 60
LOAD_SECONDS = 10
REFUSAL_SECONDS = 5  # until systemd may try the next start

# Settings of ALTER SYSTEM override the files.
OVERRIDDEN = """
SELECT quote_ident(name) FROM pg_file_settings WHERE sourcefile = '{data}/postgresql.auto.conf'
  AND name IN (SELECT name FROM pg_file_settings WHERE sourcefile = '{config}/conf.d/vise.conf')
"""
PROBLEMS = """
SELECT 'restart pending: ' || name FROM pg_settings WHERE pending_restart
UNION ALL SELECT sourcefile || ': ' || name || ': ' || error FROM pg_file_settings WHERE error IS NOT NULL
UNION ALL SELECT 'pg_hba.conf:' || line_number || ': ' || error FROM pg_hba_file_rules WHERE error IS NOT NULL
UNION ALL SELECT 'changed by ALTER SYSTEM: ' || name FROM ({overridden}) AS overridden (name)
UNION ALL SELECT 'no data checksums' WHERE current_setting('data_checksums') <> 'on'
UNION ALL SELECT 'changed after it was loaded: ' || file
  FROM unnest(ARRAY['postgresql.conf', 'pg_hba.conf', 'conf.d/vise.conf']) AS file
  WHERE (pg_stat_file('{config}/' || file)).modification > pg_conf_load_time()
"""
PRIMARY_PROBLEMS = "UNION ALL SELECT 'not a primary, but a standby' WHERE pg_is_in_recovery()"
STANDBY_PROBLEMS = """
UNION ALL SELECT 'not a standby' WHERE NOT pg_is_in_recovery()
UNION ALL SELECT 'replay is paused; see the log: a setting may be lower than on the primary'
  WHERE pg_is_wal_replay_paused()
UNION ALL SELECT 'does not stream from the primary'
  WHERE NOT EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming')
"""
LOADED = "SELECT pg_conf_load_time()"
PENDING = "SELECT name FROM pg_settings WHERE pending_restart"
TIMELINE = "SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8) WHERE NOT pg_is_in_recovery()"


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the role has written for the program of one version."""

    config: str  # the directory of the configuration
    data: str  # the data directory
    binaries: str  # the directory of the version's programs
    unit: str
    fence: str  # the file that prevents the start; it contains the reason
    port: int
    standby: bool
    peers: tuple[str, ...]  # addresses of all servers of the cluster, this one included; empty without standbys
    user: str  # the role that may replicate
    passfile: str
    ca_file: str

    @classmethod
    def load(cls, path: str) -> Settings:
        """Read the settings; raises ClusterError when the role has not written them."""
        data = files.read_json(path)
        if data is None:
            raise ClusterError(f"{path} does not exist: run the role postgresql on this host")
        return cls(**{**data, "peers": tuple(data["peers"])})


# ---- queries ----


def run_psql(settings: Settings, *arguments: str) -> programs.Result:
    """Run psql as postgres; not by runuser, whose PAM session would log two lines per call to the journal."""
    environment = {**ENVIRONMENT, **session.build_environment(session.read_version(settings.data))}
    return programs.run([f"{settings.binaries}/psql", "-XAtqw", *arguments], user=USER, environment=environment)


def query(settings: Settings, sql: str) -> str:
    """Run a query on the running server, whose port may differ from that in the files; raises ClusterError."""
    port = instance.get_port(settings.data, settings.port)
    address = ["-h", "/run/postgresql", "-p", str(port), "-d", "postgres"]
    result = run_psql(settings, "-v", "ON_ERROR_STOP=1", *address, "-c", sql)
    if result.failed:
        raise ClusterError(f"the server on port {port} does not answer: {result.text}")
    return result.out.strip()


def find_overridden(settings: Settings) -> str:
    """Return the query for the settings of the role that ALTER SYSTEM overrides."""
    return OVERRIDDEN.format(data=settings.data, config=settings.config)


# ---- configuration ----


def check(settings: Settings) -> None:
    """Start a server with the files on an empty temporary cluster; raises ClusterError when it rejects them."""
    if not os.path.exists(f"{settings.config}/postgresql.conf"):
        return
    with tempfile.TemporaryDirectory(prefix="vise-check.", dir="/tmp") as scratch:
        shutil.chown(scratch, USER, USER)
        data, log = f"{scratch}/data", f"{scratch}/log"
        initdb = [f"{settings.binaries}/initdb", "-D", data, "-A", "peer", "--no-sync", "--no-instructions"]
        programs.call(initdb, user=USER)
        # All settings as in the files, except those with an effect outside of this check.
        private = {
            "config_file": f"{settings.config}/postgresql.conf",
            "data_directory": data,
            "external_pid_file": "",
            "listen_addresses": "",
            "unix_socket_directories": scratch,
            **instance.SMALL_MEMORY,
            "archive_mode": "off",
            "logging_collector": "off",
            "log_destination": "stderr",
        }
        _check_memory(settings, data)
        server = instance.start(instance.build_command(f"{settings.binaries}/postgres", data, private), log, user=USER)
        try:
            instance.wait_until_ready(server, lambda: instance.is_ready(data), START_SECONDS)
        except instance.InstanceError as error:
            text = files.read_text(log)
            raise ClusterError("\n".join(instance.find_messages(text, REASON)) or text.strip() or str(error)) from error
        finally:
            instance.stop(server, signal.SIGQUIT)


def _check_memory(settings: Settings, data: str) -> None:
    """Raise ClusterError when the host has less memory than the files request; the check itself takes only a little."""
    compute = [f"{settings.binaries}/postgres", "-D", data, "-c", f"config_file={settings.config}/postgresql.conf"]
    names = ("shared_memory_size", "huge_pages", "shared_memory_size_in_huge_pages")
    results = [programs.run([*compute, "-c", f"data_directory={data}", "-C", name], user=USER) for name in names]
    if any(result.failed or not result.out.strip() for result in results):
        # The server that starts next rejects the files, and its log has the reason.
        return
    size, mode, pages = (result.out.split()[-1] for result in results)
    problem = describe_missing_memory(int(size), int(pages) if mode == "on" else 0, files.read_text("/proc/meminfo"))
    if problem:
        raise ClusterError(problem)


def describe_missing_memory(megabytes: int, huge_pages: int, meminfo: str) -> str:
    """Describe the memory that the server needs and the host does not have; empty when it has enough.

    `huge_pages` is the number of huge pages that the server requires, 0 when it can do without them.
    """
    host = {label: int(value.split()[0]) for label, value in instance.parse_controldata(meminfo).items()}
    if megabytes * 1024 > host["MemTotal"]:
        return (
            f"the server needs {megabytes} MB of shared memory, and this host has {host['MemTotal'] // 1024} MB: "
            "reduce shared_buffers"
        )
    if huge_pages > host.get("HugePages_Total", 0):
        return (
            f"huge_pages = on needs {huge_pages} huge pages, and this host has {host.get('HugePages_Total', 0)}: set "
            f"vm.nr_hugepages to {huge_pages} at least, or huge_pages to try"
        )
    return ""


def activate(settings: Settings) -> None:
    """Load the files by a reload, and restart the server only for settings that need it; start a stopped server."""
    if programs.run(["systemctl", "-q", "is-active", settings.unit]).failed:
        programs.run(["systemctl", "reset-failed", settings.unit])
        programs.call(["systemctl", "start", settings.unit])
        return
    for name in query(settings, find_overridden(settings)).splitlines():
        query(settings, f"ALTER SYSTEM RESET {name}")
    before = query(settings, LOADED)
    query(settings, "SELECT pg_reload_conf()")
    deadline = time.monotonic() + LOAD_SECONDS
    while query(settings, LOADED) == before and time.monotonic() < deadline:
        time.sleep(0.1)
    if query(settings, PENDING):
        programs.call(["systemctl", "restart", settings.unit])


def verify_live_state(settings: Settings) -> None:
    """Print the generation of the live configuration; raises ClusterError for each difference from the files."""
    problems = PROBLEMS.format(overridden=find_overridden(settings), config=settings.config)
    found = query(settings, problems + (STANDBY_PROBLEMS if settings.standby else PRIMARY_PROBLEMS))
    if found:
        raise ClusterError(found)
    print(query(settings, "SHOW vise.generation"))


# ---- a second primary ----


def read_control_data(settings: Settings) -> dict[str, str]:
    """Return the values of the cluster's control file."""
    return instance.parse_controldata(programs.call([f"{settings.binaries}/pg_controldata", settings.data]))


def query_timeline(settings: Settings, peer: str, system: str) -> int:
    """Return the timeline of a peer that is primary of this cluster; otherwise 0.

    A peer that does not answer does not count as a primary: otherwise the last remaining server could not start.
    """
    address = (
        f"replication=true host={peer} port={settings.port} user={settings.user} passfile={settings.passfile}"
        f" sslmode=verify-full sslrootcert={settings.ca_file} connect_timeout=2"
    )
    answer = run_psql(settings, "-c", "IDENTIFY_SYSTEM", "-c", "SHOW in_hot_standby", "-d", address).out.split()
    fields = answer[0].split("|") if answer else []
    return int(fields[1]) if fields[:1] == [system] and answer[-1] == "off" else 0


def find_other_primary(settings: Settings, timeline: int, lowest: int) -> str:
    """Describe another server that is primary of this cluster on a timeline from `lowest` on; empty if there is none.

    A later timeline than this host's means a promotion: then this host is fenced, because it must not serve again, even
    while the other server is down.
    """
    system = read_control_data(settings)["Database system identifier"] if settings.peers else ""
    for peer in settings.peers:
        other = query_timeline(settings, peer, system)
        if other < lowest:
            continue
        if other > timeline and not os.path.exists(settings.fence):
            files.replace_file(settings.fence, f"{peer} was promoted, to timeline {other}\n", mode=0o644)
        return (
            f"{peer} is primary of this cluster on timeline {other}; this host is on timeline {timeline} and must not"
            " serve"
        )
    return ""


def guard(settings: Settings) -> None:
    """Raise ClusterError when this primary must not start, because another server is the primary."""
    if os.path.exists(f"{settings.data}/standby.signal") or not settings.peers:
        return
    timeline = int(read_control_data(settings)["Latest checkpoint's TimeLineID"])
    refusal = find_other_primary(settings, timeline, timeline)
    if refusal:
        time.sleep(REFUSAL_SECONDS)
        raise ClusterError(refusal)


def yield_to_promoted(settings: Settings) -> None:
    """Stop this primary if another server was promoted.

    The peers include this server itself. After its promotion the files still have the previous timeline, so this
    compares with the live timeline: otherwise its own answer would stop it.
    """
    try:
        answer = query(settings, TIMELINE)
    except ClusterError:
        return
    if not answer:
        return
    timeline = int(answer, 16)
    refusal = find_other_primary(settings, timeline, timeline + 1)
    if refusal:
        print(refusal, file=sys.stderr)
        programs.call(["systemctl", "stop", "--no-block", settings.unit])


COMMANDS: dict[str, t.Callable[[Settings], None]] = {
    "check": check,
    "activate": activate,
    "guard": guard,
    "yield": yield_to_promoted,
    "live": verify_live_state,
}


def find_name() -> str:
    """Return the name of the running program; each version has its own, because two may be on a host."""
    return os.path.basename(os.path.dirname(os.path.realpath(sys.argv[0])))


def main(arguments: t.Sequence[str]) -> int:
    """Run one of the commands."""
    name = find_name()
    command = COMMANDS.get(" ".join(arguments))
    if command is None:
        print(USAGE.format(f"vise-{name}"), file=sys.stderr)
        return 2
    try:
        command(Settings.load(SETTINGS.format(name)))
    except (ClusterError, programs.ProgramError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0
