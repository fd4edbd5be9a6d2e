# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Restore a cluster as a transaction: beside the old one, proven there by recovery to the target, then switched.

The old cluster is touched when the new one has reached the target and answers, not before. A note on disk says how far
a run came, so that one killed anywhere is put back, or finished, by the next.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import time
import typing as t

from ansible_collections.vise.platform.plugins.module_utils.postgresql.cluster import History

from . import repository, targets, timelines, tool
from .targets import Impossible

SOCKET = "/run/vise-restore"
# A cluster with one of these is in recovery, and nothing was written to it.
SIGNALS = ("recovery.signal", "standby.signal")
# A restore empties its spool: the live cluster's own holds what its archiving waits for.
SPOOL = f"--spool-path={SOCKET}/spool"
ASYNC = "--archive-async"
NOTES = "/var/lib/vise/restore"
PATIENCE = 20.0  # seconds without progress after which the end of the WAL is believed
# Before a set is consistent nobody can ask what recovery waits for, and a repository that is away answers after minutes
LONG_PATIENCE = 600.0
TITLE = re.compile(r"startup (?:recovering|waiting for) ([0-9A-F]{24})")
FOUND = re.compile(r"(?:invalid|missing|error|other)[^:]*: [1-9]")
DAMAGE = re.compile(r"(?:WARN|ERROR|FATAL|PANIC).*", re.IGNORECASE)


class Live(Impossible):
    """A cluster that runs, and that nobody has named as one to replace."""


class Unusable(Exception):
    """A set, or its WAL, that does not lead to the target."""


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What the operator asks for."""

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
    def beside(self) -> str:
        """Where the new cluster is built."""
        return self.data if self.delta else f"{self.data}.restoring"

    @property
    def unit(self) -> str:
        """The cluster's unit."""
        return f"postgresql@{self.cluster.replace('/', '-')}.service"

    @property
    def note(self) -> str:
        """The file that says how far a run came."""
        return os.path.join(NOTES, self.cluster.replace("/", "-") + ".json")

    def binary(self, name: str) -> str:
        """Return the path of one of PostgreSQL's programs."""
        return f"/usr/lib/postgresql/{self.version}/bin/{name}"

    def psql(self, query: str, socket: str = "") -> tool.Answer:
        """Ask the cluster."""
        return tool.psql(query, socket or self.socket, self.port)

    def pgbackrest(self, *arguments: str) -> tool.Answer:
        """Run pgBackRest."""
        return tool.pgbackrest(self.config, self.stanza, *arguments)


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a restore would do."""

    candidates: tuple[repository.Backup, ...]
    repositories: tuple[repository.Repository, ...]
    courses: targets.Courses
    live: str  # primary | standby, or nothing
    steps: tuple[str, ...]

    def course(self, backup: repository.Backup) -> timelines.Course:
        """Return what a set's recovery follows."""
        return self.courses[backup.system]


def prepare(wanted: Wanted) -> Plan:
    """Find out whether and from what the cluster can be restored; changes nothing, raises what is in the way."""
    live = running(wanted.data)
    if live and not wanted.replace_live:
        raise Live(f"{wanted.data} is a running {live}, and stays as it is.")
    answer = wanted.pgbackrest("--output=json", "info")
    if answer.failed:
        raise Impossible(f"pgBackRest cannot read its repositories: {repository.reason(answer.text)}")
    repositories = repository.parse(answer.out, wanted.stanza)
    courses = timelines.courses(wanted.pgbackrest, wanted.stanza, repositories, wanted.timeline)
    choice = (wanted.target, courses, wanted.version, wanted.label, wanted.repository)
    chosen = targets.candidates(repositories, *choice)
    if not chosen:
        why = targets.why_none(repositories, *choice)
        raise Impossible(f"there is no set to restore from: {why}")
    if wanted.delta:
        _check_for_delta(wanted)
    else:
        _check_place(wanted, max(backup.size for backup in chosen))
    return Plan(tuple(chosen), tuple(repositories), courses, live, tuple(_steps(wanted, chosen, courses, live)))


def _check_place(wanted: Wanted, size: int) -> None:
    if os.path.ismount(wanted.data):
        raise Impossible(f"{wanted.data} is a mount point and cannot be switched by a rename: use mode delta")
    parent = os.path.dirname(wanted.data)
    if not os.path.isdir(parent):
        raise Impossible(f"{parent} does not exist: install PostgreSQL first (role postgresql)")
    status = os.statvfs(parent)
    free = status.f_bavail * status.f_frsize + _size(wanted.beside)
    trouble = targets.lack_of_space(size, free, parent)
    if trouble:
        raise Impossible(trouble)


def _check_for_delta(wanted: Wanted) -> None:
    if not os.path.isfile(os.path.join(wanted.data, "PG_VERSION")):
        raise Impossible(f"{wanted.data} holds no cluster whose files mode delta could use")


def _size(path: str) -> int:
    return sum(
        os.lstat(os.path.join(place, name)).st_size for place, _folders, names in os.walk(path) for name in names
    )


def _steps(
    wanted: Wanted, chosen: t.Sequence[repository.Backup], courses: targets.Courses, live: str
) -> t.Iterator[str]:
    first = chosen[0]
    yield f"restore set {first.label} of repository {first.repository} to {wanted.beside}"
    for backup in chosen[1:]:
        yield f"when that is damaged: set {backup.label} of repository {backup.repository}"
    for backup in chosen:
        course = courses[backup.system]
        if not course.known(backup):
            yield f"see whether set {backup.label} leads to timeline {course.timeline}: {course.trouble}"
    yield f"recover to {wanted.target.kind} {wanted.target.value}".strip()
    if live:
        yield f"stop the running {live}"
    if not wanted.delta:
        yield f"keep {wanted.data} aside, put the restored cluster in its place"
    yield "promote"


# ---- processes ----


def postmaster(data: str) -> int:
    """Return the number of the server that runs on a data directory, or 0."""
    with contextlib.suppress(FileNotFoundError, ValueError, ProcessLookupError):
        with open(os.path.join(data, "postmaster.pid"), encoding="utf-8") as handle:
            pid = int(handle.readline())
        with open(f"/proc/{pid}/comm", encoding="utf-8") as handle:
            return pid if handle.read().strip() == "postgres" else 0
    return 0


def running(data: str) -> str:
    """Say as what a cluster runs: primary, standby, or nothing."""
    if not postmaster(data):
        return ""
    return "standby" if os.path.exists(os.path.join(data, "standby.signal")) else "primary"


def _systemctl(*arguments: str) -> None:
    done = subprocess.run(["systemctl", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unusable(f"systemctl {' '.join(arguments)}: {done.stderr.strip()}")


def _end(data: str) -> None:
    """End a server of ours that a killed run left on a directory; not one that somebody has started there since."""
    pid = postmaster(data)
    if pid and SOCKET in _command_line(pid):
        os.kill(pid, signal.SIGQUIT)
        _await(lambda: not postmaster(data), 60, f"the server on {data} does not end")


def _command_line(pid: int) -> str:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as handle:
        return handle.read()
    return ""


def replaying(pid: int) -> str:
    """Return the segment at which a server's recovery is, from the title of its process; nothing when it is at none."""
    children = ""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as handle:
        children = handle.read()
    found = (TITLE.search(_command_line(int(child))) for child in children.split())
    return next((match[1] for match in found if match), "")


def _await(condition: t.Callable[[], bool], seconds: float, complaint: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Unusable(complaint)
        time.sleep(0.2)


# Not what was archived last: after a backup that is its history file, which has the name of an older segment.
ARCHIVED = (
    "select not exists (select from pg_ls_archive_statusdir() where name = '{}.ready'), current_setting('archive_mode')"
)


def archived_up_to_now(wanted: Wanted, patience: float = 60) -> bool:
    """Let a primary that runs archive the segment it is writing: the target may lie in it."""
    # What it returns is where the next segment begins
    switched = wanted.psql("select pg_walfile_name(pg_switch_wal() - 1)")
    deadline = time.monotonic() + patience
    while not switched.failed and time.monotonic() < deadline:
        done, _tab, mode = wanted.psql(ARCHIVED.format(switched.out.strip())).out.strip().partition("\t")
        if done == "t" or mode == "off":
            return mode != "off"
        time.sleep(0.2)
    return False


# ---- the copy beside ----


def build(wanted: Wanted, backup: repository.Backup, timeline: str) -> None:
    """Restore a set's files; pgBackRest compares each with its checksum."""
    if wanted.delta:
        _verify(wanted, backup)
    else:
        shutil.rmtree(wanted.beside, ignore_errors=True)
        os.makedirs(wanted.beside, 0o700)
        shutil.chown(wanted.beside, tool.USER, tool.USER)
    arguments = [
        f"--repo={backup.repository}",
        f"--set={backup.label}",
        f"--pg1-path={wanted.beside}",
        *wanted.target.arguments(timeline),
        # As it stays in the cluster; the copy beside is given one of its own.
        f"--recovery-option=restore_command={restore_command(wanted, backup.repository)}",
        *(["--delta"] if wanted.delta else []),
        *([] if wanted.archive else ["--archive-mode=off"]),
        SPOOL,
    ]
    answer = wanted.pgbackrest(*arguments, "restore")
    if answer.failed:
        raise Unusable(repository.reason(answer.text))


def restore_command(wanted: Wanted, first: int, *more: str) -> str:
    """Return the command by which PostgreSQL fetches WAL: from one repository, then from whichever has it.

    pgBackRest holds no fetched segment against its checksum: a damaged one that can be unpacked is taken for whole, and
    no other repository is asked. So a set of the second repository has its WAL from there first.
    """

    def fetch(*options: str) -> str:
        known = ("pgbackrest", f"--config={wanted.config}", f"--stanza={wanted.stanza}")
        return " ".join([*known, *options, 'archive-get %f "%p"'])

    if first <= 1:
        # It asks the first one first by itself.
        return fetch(*more)
    # At once, since what was fetched ahead of time, or not found, is that of one repository.
    at_once = [word for word in more if word not in (ASYNC, SPOOL)]
    return f"{fetch(*more, f'--repo={first}')} || {fetch(*at_once, '--no-archive-async')}"


def _verify(wanted: Wanted, backup: repository.Backup) -> None:
    # Its exit status says nothing; only the text does.
    answer = wanted.pgbackrest(f"--repo={backup.repository}", f"--set={backup.label}", "--output=text", "verify")
    damage = [line.strip() for line in answer.out.splitlines() if FOUND.search(line)]
    if answer.failed or damage or "status: error" in answer.out:
        raise Unusable(f"verify finds it damaged: {'; '.join(damage) or repository.reason(answer.text)}")


def workplace() -> None:
    """Make the directory of the copy's socket, spool and locks, which nobody else may enter."""
    for path in (SOCKET, f"{SOCKET}/spool", f"{SOCKET}/lock"):
        os.makedirs(path, 0o700, exist_ok=True)
        shutil.chown(path, tool.USER, tool.USER)


def server_settings(wanted: Wanted, first: int) -> dict[str, str]:
    """Return what keeps the copy's server apart and small; on its command line, where nothing beats it."""
    # The live cluster's archiving has its own spool and lock, and must not wait for ours.
    private = (ASYNC, SPOOL, f"--lock-path={SOCKET}/lock")
    fetch = restore_command(wanted, first, f"--pg1-path={wanted.beside}", *private)
    return {
        "config_file": f"/etc/postgresql/{wanted.cluster}/postgresql.conf",
        "data_directory": wanted.beside,
        "hba_file": f"{SOCKET}/pg_hba.conf",
        "external_pid_file": f"{SOCKET}/pid",
        "listen_addresses": "",
        "unix_socket_directories": SOCKET,
        "port": str(wanted.port),
        "ssl": "off",
        "archive_mode": "off",
        "primary_conninfo": "",
        "primary_slot_name": "",
        "restore_command": fetch,
        "wal_retrieve_retry_interval": "500ms",
        "hot_standby": "on",
        "shared_buffers": "128MB",
        "huge_pages": "off",
        "logging_collector": "off",
        "log_destination": "stderr",
        "lc_messages": "C",
    }


class Server:
    """PostgreSQL on the copy, reachable by root and postgres alone: no port, no archiving, little memory."""

    def __init__(self, wanted: Wanted, first: int) -> None:
        self.wanted = wanted
        self.segment, self.since = "", 0.0
        hba = os.path.join(SOCKET, "pg_hba.conf")
        with open(hba, "w", encoding="utf-8") as handle:
            handle.write("local all postgres peer\n")
        os.chmod(hba, 0o644)
        given = [word for key, value in server_settings(wanted, first).items() for word in ("-c", f"{key}={value}")]
        self.log_path = os.path.join(SOCKET, "log")
        with open(self.log_path, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [wanted.binary("postgres"), *given],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env={"PATH": tool.PATH, "LC_ALL": "C.UTF-8"},
                user=tool.USER,
                group=tool.USER,
                extra_groups=[],
                start_new_session=True,
            )

    def ask(self, query: str) -> list[str]:
        """Return the columns of a query's row; nothing while the server does not answer. Raise when it has ended."""
        if self.process.poll() is not None:
            raise Unusable(self.last_words())
        answer = self.wanted.psql(query, SOCKET)
        if not answer.failed:
            return answer.out.rstrip("\n").split("\t")
        self._expect_progress()
        return []

    def _expect_progress(self) -> None:
        """Raise when recovery stands still before the set is consistent: PostgreSQL would wait for its WAL for ever."""
        segment = replaying(self.process.pid)
        if not segment or segment != self.segment:
            self.segment, self.since = segment, time.monotonic()
        elif time.monotonic() - self.since > LONG_PATIENCE:
            raise Unusable(f"recovery stands still at WAL {segment}, before the set is consistent")

    def last_words(self) -> str:
        """Return why the server or its fetching of WAL complained."""
        with open(self.log_path, encoding="utf-8", errors="replace") as handle:
            # Whoever asks too early is told so, and that is ourselves.
            lines = [match[0] for line in handle if (match := DAMAGE.search(line)) and "is starting up" not in line]
        telling = [line for line in lines if "recovery ended before" in line or "ERROR" in line or "PANIC" in line]
        text = " | ".join(dict.fromkeys((telling or lines)[-3:])) or "the server gave no reason"
        return tool.scrub(text, tool.secrets(self.wanted.config))

    def stop(self) -> None:
        """End it, in good order."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait()


POSITION = (
    "select pg_last_wal_replay_lsn(), pg_get_wal_replay_pause_state(),"
    " coalesce((select wait_event from pg_stat_activity where backend_type = 'startup'), ''),"
    " coalesce(extract(epoch from pg_last_xact_replay_timestamp())::text, '')"
)


# What the recovery waits for when there is nothing left to replay: the next segment, or to ask for it again.
FETCHING = ("RestoreCommand", "RecoveryRetrieveRetryInterval")


@dataclasses.dataclass(frozen=True)
class Reached:
    """Where a recovery ended."""

    lsn: str
    last_commit: float | None


def recover(wanted: Wanted, ask: t.Callable[[str], list[str]], newest_wal: str) -> Reached:
    """Wait until recovery has reached the target; raise when it cannot."""
    since, last = time.monotonic(), ""
    while True:
        row = ask(POSITION)
        if row and row[0]:
            position, paused, waits, commit = row
            reached = Reached(position, float(commit) if commit else None)
            if wanted.target.kind != "latest" and paused == "paused":
                return reached
            if position != last:
                since, last = time.monotonic(), position
            elif wanted.target.kind == "latest" and waits in FETCHING:
                whole = not newest_wal or repository.lsn(position) > repository.segment_start(newest_wal)
                # A fetch may just be under way; damage is believed only after a while.
                if time.monotonic() - since > (2 if whole else PATIENCE):
                    if whole:
                        return reached
                    raise Unusable(
                        f"WAL ends at {position}, the archive goes on until {newest_wal}: a segment is damaged"
                    )
        time.sleep(0.2)


def newest_wal(wanted: Wanted, plan: Plan, backup: repository.Backup) -> str:
    """Return the segment that a set's recovery to the latest has to replay; with a target it has an end of its own."""
    if wanted.target.kind != "latest":
        return ""
    archives = timelines.archives_of(plan.repositories, backup.system)
    return timelines.newest_wal(wanted.pgbackrest, wanted.stanza, archives, plan.course(backup).history(backup))


def proven(wanted: Wanted, plan: Plan, backup: repository.Backup, newest: str) -> dict[str, float]:
    """Build the copy from a set and let it recover; whoever returns has a cluster that answers at the target."""
    if wanted.target.kind == "latest" and not newest:
        raise Unusable("how far the archive goes cannot be read")
    began = time.monotonic()
    workplace()
    build(wanted, backup, plan.course(backup).argument(backup))
    built = time.monotonic()
    server = Server(wanted, backup.repository)
    try:
        recover(wanted, server.ask, newest)
        if not server.ask("select count(*) from pg_database where pg_relation_filepath('pg_class') is not null"):
            raise Unusable(server.last_words())
    except Unusable as error:
        words = server.last_words()
        raise Unusable(f"{error}{'' if words in str(error) else f' ({words})'}") from error
    finally:
        server.stop()
        shutil.rmtree(SOCKET, ignore_errors=True)
    return {"restore": built - began, "recover": time.monotonic() - built}


# ---- the whole ----


@contextlib.contextmanager
def locked() -> t.Iterator[None]:
    """Let one restore run at a time; the kernel drops the lock of a killed one."""
    os.makedirs(NOTES, mode=0o700, exist_ok=True)
    with open(os.path.join(NOTES, "lock"), "w", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Impossible("another restore runs on this host") from error
        yield


def note(wanted: Wanted, stage: str, **more: t.Any) -> None:
    """Write down how far the run came, before it goes on."""
    staged = wanted.note + ".new"
    with open(staged, "w", encoding="utf-8") as handle:
        json.dump({"stage": stage, **more}, handle)
        handle.flush()
        os.fsync(handle.fileno())
    os.rename(staged, wanted.note)


def noted(wanted: Wanted) -> dict[str, t.Any]:
    """Return what a killed run wrote down."""
    with contextlib.suppress(FileNotFoundError), open(wanted.note, encoding="utf-8") as handle:
        return t.cast("dict[str, t.Any]", json.load(handle))
    return {}


def in_place(wanted: Wanted, left: t.Mapping[str, t.Any]) -> bool:
    """Tell whether the cluster in place is still the copy of a run; a rename keeps the number of its directory."""
    return os.path.isdir(wanted.data) and os.stat(wanted.data).st_ino == left.get("copy")


def put_back(wanted: Wanted, left: t.Mapping[str, t.Any]) -> None:
    """Make the old cluster the one in place again; nothing of the unproven one is kept.

    What has come there since is left alone: a killed run may be long ago. Killed itself, it can be done once more.
    """
    restoring = f"{wanted.data}.restoring"
    _end(restoring)
    if left.get("delta"):
        _end(wanted.data)
    elif left.get("stage") == "switching":
        if in_place(wanted, left):
            if not any(os.path.exists(os.path.join(wanted.data, name)) for name in SIGNALS):
                raise Impossible(promoted_since(wanted, left))
            _systemctl("stop", wanted.unit)
            shutil.rmtree(restoring, ignore_errors=True)
            os.rename(wanted.data, restoring)
        if os.path.isdir(left["old"]) and not os.path.exists(wanted.data):
            os.rename(left["old"], wanted.data)
        if left["live"]:
            _systemctl("start", wanted.unit)
    shutil.rmtree(restoring, ignore_errors=True)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(wanted.note)


def promoted_since(wanted: Wanted, left: t.Mapping[str, t.Any]) -> str:
    """Say that a cluster is no longer the unproven copy that a note takes it for."""
    old = f"; what was there before is in {left['old']}" if left["old"] else ""
    return (
        f"a killed run has restored {wanted.data}, and somebody has promoted it since, so it is not taken back{old}. "
        f"To keep it, remove {wanted.note}, and run this again for what you want now"
    )


def asked_for(wanted: Wanted) -> str:
    """Name the target, as a note keeps it."""
    return f"{wanted.target.kind} {wanted.target.value}".strip()


def pending(wanted: Wanted) -> tuple[str, ...]:
    """Say what a run would first do about one that was killed."""
    left = noted(wanted)
    if left.get("stage") == "promoting" and in_place(wanted, left):
        return (f"end the restore to {left['asked']} that was killed while it promoted ({wanted.note})",)
    return (f"take back what a killed run has left ({wanted.note})",) if left else ()


def resumed(wanted: Wanted, left: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """End a run that was killed when all but the promotion was done."""
    if left["asked"] != asked_for(wanted):
        raise Impossible(
            f"a restore to {left['asked']} was killed while it promoted. Run it again with that target, which ends it, "
            f"or remove {wanted.note} to leave {wanted.data} as it is; then restore to {asked_for(wanted)}"
        )
    return {"resumed": True, **_finish(wanted, left["report"])}


def restore(wanted: Wanted) -> dict[str, t.Any]:
    """Do it; return the report."""
    with locked():
        left = noted(wanted)
        if left.get("stage") == "promoting" and in_place(wanted, left):
            return resumed(wanted, left)
        if left:
            put_back(wanted, left)
        plan = prepare(wanted)
        if plan.live == "primary" and wanted.target.kind != "immediate" and archived_up_to_now(wanted):
            plan = prepare(wanted)
        began = time.monotonic()
        if wanted.delta:
            _systemctl("stop", wanted.unit)
        note(wanted, "building", delta=wanted.delta)
        backup, newest, seconds, attempts = _first_usable(wanted, plan)
        report = {
            "repository": backup.repository,
            "set": backup.label,
            "size": backup.size,
            "attempts": attempts,
            "steps": list(plan.steps),
            "seconds": {**seconds, "began": began},
        }
        # What is archived while the old cluster stops is caught up with; where the archive is away then, nothing comes.
        way = Way(backup.system, plan.course(backup).history(backup))
        return _switch(wanted, plan.live, lambda: newest_wal(wanted, plan, backup) or newest, way, report)


def _first_usable(
    wanted: Wanted, plan: Plan
) -> tuple[repository.Backup, str, dict[str, float], list[dict[str, t.Any]]]:
    attempts: list[dict[str, t.Any]] = []
    for backup in plan.candidates:
        attempt = {"repository": backup.repository, "set": backup.label}
        try:
            newest = newest_wal(wanted, plan, backup)
            seconds = proven(wanted, plan, backup, newest)
        except Unusable as error:
            attempts.append({**attempt, "outcome": str(error)})
            continue
        return backup, newest, seconds, [*attempts, {**attempt, "outcome": "used"}]
    if not wanted.delta:
        put_back(wanted, {})
    tried = "\n".join(f"set {a['set']} of repository {a['repository']}: {a['outcome']}" for a in attempts)
    state = "its files may be half changed" if wanted.delta else "the cluster in place was not touched"
    raise Impossible(f"no set leads to the target; {state}.\n{tried}")


@dataclasses.dataclass(frozen=True)
class Way:
    """Which cluster a restore brings back, and on which timelines."""

    system: int
    history: History

    def leads_from(self, end: t.Mapping[str, t.Any]) -> bool:
        """Tell whether what lay there was this cluster, on this way: only then its end says what was lost."""
        return bool(end) and end["system"] == self.system and self.history.includes(end["timeline"], end["lsn"])


def _switch(
    wanted: Wanted, live: str, newest_now: t.Callable[[], str], way: Way, report: dict[str, t.Any]
) -> dict[str, t.Any]:
    """Put the proven copy in the old one's place, and let it catch up with what was archived meanwhile."""
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    old = "" if wanted.delta or not os.path.isdir(wanted.data) else f"{wanted.data}.before-{moment}"
    kept: dict[str, t.Any] = {"delta": wanted.delta, "copy": os.stat(wanted.beside).st_ino, "asked": asked_for(wanted)}
    left = {"stage": "switching", "old": old, "live": live, **kept}
    note(wanted, **left)
    began = time.monotonic()
    try:
        _systemctl("stop", wanted.unit)
        end = control(wanted) if old else {}
        if not wanted.delta:
            if old:
                os.rename(wanted.data, old)
            os.rename(wanted.beside, wanted.data)
        _systemctl("start", wanted.unit)
        reached = recover(wanted, _patient_ask(wanted), newest_now())
    except (Unusable, OSError, ValueError) as error:
        if wanted.delta:
            raise Impossible(f"the restored cluster does not come up: {error}") from error
        put_back(wanted, left)
        raise Impossible(f"the restored cluster does not come up, the old one was put back: {error}") from error
    end = end if way.leads_from(end) else {}
    report["lost"] = targets.lost(wanted.target, reached.last_commit, reached.lsn, end)
    report["lsn"] = reached.lsn
    report["last_commit"] = targets.clock(reached.last_commit) if reached.last_commit else ""
    report["old_data"] = old
    report["seconds"]["switch"] = time.monotonic() - began
    note(wanted, "promoting", report=report, **kept)
    return _finish(wanted, report)


def _patient_ask(wanted: Wanted) -> t.Callable[[str], list[str]]:
    """Ask the unit's server; one that has ended, or that nobody can ask for minutes, is none."""
    heard = time.monotonic()

    def ask(query: str) -> list[str]:
        nonlocal heard
        answer = wanted.psql(query)
        if not answer.failed:
            heard = time.monotonic()
            return answer.out.rstrip("\n").split("\t")
        if not postmaster(wanted.data) and time.monotonic() - heard > 15:
            raise Unusable(f"{wanted.unit} does not run: {answer.text}")
        return []

    return ask


def control(wanted: Wanted) -> dict[str, t.Any]:
    """Return where the old cluster ended, from its control file."""
    answer = tool.run([wanted.binary("pg_controldata"), wanted.data])
    values = dict(line.split(":", 1) for line in answer.out.splitlines() if ":" in line)
    values = {key: value.strip() for key, value in values.items()}
    if answer.failed or "Latest checkpoint location" not in values:
        return {}
    moment = time.strptime(values["Time of latest checkpoint"], "%a %b %d %H:%M:%S %Y")
    return {
        "system": int(values["Database system identifier"]),
        "timeline": int(values["Latest checkpoint's TimeLineID"]),
        "lsn": values["Latest checkpoint location"],
        "clean": values["Database cluster state"].startswith("shut down"),
        "time": time.mktime(moment),
    }


TARGET = ("", "_time", "_lsn", "_name", "_action", "_timeline", "_inclusive")
RESET = ("restore_command", *(f"recovery_target{suffix}" for suffix in TARGET))


def _finish(wanted: Wanted, report: dict[str, t.Any]) -> dict[str, t.Any]:
    """Promote, take the recovery's settings away, and prove that the cluster writes and archives."""
    _systemctl("start", wanted.unit)
    ask = _patient_ask(wanted)
    _await(lambda: bool(ask("select 1")), 300, "the restored cluster does not answer")
    if ask("select pg_is_in_recovery()") == ["t"]:
        wanted.psql("select pg_promote(true, 600)")
    _await(lambda: ask("select pg_is_in_recovery()") == ["f"], 600, "the restored cluster was not promoted")
    # Until then the control file names the old timeline, and a backup would refuse to begin.
    wanted.psql("checkpoint")
    for name in RESET:
        wanted.psql(f"alter system reset {name}")
    wanted.psql("select pg_reload_conf()")
    # A table of this session alone, and a transaction that is committed.
    # Whether the guard over the archive lets applications write is another matter: it looks again by itself.
    proof = "begin read write; create table pg_temp.proof as select pg_current_xact_id()::text; commit"
    written = wanted.psql(proof)
    if written.failed:
        raise Impossible(f"the restored cluster takes no writes: {written.text}; run the restore again to finish it")
    report["timeline"] = int(wanted.psql("select timeline_id from pg_control_checkpoint()").out or 0)
    report["archiving"] = _archiving(wanted)
    seconds = report["seconds"]
    seconds["all"] = time.monotonic() - seconds.pop("began", time.monotonic())
    report["seconds"] = {name: round(value, 1) for name, value in seconds.items()}
    os.unlink(wanted.note)
    return report


def _archiving(wanted: Wanted) -> str:
    if not wanted.archive or wanted.psql("show archive_mode").out.strip() == "off":
        return "off"
    answer = wanted.pgbackrest("check")
    return repository.reason(answer.text) if answer.failed else "proven in each repository"
