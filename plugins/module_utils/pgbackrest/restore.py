# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Restore a cluster as a transaction: to a staging directory, recover it there to the target, then switch directories.

The old cluster is not changed until the new one has reached the target and answers. The progress is noted on disk, so
that the next run rolls back or completes a killed run.
"""

from __future__ import annotations

import calendar
import contextlib
import dataclasses
import os
import re
import shutil
import signal
import time
import typing as t

from ..host import controller, files, locks, programs, units
from ..host.journal import Journal
from ..postgresql import instance, tablespaces
from ..postgresql.cluster import History
from . import placement, repository, targets, timelines, tool
from .targets import RestoreError

SOCKET = "/run/vise-restore"
# A cluster with one of these files is in recovery and has no writes of its own.
SIGNALS = ("recovery.signal", "standby.signal")
# A restore empties its spool directory; that of the live cluster contains the state of its archiving.
SPOOL = f"--spool-path={SOCKET}/spool"
ASYNC = "--archive-async"
NOTES = "/var/lib/vise/restore"
STALL_SECONDS = 20.0  # without progress, after which a WAL segment counts as damaged
# An unreachable repository takes minutes, and before a set is consistent, recovery does not report what it waits for.
NO_PROGRESS_SECONDS = 600.0
# Before it reads WAL, a server synchronizes each file, which it does not report.
NO_WAL_SECONDS = 6 * 3600.0
UNIT_SECONDS = 3600.0  # for a start or stop of the unit
QUERY_SECONDS = 60.0
CHECKPOINT_SECONDS = 3600.0
TITLE = re.compile(r"startup (?:recovering|waiting for) ([0-9A-F]{24})")
FOUND = re.compile(r"(?:invalid|missing|error|other)[^:]*: [1-9]")
DAMAGE = re.compile(r"(?:WARN|ERROR|FATAL|PANIC|DETAIL).*", re.IGNORECASE)
# The texts of ENOSPC and EDQUOT, and pgBackRest's error when only a part of a block fits.
FULL = re.compile(r"No space left on device|Disk quota exceeded|unable to write '/")
RESERVE = 128 << 20  # bytes that recovery leaves to the other programs of the host, such as the running cluster


class LiveClusterError(RestoreError):
    """Refusal to replace a running cluster without consent."""


class UnusableSetError(Exception):
    """A set or its WAL is damaged or does not lead to the target."""


class FullDiskError(RestoreError):
    """A file system has no space for the restored cluster, whichever set is restored."""


@dataclasses.dataclass(frozen=True)
class Request:
    """The requested restore."""

    target: targets.Target
    stanza: str = "main"
    config: str = "/etc/pgbackrest/pgbackrest.conf"
    cluster: str = "17/main"
    port: int = 5432
    socket: str = "/var/run/postgresql"
    label: str = ""
    repository: int = 0
    timeline: int | None = timelines.LATEST
    delta: bool = False
    replace_live: bool = False
    older: bool = False  # with the target immediate: restore an older set when the newest one is damaged
    archive: bool = True

    @property
    def data(self) -> str:
        """The data directory."""
        return f"/var/lib/postgresql/{self.cluster}"

    @property
    def version(self) -> str:
        """The cluster's major version."""
        return self.cluster.partition("/")[0]

    @property
    def staging(self) -> str:
        """The directory in which the new cluster is restored; with delta, the data directory itself."""
        return self.data if self.delta else f"{self.data}.restoring"

    @property
    def unit(self) -> str:
        """The cluster's unit."""
        return f"postgresql@{self.cluster.replace('/', '-')}.service"

    @property
    def note(self) -> Journal:
        """The note about the progress of a run."""
        return Journal(os.path.join(NOTES, self.cluster.replace("/", "-") + ".json"))

    def binary(self, name: str) -> str:
        """Return the path of one of PostgreSQL's programs."""
        return f"/usr/lib/postgresql/{self.version}/bin/{name}"

    def psql(self, query: str, socket: str = "", seconds: float = QUERY_SECONDS) -> programs.Result:
        """Run a query on the cluster."""
        return tool.psql(query, socket or self.socket, self.port, self.version, seconds)

    def pgbackrest(self, *arguments: str) -> programs.Result:
        """Run pgBackRest."""
        return tool.pgbackrest(self.config, self.stanza, *arguments)


@dataclasses.dataclass(frozen=True)
class Plan:
    """Plan of a restore: the sets to try, and the steps for the operator."""

    candidates: tuple[repository.Backup, ...]
    repositories: tuple[repository.Repository, ...]
    paths: targets.TimelinePaths
    live: str  # role of the running cluster: primary | standby; empty when none runs
    steps: tuple[str, ...]
    # The tablespaces of each set, or why the set cannot be read.
    locations: t.Mapping[repository.Backup, placement.Locations | str] = dataclasses.field(default_factory=dict)
    # Sets that lead to the target, also those that are not tried.
    suitable: tuple[repository.Backup, ...] = ()

    def path_of(self, backup: repository.Backup) -> timelines.TimelinePath:
        """Return the timelines that recovery from a set follows."""
        return self.paths[backup.system]


def plan_restore(request: Request) -> Plan:
    """Plan a restore without changes; raise LiveClusterError or RestoreError when it is refused."""
    live = get_running_role(request.data)
    if live and not request.replace_live:
        raise LiveClusterError(f"{request.data} is a running {live} and was not changed.")
    result = request.pgbackrest("--output=json", "info")
    if result.failed:
        raise RestoreError(f"pgBackRest cannot read its repositories: {repository.extract_error(result.text)}")
    repositories = repository.parse_info(result.out, request.stanza)
    paths = timelines.find_paths(request.pgbackrest, request.stanza, repositories, request.timeline)
    choice = (request.target, paths, request.version, request.label, request.repository)
    candidates = targets.list_candidates(repositories, *choice)
    if not request.older and not request.label:
        candidates, _older = targets.split_older(candidates, request.target)
    if not candidates:
        reason = targets.explain_no_candidate(repositories, *choice)
        raise RestoreError(f"no set can be restored: {reason}")
    locations = {backup: _read_locations(request, backup) for backup in candidates}
    if request.delta:
        _check_delta(request)
    else:
        _check_copy(request, max(backup.size for backup in candidates), locations)
    known = next((places for places in locations.values() if not isinstance(places, str)), {})
    steps = tuple(_steps(request, candidates, paths, live, known))
    suitable = [
        backup
        for repo in repositories
        for backup in targets.list_suitable(repo, request.target, paths, request.version)
    ]
    return Plan(tuple(candidates), tuple(repositories), paths, live, steps, locations, tuple(suitable))


def _read_locations(request: Request, backup: repository.Backup) -> placement.Locations | str:
    try:
        return placement.read_locations(request.pgbackrest, backup)
    except RestoreError as error:
        # Another set may be readable.
        return str(error)


def find_conflict(request: Request, locations: placement.Locations | str) -> str:
    """Describe why a set cannot be read, or not be restored next to the existing cluster; empty when it can."""
    if isinstance(locations, str):
        return locations
    return "" if request.delta else placement.describe_conflict(tablespaces.read_locations(request.data), locations)


def _check_copy(
    request: Request, size: int, locations: t.Mapping[repository.Backup, placement.Locations | str]
) -> None:
    conflicts = [find_conflict(request, places) for places in locations.values()]
    if all(conflicts):
        raise RestoreError(conflicts[0])
    if os.path.ismount(request.data):
        raise RestoreError(f"{request.data} is a mount point, which cannot be renamed: use mode delta")
    parent = os.path.dirname(request.data)
    if not os.path.isdir(parent):
        raise RestoreError(f"{parent} does not exist: install PostgreSQL first (role postgresql)")
    # The sizes of tablespaces in a set are unknown; those on this host are close.
    known = [entry for entry in locations.values() if not isinstance(entry, str)]
    places = {location for entry in known for location in entry.values()}
    sizes = {place: sum(map(_size, tablespaces.list_content(place, request.version))) for place in places}
    elsewhere = tablespaces.group_by_file_system(parent, sizes)
    for place, needed in {parent: max(size - sum(elsewhere.values()), 0), **elsewhere}.items():
        status = os.statvfs(place)
        free = status.f_bavail * status.f_frsize + (_size(request.staging) if place == parent else 0)
        problem = targets.describe_missing_space(needed, free, place)
        if problem:
            raise RestoreError(problem)


def _check_delta(request: Request) -> None:
    # pgBackRest writes the manifest first, so that a restore that was interrupted can be repeated.
    names = ("PG_VERSION", "backup.manifest")
    if not any(os.path.isfile(os.path.join(request.data, name)) for name in names):
        raise RestoreError(f"{request.data} has no cluster that mode delta could overwrite: use mode copy")


def _size(path: str) -> int:
    return sum(
        os.lstat(os.path.join(place, name)).st_size for place, _folders, names in os.walk(path) for name in names
    )


def _steps(
    request: Request,
    candidates: t.Sequence[repository.Backup],
    paths: targets.TimelinePaths,
    live: str,
    locations: placement.Locations,
) -> t.Iterator[str]:
    first = candidates[0]
    yield f"restore set {first.label} of repository {first.repository} to {request.staging}"
    for location in locations.values():
        yield f"restore the tablespace in {location}{'' if request.delta else ', next to its files until the switch'}"
    for backup in candidates[1:]:
        yield f"if it is damaged, restore set {backup.label} of repository {backup.repository}"
    for backup in candidates:
        path = paths[backup.system]
        if not path.is_known_for(backup):
            yield f"try whether set {backup.label} leads to timeline {path.timeline}: {path.error}"
    yield f"recover to {request.target.kind} {request.target.value}".strip()
    if live:
        yield f"stop the running {live}"
    if not request.delta:
        yield f"rename {request.data} to keep it, and move the restored cluster to its place"
    yield "promote"


# ---- processes ----


def get_running_role(data: str) -> str:
    """Return the role of a running cluster: primary, standby, or an empty string when it does not run."""
    if not instance.get_pid(data):
        return ""
    return "standby" if os.path.exists(os.path.join(data, "standby.signal")) else "primary"


def _systemctl(*arguments: str) -> None:
    began = time.time()
    result = programs.run(["systemctl", *arguments], timeout=UNIT_SECONDS)
    if result.failed:
        reason = explain_unit(arguments[-1], began)
        raise UnusableSetError(f"systemctl {' '.join(arguments)}: {result.text}{f' ({reason})' if reason else ''}")


def explain_unit(unit: str, since: float) -> str:
    """Return the last errors of a unit in the journal since a time; empty when it logs to another place."""
    log = units.read_journal(f"--unit={unit}", f"--since=@{since:.0f}")
    return " | ".join(instance.find_messages(log, DAMAGE)[-3:])


def _stop_leftover_server(data: str) -> None:
    """Stop a staging server that a killed run left on a directory; keep a server that was started in another way."""
    pid = instance.get_pid(data)
    if pid and SOCKET in _command_line(pid):
        os.kill(pid, signal.SIGQUIT)
        _wait_until(lambda: not instance.get_pid(data), 60, f"the server on {data} does not stop")


def _command_line(pid: int) -> str:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as handle:
        return handle.read()
    return ""


def get_replayed_segment(pid: int) -> str:
    """Return the WAL segment that a server's recovery processes, from its process title; empty when there is none."""
    children = ""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as handle:
        children = handle.read()
    found = (TITLE.search(_command_line(int(child))) for child in children.split())
    return next((match[1] for match in found if match), "")


def _wait_until(condition: t.Callable[[], bool], seconds: float, complaint: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise UnusableSetError(complaint)
        time.sleep(0.2)


# pg_stat_archiver's last file does not help: after a backup it is the history file, named after an older segment.
ARCHIVED = (
    "select not exists (select from pg_ls_archive_statusdir() where name = '{}.ready'), current_setting('archive_mode')"
)


def archive_current_segment(request: Request, patience: float = 60) -> bool:
    """Archive the current WAL segment of a running primary, because it may contain the target; return the success."""
    # pg_switch_wal returns the start of the next segment
    switched = request.psql("select pg_walfile_name(pg_switch_wal() - 1)")
    deadline = time.monotonic() + patience
    while not switched.failed and time.monotonic() < deadline:
        done, _tab, mode = request.psql(ARCHIVED.format(switched.out.strip())).out.strip().partition("\t")
        if done == "t" or mode == "off":
            return mode != "off"
        time.sleep(0.2)
    return False


# ---- the staging directory ----


def restore_files(request: Request, backup: repository.Backup, timeline: str, locations: placement.Locations) -> None:
    """Restore the files of a set; pgBackRest verifies their checksums. Raise UnusableSetError when this fails."""
    mapping: list[str] = []
    if request.delta:
        _verify_backup(request, backup)
        placement.prepare_original(request.data, request.version, locations)
    else:
        remove_copy(request, request.note.read())
        request.note.write({**request.note.read(), "folders": placement.list_folders(locations)})
        mapping = placement.prepare(locations)
        os.makedirs(request.staging, 0o700)
        shutil.chown(request.staging, tool.USER, tool.USER)
    arguments = [
        f"--repo={backup.repository}",
        f"--set={backup.label}",
        f"--pg1-path={request.staging}",
        *request.target.arguments(timeline),
        # The final restore_command of the cluster; the staging server gets another one.
        f"--recovery-option=restore_command={build_restore_command(request, backup.repository)}",
        *(["--delta"] if request.delta else []),
        *mapping,
        *([] if request.archive else ["--archive-mode=off"]),
        SPOOL,
    ]
    result = request.pgbackrest(*arguments, "restore")
    if result.failed:
        raise UnusableSetError(repository.extract_error(result.text))


def build_restore_command(request: Request, first: int, *more: str) -> str:
    """Return the command that fetches WAL from one repository first, then from all repositories.

    pgBackRest does not verify the checksum of a fetched segment: if a damaged segment can be decompressed, pgBackRest
    does not try another repository. Therefore a set of repository 2 gets its WAL from repository 2 first.
    """

    def fetch(*options: str) -> str:
        known = ("pgbackrest", f"--config={request.config}", f"--stanza={request.stanza}")
        return " ".join([*known, *options, 'archive-get %f "%p"'])

    if first <= 1:
        # pgBackRest tries repository 1 first by default.
        return fetch(*more)
    # Not asynchronous, because prefetched segments and the list of missing ones belong to one repository.
    at_once = [word for word in more if word not in (ASYNC, SPOOL)]
    return f"{fetch(*more, f'--repo={first}')} || {fetch(*at_once, '--no-archive-async')}"


def _verify_backup(request: Request, backup: repository.Backup) -> None:
    # The exit status of verify does not report damage; only its text does.
    result = request.pgbackrest(f"--repo={backup.repository}", f"--set={backup.label}", "--output=text", "verify")
    damage = [line.strip() for line in result.out.splitlines() if FOUND.search(line)]
    if result.failed or damage or "status: error" in result.out:
        raise UnusableSetError(
            f"pgbackrest verify found damage: {'; '.join(damage) or repository.extract_error(result.text)}"
        )


def create_work_directory() -> None:
    """Create the private directory for the socket, spool and locks of the staging server."""
    for path in (SOCKET, f"{SOCKET}/spool", f"{SOCKET}/lock"):
        os.makedirs(path, 0o700, exist_ok=True)
        shutil.chown(path, tool.USER, tool.USER)


def build_server_settings(request: Request, first: int) -> dict[str, str]:
    """Return the settings that isolate the staging server and limit its memory; the command line overrides files."""
    # Separate spool and lock directories, so that archiving of the live cluster does not wait.
    private = (ASYNC, SPOOL, f"--lock-path={SOCKET}/lock")
    fetch = build_restore_command(request, first, f"--pg1-path={request.staging}", *private)
    return {
        "config_file": f"/etc/postgresql/{request.cluster}/postgresql.conf",
        "data_directory": request.staging,
        "hba_file": f"{SOCKET}/pg_hba.conf",
        "external_pid_file": f"{SOCKET}/pid",
        "listen_addresses": "",
        "unix_socket_directories": SOCKET,
        "port": str(request.port),
        "ssl": "off",
        "archive_mode": "off",
        "primary_conninfo": "",
        "primary_slot_name": "",
        "restore_command": fetch,
        "wal_retrieve_retry_interval": "500ms",
        "hot_standby": "on",
        **instance.SMALL_MEMORY,
        "logging_collector": "off",
        "log_destination": "stderr",
        "lc_messages": "C",
    }


def keep_reserve(request: Request) -> None:
    """Raise FullDiskError when recovery has used the disk up to the reserve: data grow by the WAL that is replayed."""
    status = os.statvfs(request.staging)
    if status.f_bavail * status.f_frsize < RESERVE:
        raise FullDiskError(f"recovery stopped, because it left less than {RESERVE >> 20} MB free in {request.staging}")


class Progress:
    """The progress of a recovery before the set is consistent: PostgreSQL would wait forever."""

    def __init__(self) -> None:
        self.segment, self.since = "", time.monotonic()

    def expect(self, pid: int) -> None:
        """Raise UnusableSetError when recovery has been at the same WAL segment for too long."""
        segment = get_replayed_segment(pid)
        if segment != self.segment:
            self.segment, self.since = segment, time.monotonic()
        elif time.monotonic() - self.since > (NO_PROGRESS_SECONDS if segment else NO_WAL_SECONDS):
            place = f"at WAL {segment}" if segment else "before the first WAL"
            raise UnusableSetError(f"recovery makes no progress {place}, before the set is consistent")


class StagingServer:
    """PostgreSQL on the staging directory: only root and postgres can connect; no port, no archiving, little memory.

    It ends with this process.
    """

    def __init__(self, request: Request, first: int, minima: t.Mapping[str, int]) -> None:
        self.request, self.progress = request, Progress()
        files.replace_file(os.path.join(SOCKET, "pg_hba.conf"), "local all postgres peer\n", mode=0o644)
        settings = {**build_server_settings(request, first), **{name: str(value) for name, value in minima.items()}}
        command = instance.build_command(request.binary("postgres"), request.staging, settings)
        self.log_path = os.path.join(SOCKET, "log")
        self.process = instance.start([*programs.END_WITH_PARENT, *command], self.log_path, user=tool.USER)

    def query(self, query: str) -> list[str]:
        """Return the columns of a query's row, [] without an answer.

        Raise UnusableSetError when it has ended, and FullDiskError before it takes the last space of a running cluster.
        """
        if not self.request.delta:
            keep_reserve(self.request)
        if self.process.poll() is not None:
            raise UnusableSetError(self.explain_failure())
        result = self.request.psql(query, SOCKET)
        if not result.failed:
            return result.out.rstrip("\n").split("\t")
        self.progress.expect(self.process.pid)
        return []

    def explain_failure(self) -> str:
        """Return the last errors in the log of the server and its restore_command."""
        lines = instance.find_messages(files.read_text(self.log_path), DAMAGE)
        relevant = [line for line in lines if "recovery ended before" in line or "ERROR" in line or "PANIC" in line]
        full = [line for line in lines if FULL.search(line)]
        text = " | ".join((full or relevant or lines)[-3:]) or "the server's log contains no error"
        return programs.hide_secrets(text, tool.read_secrets(self.request.config))


POSITION = (
    "select pg_last_wal_replay_lsn(), pg_get_wal_replay_pause_state(),"
    " coalesce((select wait_event from pg_stat_activity where backend_type = 'startup'), ''),"
    " coalesce(extract(epoch from pg_last_xact_replay_timestamp())::text, '')"
)


# Wait events of recovery at the end of the available WAL, and the seconds without progress after which it has ended:
# the next segment may still come, or could not be fetched.
FETCHING = {"RestoreCommand": 2.0, "RecoveryRetrieveRetryInterval": 0.5}


@dataclasses.dataclass(frozen=True)
class RecoveryEnd:
    """Where a recovery ended."""

    lsn: str
    last_commit: float | None


def wait_for_target(request: Request, query: t.Callable[[str], list[str]], newest_wal: str) -> RecoveryEnd:
    """Wait until recovery has reached the target; return its end.

    Raise UnusableSetError when a segment is damaged, a setting is too low for the WAL, or there is no progress.
    """
    since, last = time.monotonic(), ""
    while True:
        row = query(POSITION)
        if row and row[0]:
            position, paused, waits, commit = row
            if position != last:
                since, last = time.monotonic(), position
            if _is_at_target(request, query, row, newest_wal, time.monotonic() - since):
                return RecoveryEnd(position, float(commit) if commit else None)
            if time.monotonic() - since > NO_PROGRESS_SECONDS:
                raise UnusableSetError(
                    f"recovery makes no progress at {position} ({paused}; it waits for {waits or 'nothing'})"
                )
        time.sleep(0.2)


def _is_at_target(
    request: Request, query: t.Callable[[str], list[str]], row: t.Sequence[str], newest_wal: str, seconds: float
) -> bool:
    """Return whether recovery has ended; raise UnusableSetError when it cannot. `seconds`: since it last moved."""
    position, paused, waits, _commit = row
    if paused == "paused":
        # Recovery also pauses at WAL of a server with higher settings.
        low = describe_low_settings(request, query)
        if low:
            raise UnusableSetError(f"recovery paused at {position}, before the target: {low}")
        return request.target.kind != "latest"
    if request.target.kind != "latest" or waits not in FETCHING:
        return False
    whole = not newest_wal or repository.parse_lsn(position) > repository.segment_start(newest_wal)
    # A segment may be in transit, therefore it counts as damaged only after STALL_SECONDS.
    if seconds <= (FETCHING[waits] if whole else STALL_SECONDS):
        return False
    if not whole:
        raise UnusableSetError(
            f"WAL ends at {position}, but the archive continues to {newest_wal}: a segment is damaged"
        )
    return True


SETTINGS = """
select string_agg(name || '=' || setting, ' ') from pg_settings where name in ('max_connections',
  'max_worker_processes', 'max_wal_senders', 'max_prepared_transactions', 'max_locks_per_transaction')
"""


def describe_low_settings(request: Request, query: t.Callable[[str], list[str]]) -> str:
    """Describe the settings of a server that stopped its recovery; empty when all are high enough."""
    row = query(SETTINGS)
    pairs = (word.split("=") for word in row[0].split()) if row else ()
    current = {name: int(value) for name, value in pairs}
    # Before and after the switch, the server's data are in one of the two directories.
    data = request.staging if os.path.isdir(request.staging) else request.data
    return instance.describe_low_settings(read_recovery_minima(request, data), current)


def read_recovery_minima(request: Request, data: str) -> dict[str, int]:
    """Return the lowest settings with which the WAL that was replayed so far can be replayed."""
    return instance.parse_recovery_minima(tool.run_program([request.binary("pg_controldata"), data]).out)


def read_configured(request: Request) -> dict[str, int]:
    """Return these settings as the unit's server would have them on the restored files."""
    place = [f"config_file=/etc/postgresql/{request.cluster}/postgresql.conf", f"data_directory={request.staging}"]
    argv = [request.binary("postgres"), "-D", request.staging, *(word for one in place for word in ("-c", one))]
    found = {name: tool.run_program([*argv, "-C", name]).out.strip() for name in instance.RECOVERY_MINIMA}
    return {name: int(value) for name, value in found.items() if value.isdigit()}


def raise_settings(configured: t.Mapping[str, int], minima: t.Mapping[str, int]) -> dict[str, int]:
    """Return the settings that must be higher than configured until the cluster is promoted."""
    return {name: value for name, value in minima.items() if value > configured.get(name, 0)}


def find_newest_wal(request: Request, plan: Plan, backup: repository.Backup) -> str:
    """Return the last segment that recovery to the latest state must replay; empty for other targets."""
    if request.target.kind != "latest":
        return ""
    archives = timelines.select_archives(plan.repositories, backup.system)
    return timelines.find_newest_wal(request.pgbackrest, request.stanza, archives, plan.path_of(backup).history(backup))


def restore_and_recover(request: Request, plan: Plan, backup: repository.Backup, newest: str) -> dict[str, float]:
    """Restore a set to the staging directory and recover it to the target; return seconds, raise UnusableSetError."""
    if request.target.kind == "latest" and not newest:
        raise UnusableSetError("the end of the archive cannot be read")
    began = time.monotonic()
    create_work_directory()
    locations = plan.locations[backup]
    conflict = find_conflict(request, locations)
    if isinstance(locations, str) or conflict:
        raise UnusableSetError(conflict)
    restore_files(request, backup, plan.path_of(backup).argument_for(backup), locations)
    built = time.monotonic()
    try:
        recover(request, backup, newest)
    finally:
        shutil.rmtree(SOCKET, ignore_errors=True)
    return {"restore": built - began, "recover": time.monotonic() - built}


def recover(request: Request, backup: repository.Backup, newest: str) -> None:
    """Recover the staging directory to the target, with settings that are high enough for its WAL."""
    configured = read_configured(request)
    while True:
        raised = raise_settings(configured, read_recovery_minima(request, request.staging))
        try:
            _run_staging_server(request, backup, newest, raised)
        except UnusableSetError:
            # Each further round has a higher setting than the one before.
            if raise_settings({**configured, **raised}, read_recovery_minima(request, request.staging)):
                continue
            raise
        break
    # The unit's server replays the same WAL until it is promoted.
    request.note.write({**request.note.read(), "raised": keep_settings(request, raised)})


def keep_settings(request: Request, raised: t.Mapping[str, int]) -> dict[str, str]:
    """Write raised settings to the restored files; return the values that ALTER SYSTEM had set, empty for none."""
    path = os.path.join(request.staging, "postgresql.auto.conf")
    before = files.read_text(path)
    found = {name: re.findall(rf"^{name}\s*=\s*'?(\d+)", before, re.MULTILINE) for name in raised}
    if raised:
        # postgres owns the directory and could place a link there.
        with open(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW), "a", encoding="utf-8") as handle:
            handle.writelines(f"{name} = '{value}'\n" for name, value in raised.items())
    return {name: values[-1] if values else "" for name, values in found.items()}


def _run_staging_server(request: Request, backup: repository.Backup, newest: str, raised: t.Mapping[str, int]) -> None:
    server = StagingServer(request, backup.repository, raised)
    try:
        wait_for_target(request, server.query, newest)
        if not server.query("select count(*) from pg_database where pg_relation_filepath('pg_class') is not null"):
            raise UnusableSetError(server.explain_failure())
    except UnusableSetError as error:
        explanation = server.explain_failure()
        raise UnusableSetError(f"{error}{'' if explanation in str(error) else f' ({explanation})'}") from error
    finally:
        instance.end(server.process)


# ---- the transaction ----


@contextlib.contextmanager
def lock() -> t.Iterator[None]:
    """Hold the lock that lets one restore run at a time."""
    try:
        with locks.lock(os.path.join(NOTES, "lock"), wait=False, directory_mode=0o700):
            yield
    except locks.LockedError as error:
        raise RestoreError("another restore is running on this host: wait until it has ended") from error


def is_copy_in_place(request: Request, note: t.Mapping[str, t.Any]) -> bool:
    """Return whether the data directory is still the copy of a run; a rename keeps the inode of the directory."""
    return os.path.isdir(request.data) and os.stat(request.data).st_ino == note.get("copy")


def roll_back(request: Request, note: t.Mapping[str, t.Any]) -> None:
    """Move the old cluster back to its place and remove the unverified copy.

    A cluster that was created there after the killed run is kept. This function can be killed and repeated.
    """
    restoring = f"{request.data}.restoring"
    _stop_leftover_server(restoring)
    if note.get("delta"):
        _stop_leftover_server(request.data)
    elif note.get("stage") == "switching":
        if is_copy_in_place(request, note):
            if not any(os.path.exists(os.path.join(request.data, name)) for name in SIGNALS):
                raise RestoreError(describe_promotion(request, note))
            _systemctl("stop", request.unit)
            tablespaces.set_aside(request.data, (), request.version, placement.FOLDER)
            shutil.rmtree(restoring, ignore_errors=True)
            os.rename(request.data, restoring)
        if os.path.isdir(note["old"]) and not os.path.exists(request.data):
            os.rename(note["old"], request.data)
        tablespaces.put_back(request.data, request.version, note.get("aside", ""))
        if note["live"]:
            _systemctl("start", request.unit)
    remove_copy(request, note)
    request.note.remove()


def remove_copy(request: Request, note: t.Mapping[str, t.Any]) -> None:
    """Remove the staging directory and the restored tablespaces."""
    for folder in note.get("folders", ()):
        tablespaces.remove(folder)
    shutil.rmtree(f"{request.data}.restoring", ignore_errors=True)


def describe_promotion(request: Request, note: t.Mapping[str, t.Any]) -> str:
    """Describe why a copy that was promoted after a killed run is not rolled back."""
    old = f"; the cluster before it is in {note['old']}" if note["old"] else ""
    return (
        f"a killed run restored {request.data}, which was promoted since then, so it is not rolled back{old}. "
        f"To keep the promoted cluster, remove {request.note.path}, then run the restore that you need now"
    )


def describe_target(request: Request) -> str:
    """Return the target as a text, for notes and messages."""
    return f"{request.target.kind} {request.target.value}".strip()


def list_first_steps(request: Request) -> tuple[str, ...]:
    """Return the first step of a run after a killed one, or nothing."""
    note = request.note.read()
    if note.get("stage") == "promoting" and is_copy_in_place(request, note):
        return (f"complete the restore to {note['target']} that was killed during the promotion ({request.note.path})",)
    return (f"roll back the killed run ({request.note.path})",) if note else ()


def resume(request: Request, note: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Complete a run that was killed during the promotion; raise RestoreError for another target."""
    if note["target"] != describe_target(request):
        raise RestoreError(
            f"a restore to {note['target']} was killed during the promotion. Run it again with that target to complete "
            f"it, or remove {request.note.path} to keep {request.data} as it is; then restore to "
            f"{describe_target(request)}"
        )
    return {"resumed": True, **_finish(request, note["report"])}


def restore(request: Request) -> dict[str, t.Any]:
    """Restore the cluster; return the report. Raise RestoreError, with the old cluster unchanged or put back."""
    with lock():
        note = request.note.read()
        if note.get("stage") == "promoting" and is_copy_in_place(request, note):
            return resume(request, note)
        if note:
            roll_back(request, note)
        plan = plan_restore(request)
        if plan.live == "primary" and request.target.kind != "immediate" and archive_current_segment(request):
            plan = plan_restore(request)
        began = time.monotonic()
        if request.delta:
            _systemctl("stop", request.unit)
        request.note.write({"stage": "building", "delta": request.delta})
        backup, newest, seconds, attempts = _build(request, plan)
        report = {
            "repository": backup.repository,
            "set": backup.label,
            "size": backup.size,
            "attempts": attempts,
            "skipped": describe_skipped(attempts, backup),
            "steps": list(plan.steps),
            "seconds": {**seconds, "began": began},
            "raised": request.note.read().get("raised", {}),
        }
        # After the switch, replay the WAL that was archived meanwhile; not possible if the archive is unreachable then.
        path = RecoveryPath(backup.system, plan.path_of(backup).history(backup))
        return _switch(request, plan.live, lambda: find_newest_wal(request, plan, backup) or newest, path, report)


def describe_skipped(attempts: t.Sequence[t.Mapping[str, t.Any]], used: repository.Backup) -> list[str]:
    """Describe each damaged set that was passed over, and the set that was used instead of it."""
    end = targets.format_time(used.end_time)
    instead = f"Set {used.label} of repository {used.repository}, which ended at {end}, was restored instead."
    skipped = [
        f"Set {one['set']} of repository {one['repository']} was not used: {one['outcome']}" for one in attempts[:-1]
    ]
    return [*skipped, instead] if skipped else []


def _build(request: Request, plan: Plan) -> tuple[repository.Backup, str, dict[str, float], list[dict[str, t.Any]]]:
    """Restore and recover to the staging directory; undo it when this fails or the controller is gone."""
    try:
        with controller.end_with_controller():
            return _restore_first_valid_set(request, plan)
    except controller.ControllerLostError as error:
        _undo_build(request, plan)
        raise RestoreError(f"{error}; {_describe_state(request)}") from error
    except (RestoreError, OSError) as error:
        _undo_build(request, plan)
        if isinstance(error, FullDiskError) or FULL.search(str(error)):
            raise FullDiskError(_describe_full_disk(request, error)) from error
        raise


def _undo_build(request: Request, plan: Plan) -> None:
    """Remove what was restored, and start the running cluster again if the full disk has stopped it."""
    if request.delta:
        return
    roll_back(request, request.note.read())
    if plan.live and not instance.get_pid(request.data):
        try:
            _systemctl("start", request.unit)
        except UnusableSetError as error:
            raise RestoreError(
                f"the restored files were removed, but the existing cluster has stopped meanwhile and does not start: "
                f"{error}. Its data were not changed: free space in {os.path.dirname(request.data)}, then run "
                f"systemctl start {request.unit}"
            ) from error


def _describe_state(request: Request) -> str:
    return "its files may be partly overwritten" if request.delta else "the existing cluster was not changed"


def _describe_full_disk(request: Request, error: Exception) -> str:
    parent = os.path.dirname(request.data)
    state = (
        f"The files of {request.data} are partly overwritten"
        if request.delta
        else "The existing cluster was not changed"
    )
    return (
        f"{parent} or the place of a tablespace has no space left for the restored cluster: {error}. {state}. Free "
        f"space ({shutil.disk_usage(parent).free >> 20} MB are free now), then run the same restore again"
    )


def _restore_first_valid_set(
    request: Request, plan: Plan
) -> tuple[repository.Backup, str, dict[str, float], list[dict[str, t.Any]]]:
    attempts: list[dict[str, t.Any]] = []
    for backup in plan.candidates:
        attempt = {"repository": backup.repository, "set": backup.label}
        try:
            newest = find_newest_wal(request, plan, backup)
            seconds = restore_and_recover(request, plan, backup, newest)
        except UnusableSetError as error:
            if FULL.search(str(error)):
                # The set may be intact, and no other set needs less.
                raise FullDiskError(str(error)) from error
            attempts.append({**attempt, "outcome": str(error)})
            continue
        return backup, newest, seconds, [*attempts, {**attempt, "outcome": "used"}]
    tried = [f"set {a['set']} of repository {a['repository']}: {a['outcome']}" for a in attempts]
    others = targets.describe_others(plan.suitable, plan.candidates, request.target.kind)
    raise RestoreError(
        "\n".join(filter(None, [f"no set leads to the target; {_describe_state(request)}.", *tried, others]))
    )


@dataclasses.dataclass(frozen=True)
class RecoveryPath:
    """The cluster that is restored, and the history that its recovery followed."""

    system: int
    history: History

    def contains(self, end: t.Mapping[str, t.Any]) -> bool:
        """Return whether the old cluster's end is on this path: only then it shows what was lost."""
        return bool(end) and end["system"] == self.system and self.history.includes(end["timeline"], end["lsn"])


def _switch(
    request: Request, live: str, newest_now: t.Callable[[], str], path: RecoveryPath, report: dict[str, t.Any]
) -> dict[str, t.Any]:
    """Move the verified copy to the place of the old cluster, and replay WAL that was archived meanwhile."""
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    old = "" if request.delta or not os.path.isdir(request.data) else f"{request.data}.before-{moment}"
    copy = os.stat(request.staging).st_ino
    common: dict[str, t.Any] = {"delta": request.delta, "copy": copy, "target": describe_target(request)}
    aside = f"before-{moment}"
    folders = request.note.read().get("folders", [])
    note = request.note.write(
        {"stage": "switching", "old": old, "live": live, "aside": aside, "folders": folders, **common}
    )
    kept: list[str] = []
    began = time.monotonic()
    try:
        _systemctl("stop", request.unit)
        end = read_controldata(request) if old else {}
        if not request.delta:
            places = [os.path.dirname(folder) for folder in folders]
            kept = tablespaces.set_aside(request.data, places, request.version, aside)
            if old:
                os.rename(request.data, old)
            os.rename(request.staging, request.data)
            tablespaces.put_back(request.data, request.version, placement.FOLDER)
        _systemctl("start", request.unit)
        reached = wait_for_target(request, _make_query(request), newest_now())
    except (UnusableSetError, OSError, ValueError) as error:
        if request.delta:
            raise RestoreError(f"the restored cluster does not start: {error}") from error
        roll_back(request, note)
        raise RestoreError(f"the restored cluster does not start; rolled back to the old one: {error}") from error
    end = end if path.contains(end) else {}
    report["lost"] = targets.describe_loss(request.target, reached.last_commit, reached.lsn, end)
    report["lsn"] = reached.lsn
    report["last_commit"] = targets.format_time(reached.last_commit) if reached.last_commit else ""
    report["old_data"] = old
    report["old_tablespaces"] = kept
    report["seconds"]["switch"] = time.monotonic() - began
    request.note.write({"stage": "promoting", "report": report, **common})
    return _finish(request, report)


def _make_query(request: Request) -> t.Callable[[str], list[str]]:
    """Return a function that queries the unit's server.

    It raises UnusableSetError when the server is down for 15 s, or its recovery makes no progress.
    """
    began, answered_at, progress = time.time(), time.monotonic(), Progress()

    def query(sql: str) -> list[str]:
        nonlocal answered_at
        result = request.psql(sql)
        if not result.failed:
            answered_at = time.monotonic()
            return result.out.rstrip("\n").split("\t")
        pid = instance.get_pid(request.data)
        if not pid and time.monotonic() - answered_at > 15:
            raise UnusableSetError(f"{request.unit} does not run: {explain_unit(request.unit, began) or result.text}")
        progress.expect(pid)
        return []

    return query


def read_controldata(request: Request) -> dict[str, t.Any]:
    """Return the end of the old cluster, from its control file; empty when it cannot be read."""
    result = tool.run_program([request.binary("pg_controldata"), request.data], TZ="UTC")
    values = instance.parse_controldata(result.out)
    if result.failed or "Latest checkpoint location" not in values:
        return {}
    moment = time.strptime(values["Time of latest checkpoint"], "%a %b %d %H:%M:%S %Y")
    return {
        "system": int(values["Database system identifier"]),
        "timeline": int(values["Latest checkpoint's TimeLineID"]),
        "lsn": values["Latest checkpoint location"],
        "clean": values["Database cluster state"].startswith("shut down"),
        "time": calendar.timegm(moment),
    }


TARGET = ("", "_time", "_lsn", "_name", "_action", "_timeline", "_inclusive")
RESET = ("restore_command", *(f"recovery_target{suffix}" for suffix in TARGET))


def _finish(request: Request, report: dict[str, t.Any]) -> dict[str, t.Any]:
    """Promote, remove the recovery settings, and verify that the cluster writes and archives; return the report."""
    _systemctl("start", request.unit)
    query = _make_query(request)
    _wait_until(lambda: bool(query("select 1")), 300, "the restored cluster does not answer")
    if query("select pg_is_in_recovery()") == ["t"]:
        request.psql("select pg_promote(true, 600)", seconds=CHECKPOINT_SECONDS)
    _wait_until(lambda: query("select pg_is_in_recovery()") == ["f"], 600, "the restored cluster was not promoted")
    # Until a checkpoint, the control file names the old timeline, and a backup would refuse to start.
    request.psql("checkpoint", seconds=CHECKPOINT_SECONDS)
    for name in RESET:
        request.psql(f"alter system reset {name}")
    _restore_settings(request, report["raised"])
    # A temporary table in a committed transaction, which is explicitly read-write, because the archive guard may have
    # set the cluster to read-only; the guard checks again by itself.
    proof = "begin read write; create table pg_temp.proof as select pg_current_xact_id()::text; commit"
    written = request.psql(proof)
    if written.failed:
        raise RestoreError(f"the restored cluster rejects writes: {written.text}; run the restore again to complete it")
    report["timeline"] = int(request.psql("select timeline_id from pg_control_checkpoint()").out or 0)
    report["archiving"] = _check_archiving(request)
    seconds = report["seconds"]
    seconds["all"] = time.monotonic() - seconds.pop("began", time.monotonic())
    report["seconds"] = {name: round(value, 1) for name, value in seconds.items()}
    request.note.remove()
    return report


def _restore_settings(request: Request, raised: t.Mapping[str, str]) -> None:
    """Restore the settings that recovery needed higher values of; this needs a restart."""
    prepared = request.psql("select count(*) from pg_prepared_xacts").out.strip()
    for name, value in raised.items():
        if name == "max_prepared_transactions" and prepared != "0":
            # With a lower value the server would not start while these transactions wait for their end.
            continue
        request.psql(f"alter system set {name} = {value}" if value else f"alter system reset {name}")
    request.psql("select pg_reload_conf()")
    if raised:
        _systemctl("restart", request.unit)
        query = _make_query(request)
        _wait_until(lambda: bool(query("select 1")), 300, "the restored cluster does not answer")


def _check_archiving(request: Request) -> str:
    if not request.archive or request.psql("show archive_mode").out.strip() == "off":
        return "off"
    result = request.pgbackrest("check")
    return repository.extract_error(result.text) if result.failed else "proven in each repository"
