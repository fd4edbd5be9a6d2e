# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Jobs of the role pgbackrest on a host: backups, their metrics, and the guard of the archive queue."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import os
import tempfile
import time
import typing as t

from ..host import files, locks, metrics, programs, units, users
from ..postgresql import session
from . import repository, tool

KINDS = ("full", "diff", "incr", "yearly")
# systemd reads these prefixes as the priority of the line.
ERROR, WARNING = "<3>", "<4>"
# A short timeout, because the end of the unit waits for unreachable repositories.
INFO = ("--output=json", "--log-level-console=error", "--io-timeout=3")
WAL_ANNOTATION = "wal"  # annotation of a yearly backup whose WAL was copied to its repository
DESCRIPTIONS = {
    "vise_backup_last_success_timestamp_seconds": "Time at which the newest backup of its kind was completed.",
    "vise_backup_last_failure_timestamp_seconds": "Time of the last failed backup of its kind.",
    "vise_backup_size_bytes": "Bytes that the newest backup of its kind added to the repository.",
    "vise_backup_repository_up": "Whether the repository could be read.",
    "vise_archive_queue_bytes": "Bytes of WAL that wait to be archived.",
    "vise_archive_queue_limit_bytes": "Size of the queue above which the cluster becomes read-only.",
    "vise_archive_guard_active": "Whether the cluster is read-only because of the queue.",
}
GUARD = """\
# The queue of WAL that waits for the backup repository exceeds its limit: the cluster is read-only until it drains.
# The unit vise-archive-queue.service creates and removes this file.
default_transaction_read_only = on
"""


class JobError(Exception):
    """A job cannot run; the message is for the operator."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings file that the role writes."""

    stanza: str
    data: str
    socket: str
    port: int
    config: str
    yearly: dict[int, str]  # repository -> configuration file of its yearly backups; empty: no yearly backups
    repositories: dict[int, str]  # repository -> its location, for messages
    queue_limit: int  # bytes; 0: half of the space that would be free without the queue
    guard_file: str
    state: str = "/var/lib/vise/pgbackrest"  # owned by postgres, which runs the backups
    failures: str = "/var/lib/vise/pgbackrest-failures.json"  # owned by root, which records the results

    @classmethod
    def load(cls, path: str) -> Settings:
        """Read the settings from a JSON file; raises JobError when the role has not written it."""
        data = files.read_json(path)
        if data is None:
            raise JobError(f"{path} does not exist: run the role pgbackrest on this host")
        for key in ("yearly", "repositories"):
            data[key] = {int(number): value for number, value in data[key].items()}
        return cls(**data)

    def outcome_file(self, kind: str) -> str:
        """Return the path at which a running backup notes its results."""
        return os.path.join(self.state, f"outcome-{kind}.json")

    def target(self, kind: str, number: int) -> tuple[str, list[str]]:
        """Return the configuration file of a backup, and the arguments that select its repository and type."""
        if kind == "yearly":
            return self.yearly[number], ["--repo=1", "--type=full"]
        return self.config, [f"--repo={number}", f"--type={kind}"]


def log(text: str, priority: str = "") -> None:
    """Write one line to the journal."""
    print(priority + text.replace("\n", " | "), flush=True)


# ---- repositories ----


def query_repositories(settings: Settings) -> dict[str, list[repository.Repository] | str]:
    """Query the repositories of each configuration in parallel; return the repositories, or the error as a text."""

    def query(config: str) -> list[repository.Repository] | str:
        result = tool.pgbackrest(config, settings.stanza, *INFO, "info")
        return (
            repository.extract_error(result.text)
            if result.failed
            else repository.parse_info(result.out, settings.stanza)
        )

    configs = [settings.config, *settings.yearly.values()]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        return dict(zip(configs, pool.map(query, configs), strict=True))


def describe_problems(settings: Settings, answers: dict[str, list[repository.Repository] | str]) -> list[str]:
    """Return one message for each repository that cannot be used."""
    lines = []
    for config, result in answers.items():
        if isinstance(result, str):
            lines.append(f"{config}: {result}")
            continue
        yearly = {path: number for number, path in settings.yearly.items()}
        for repo in result:
            number = yearly.get(config, repo.number)
            if not repo.reachable:
                where = f"repository {number} ({settings.repositories[number]})"
                lines.append(f"{where} cannot be used: {repo.message}; check entry {number} of pgbackrest_repositories")
    return list(dict.fromkeys(lines))


def check(settings: Settings) -> int:
    """Check the access to each repository, print the problems and return the exit code; changes nothing."""
    problems = describe_problems(settings, query_repositories(settings))
    print("\n".join(problems))
    return bool(problems)


def find_configs_without_stanza(answers: dict[str, list[repository.Repository] | str]) -> list[str]:
    """Return the configurations that have a readable repository without the stanza."""
    return [
        config
        for config, result in answers.items()
        if not isinstance(result, str) and any(repo.reachable and not repo.has_stanza for repo in result)
    ]


def _query(settings: Settings, query: str) -> programs.Result:
    return tool.psql(query, settings.socket, settings.port, session.read_version(settings.data))


def is_standby(settings: Settings) -> bool:
    """Return whether the cluster is a standby, whose primary is backed up; raises JobError when it does not answer."""
    result = _query(settings, "select pg_is_in_recovery()")
    if result.failed:
        raise JobError(f"PostgreSQL on port {settings.port} does not answer: {result.text}")
    return result.out.strip() == "t"


def list_first_backups(settings: Settings, answers: dict[str, list[repository.Repository] | str]) -> list[str]:
    """Return the units of the first backups that a readable repository still lacks."""
    main = answers[settings.config]
    kinds = [] if isinstance(main, str) or all(one.backups for one in main if one.reachable) else ["full"]
    copies = [answers[config] for config in settings.yearly.values()]
    if any(not isinstance(copy, str) and copy[0].reachable and not _has_yearly(copy[0]) for copy in copies):
        kinds.append("yearly")
    return [f"vise-pgbackrest@{kind}.service" for kind in kinds]


def _has_yearly(repo: repository.Repository) -> bool:
    return any(one.complete for one in repo.backups)


def list_unstarted(settings: Settings, answers: dict[str, list[repository.Repository] | str]) -> list[str]:
    """Return the units of the first backups that neither run nor have ended."""
    failures = _read_results(settings.failures)
    waiting = [unit for unit in list_first_backups(settings, answers) if _kind_of(unit) not in failures]
    running = units.find_running(waiting)
    return [unit for unit in waiting if unit not in running]


def _kind_of(unit: str) -> str:
    return unit.partition("@")[2].removesuffix(".service")


def ready(settings: Settings) -> int:
    """Return 1 when the stanza is missing in a readable repository, or a first backup was not started.

    Timers and metrics report unreachable repositories and failed backups.
    """
    answers = query_repositories(settings)
    missing, unstarted = find_configs_without_stanza(answers), list_unstarted(settings, answers)
    if not (missing or unstarted) or is_standby(settings):
        return 0
    if missing:
        print(f"the stanza {settings.stanza} does not exist yet: {', '.join(missing)}")
    if unstarted:
        print(f"not started yet: {', '.join(unstarted)}")
    return 1


def stanza(settings: Settings) -> int:
    """Create the stanza where it is missing, and start the first backups; return the exit code."""
    answers = query_repositories(settings)
    missing, first = find_configs_without_stanza(answers), list_first_backups(settings, answers)
    if not (missing or first):
        return 0
    if is_standby(settings):
        print("this host is a standby: its primary creates the stanza and is backed up")
        return 0
    for config in missing:
        result = tool.pgbackrest(config, settings.stanza, "stanza-create")
        if result.failed:
            print(f"{config}: {repository.extract_error(result.text)}")
            return 1
    # Not awaited: these backups may take hours, and their units report failures.
    units.start(first)
    return 0


def upgrade_stanza(settings: Settings) -> int:
    """Record the new major version of the cluster in each repository, and start a full backup of it.

    pgBackRest reports only in its log whether it changed something.
    """
    outputs = []
    for config in (settings.config, *settings.yearly.values()):
        result = tool.pgbackrest(config, settings.stanza, "--log-level-console=info", "stanza-upgrade")
        if result.failed:
            print(f"{config}: {repository.extract_error(result.text)}")
            return 1
        outputs.append(result.text)
    text = "\n".join(outputs)
    if text.count("stanza-upgrade for stanza") > text.count("is already up to date"):
        print("upgraded")
        units.start(["vise-pgbackrest@full.service"])
    return 0


# ---- backups ----


def backup(settings: Settings, kind: str) -> int:
    """Back up to each repository, also when an earlier one fails; return 1 when one has failed."""
    outcome_file = settings.outcome_file(kind)
    files.write_json(outcome_file, {})
    if kind == "yearly" and not settings.yearly:
        log("yearly backups are off")
        return 0
    with locks.lock(os.path.join(settings.state, "lock")):
        if is_standby(settings):
            log("this host is a standby: its primary is backed up")
            files.write_json(outcome_file, dict.fromkeys(map(str, settings.repositories), "standby"))
            return 0
        outcomes: dict[str, str] = {}
        for number, where in settings.repositories.items():
            problem = _backup_to(settings, kind, number)
            outcomes[str(number)] = problem or "ok"
            files.write_json(outcome_file, outcomes)
            if problem:
                log(describe_failure(kind, number, where, problem), ERROR)
            else:
                log(f"{kind} backup to repository {number} ({where}) is complete")
    return int(any(outcome != "ok" for outcome in outcomes.values()))


def describe_failure(kind: str, number: int, where: str, problem: str) -> str:
    """Describe a failed backup: what failed, the consequence, and the next step."""
    return (
        f"{kind} backup to repository {number} ({where}) failed: {problem}. The database continues to run; its WAL"
        f" stays on disk until the repository accepts it. Fix the cause, then run: systemctl start"
        f" vise-pgbackrest@{kind}"
    )


def _backup_to(settings: Settings, kind: str, number: int) -> str:
    config, arguments = settings.target(kind, number)
    result = tool.pgbackrest(config, settings.stanza, *arguments, "backup")
    if result.failed:
        return repository.extract_error(result.text)
    return _copy_wal(settings, number) if kind == "yearly" else ""


def _copy_wal(settings: Settings, number: int) -> str:
    """Copy the WAL of a yearly backup to its own repository, because the original expires with the daily backups."""
    config = settings.yearly[number]
    newest = repository.find_latest(_list_backups(config, settings.stanza), "full")
    if newest is None:
        return "the repository does not list the new backup"
    with tempfile.TemporaryDirectory(dir=settings.state) as folder:
        for segment in repository.list_segments(*newest.wal):
            path = os.path.join(folder, segment)
            for source, command in (
                (settings.config, ["--no-archive-async", "archive-get", segment, path]),
                (config, ["archive-push", path]),
            ):
                result = _call_with_retry(source, settings.stanza, command)
                if result.failed:
                    return (
                        f"WAL {segment} was not copied: {repository.extract_error(result.text) or 'not in the archive'}"
                    )
    annotation = f"--annotation={WAL_ANNOTATION}=complete"
    result = tool.pgbackrest(config, settings.stanza, f"--set={newest.label}", annotation, "annotate")
    return repository.extract_error(result.text) if result.failed else ""


def _call_with_retry(config: str, stanza_name: str, command: list[str], seconds: float = 120) -> programs.Result:
    # A segment that was just completed may not be archived yet.
    deadline = time.monotonic() + seconds
    while (result := tool.pgbackrest(config, stanza_name, *command)).failed and time.monotonic() < deadline:
        time.sleep(2)
    return result


def _list_backups(config: str, stanza_name: str) -> tuple[repository.Backup, ...]:
    result = tool.pgbackrest(config, stanza_name, "--output=json", "info")
    return () if result.failed else repository.parse_info(result.out, stanza_name)[0].backups


def finished(settings: Settings, kind: str, result: str) -> int:
    """Record the result of a backup, also of a killed one, and write the metrics; runs as root after the unit."""
    # Units of several kinds can end at the same time.
    with locks.lock(f"{settings.failures}.lock"):
        return _record(settings, kind, result)


def _record(settings: Settings, kind: str, result: str) -> int:
    failures = _read_results(settings.failures)
    with users.acting_as(tool.USER):
        outcomes = _read_results(settings.outcome_file(kind))
        # Otherwise a job that is killed before it starts would get the result of the job before.
        files.remove_file(settings.outcome_file(kind))
    if result != "success":
        for number, where in settings.repositories.items():
            if str(number) not in outcomes:
                log(describe_failure(kind, number, where, f"the unit ended with {result}"), ERROR)
            if outcomes.get(str(number)) != "ok":
                failures.setdefault(kind, {})[str(number)] = time.time()
        files.write_json(settings.failures, failures)
    samples = build_samples(settings, query_repositories(settings), failures)
    metrics.write("vise_pgbackrest.prom", metrics.render(samples, DESCRIPTIONS))
    return 0


def _read_results(path: str) -> dict[str, t.Any]:
    # The directory belongs to postgres, so the file may have any content.
    with contextlib.suppress(ValueError):
        return t.cast("dict[str, t.Any]", files.read_json(path, {}))
    return {}


def build_samples(
    settings: Settings,
    answers: dict[str, list[repository.Repository] | str],
    failures: t.Mapping[str, t.Mapping[str, float]],
) -> t.Iterator[metrics.Sample]:
    """Yield the metrics of backups, per repository and kind; without I/O."""
    main = answers[settings.config]
    for number in settings.repositories:
        repos = {repo.number: repo for repo in ([] if isinstance(main, str) else main)}
        yearly = answers.get(settings.yearly.get(number, ""), "")
        labels = {"tool": "pgbackrest", "repository": str(number)}
        repo = repos.get(number)
        yield "vise_backup_repository_up", labels, float(bool(repo and repo.reachable))
        for kind in KINDS:
            kind_labels = {"tool": "pgbackrest", "kind": kind, "repository": str(number)}
            newest = repository.find_latest(repo.backups, kind) if repo else None
            if kind == "yearly":
                complete = [] if isinstance(yearly, str) else [b for b in yearly[0].backups if b.complete]
                newest = repository.find_latest(complete, "full")
            if newest:
                yield "vise_backup_last_success_timestamp_seconds", kind_labels, newest.end_time
                yield "vise_backup_size_bytes", kind_labels, newest.stored
            if str(number) in failures.get(kind, {}):
                yield "vise_backup_last_failure_timestamp_seconds", kind_labels, failures[kind][str(number)]


# ---- the archive queue ----


def measure_queue(data: str) -> int:
    """Return the bytes of WAL that wait to be archived."""
    wal = os.path.join(data, "pg_wal")
    total = 0
    for entry in os.scandir(os.path.join(wal, "archive_status")):
        if entry.name.endswith(".ready"):
            # The segment may have been archived and recycled meanwhile.
            with contextlib.suppress(FileNotFoundError):
                total += os.stat(os.path.join(wal, entry.name.removesuffix(".ready"))).st_size
    return total


def compute_queue_limit(configured: int, queue: int, free: int) -> int:
    """Return the limit of the queue in bytes: as configured, or half of the space that is free without the queue."""
    return configured or (queue + free) // 2


def needs_guard(active: bool, queue: int, limit: int) -> bool:
    """Return whether the cluster must be read-only; it becomes writable again below half of the limit."""
    return queue > limit or (active and queue > limit // 2)


def watch_queue(settings: Settings) -> int:
    """Measure the archive queue, set the cluster to read-only or writable, and write the metrics."""
    queue = measure_queue(settings.data)
    status = os.statvfs(os.path.join(settings.data, "pg_wal"))
    limit = compute_queue_limit(settings.queue_limit, queue, status.f_bavail * status.f_frsize)
    was_active = os.path.exists(settings.guard_file)
    active = needs_guard(was_active, queue, limit)
    if active != was_active:
        with users.acting_as(tool.USER):
            if active:
                files.replace_file(settings.guard_file, GUARD, mode=0o644)
            else:
                files.remove_file(settings.guard_file)
        result = _query(settings, "select pg_reload_conf()")
        if result.failed:
            # A stopped cluster reads the file when it starts.
            log(f"PostgreSQL did not reload {settings.guard_file}: {result.text}", WARNING)
    if active:
        log(
            f"{queue} bytes of WAL wait for the backup repository, more than the limit of {limit}: the cluster is"
            " read-only until they are archived. To find the cause, run: journalctl -u postgresql@* -g archive;"
            " pgbackrest check",
            ERROR,
        )
    elif was_active:
        log("the archive queue has drained: the cluster is writable again", WARNING)
    samples: list[metrics.Sample] = [
        ("vise_archive_queue_bytes", {}, queue),
        ("vise_archive_queue_limit_bytes", {}, limit),
        ("vise_archive_guard_active", {}, active),
    ]
    metrics.write("vise_archive_queue.prom", metrics.render(samples, DESCRIPTIONS))
    return 0
