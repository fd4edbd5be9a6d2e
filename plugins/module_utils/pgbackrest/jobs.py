# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the units of the role pgbackrest run on a host: backups, their metrics, and the guard over the archive queue."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import fcntl
import json
import os
import subprocess
import sys
import tempfile
import time
import typing as t

from . import metrics, repository, tool

KINDS = ("full", "diff", "incr", "yearly")
# systemd reads the digit in brackets as the line's priority.
ERROR, WARNING = "<3>", "<4>"
# A repository that is away is one after half a minute: the unit's end waits for it.
INFO = ("--output=json", "--log-level-console=error", "--io-timeout=3")
COMPLETE = "wal"  # the annotation of a yearly that has its WAL beside it
GUARD = """\
# The queue of WAL that waits for the backup repository grew over its limit: nobody may write until it has drained.
# The unit vise-archive-queue.service makes and removes this file.
default_transaction_read_only = on
"""


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the role wrote for its program."""

    stanza: str
    data: str
    socket: str
    port: int
    config: str
    yearly: dict[int, str]  # repository -> a configuration of its own; empty: none is made
    repositories: dict[int, str]  # repository -> where it is, in words
    queue_limit: int  # bytes; 0: half of what would be free without the queue
    guard_file: str
    state: str = "/var/lib/vise/pgbackrest"  # of postgres, who makes the backups
    failures: str = "/var/lib/vise/pgbackrest-failures.json"  # of root, who notes how they ended

    @classmethod
    def load(cls, path: str) -> Settings:
        """Read them."""
        with open(path, encoding="utf-8") as handle:
            data = json.load(handle)
        for key in ("yearly", "repositories"):
            data[key] = {int(number): value for number, value in data[key].items()}
        return cls(**data)

    def target(self, kind: str, number: int) -> tuple[str, list[str]]:
        """Return the configuration of a backup, and the arguments that choose its repository and type."""
        if kind == "yearly":
            return self.yearly[number], ["--repo=1", "--type=full"]
        return self.config, [f"--repo={number}", f"--type={kind}"]


def say(text: str, priority: str = "") -> None:
    """Write one entry into the journal."""
    print(priority + text.replace("\n", " | "), flush=True)


# ---- repositories ----


def inspect(settings: Settings) -> dict[str, list[repository.Repository] | str]:
    """Ask what each configuration's repositories hold, at the same time; an error is a text."""

    def ask(config: str) -> list[repository.Repository] | str:
        answer = tool.pgbackrest(config, settings.stanza, *INFO, "info")
        return repository.reason(answer.text) if answer.failed else repository.parse(answer.out, settings.stanza)

    configs = [settings.config, *settings.yearly.values()]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        return dict(zip(configs, pool.map(ask, configs), strict=True))


def complaints(settings: Settings, found: dict[str, list[repository.Repository] | str]) -> list[str]:
    """Say which repositories cannot be used."""
    lines = []
    for config, answer in found.items():
        if isinstance(answer, str):
            lines.append(f"{config}: {answer}")
            continue
        yearly = {path: number for number, path in settings.yearly.items()}
        for repo in answer:
            number = yearly.get(config, repo.number)
            if not repo.reachable:
                where = f"repository {number} ({settings.repositories[number]})"
                lines.append(
                    f"{where} cannot be used: {repo.message}; look at entry {number} of pgbackrest_repositories"
                )
    return list(dict.fromkeys(lines))


def check(settings: Settings) -> int:
    """Tell whether each repository lets us in; changes nothing."""
    problems = complaints(settings, inspect(settings))
    print("\n".join(problems))
    return bool(problems)


def without_stanza(found: dict[str, list[repository.Repository] | str]) -> list[str]:
    """Name the configurations of which a repository that can be read has no stanza."""
    return [
        config
        for config, answer in found.items()
        if not isinstance(answer, str) and any(repo.reachable and not repo.has_stanza for repo in answer)
    ]


def is_standby(settings: Settings) -> bool:
    """Whether the cluster follows another one, which then is the one that is backed up."""
    answer = tool.psql("select pg_is_in_recovery()", settings.socket, settings.port)
    if answer.failed:
        sys.exit(f"PostgreSQL on port {settings.port} does not answer: {answer.text}")
    return answer.out.strip() == "t"


def ready(settings: Settings) -> int:
    """Tell whether the stanza is everywhere. What cannot be asked now is no reason: timers and metrics tell of it."""
    missing = without_stanza(inspect(settings))
    if not missing or is_standby(settings):
        return 0
    print(f"no stanza {settings.stanza} yet: {', '.join(missing)}")
    return 1


def stanza(settings: Settings) -> int:
    """Make the stanza where it is missing, and begin with the first backup."""
    found = inspect(settings)
    missing = without_stanza(found)
    if missing and is_standby(settings):
        print("a standby: the stanza is the primary's to make")
        return 0
    for config in missing:
        answer = tool.pgbackrest(config, settings.stanza, "stanza-create")
        if answer.failed:
            print(f"{config}: {repository.reason(answer.text)}")
            return 1
    if missing and not any(repo.backups for answer in found.values() if not isinstance(answer, str) for repo in answer):
        # They may take hours, one after the other, and fail visibly by themselves.
        for kind in ("full", "yearly") if settings.yearly else ("full",):
            subprocess.run(["systemctl", "start", "--no-block", f"vise-pgbackrest@{kind}.service"], check=False)
    return 0


# ---- backups ----


@contextlib.contextmanager
def locked(settings: Settings) -> t.Iterator[None]:
    """Let one backup run at a time; the others wait. The kernel drops the lock of a killed one."""
    with open(os.path.join(settings.state, "lock"), "w", encoding="utf-8") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def backup(settings: Settings, kind: str) -> int:
    """Back up to each repository; the failure of one does not keep the others from theirs."""
    outcome_file = os.path.join(settings.state, f"outcome-{kind}.json")
    _write_json(outcome_file, {})
    if kind == "yearly" and not settings.yearly:
        say("yearly backups are off")
        return 0
    with locked(settings):
        if is_standby(settings):
            say("a standby: its primary is backed up")
            _write_json(outcome_file, dict.fromkeys(map(str, settings.repositories), "standby"))
            return 0
        outcomes: dict[str, str] = {}
        for number, where in settings.repositories.items():
            problem = _backup_to(settings, kind, number)
            outcomes[str(number)] = problem or "ok"
            _write_json(outcome_file, outcomes)
            if problem:
                say(failure_text(kind, number, where, problem), ERROR)
            else:
                say(f"{kind} backup to repository {number} ({where}) is complete")
    return int(any(outcome != "ok" for outcome in outcomes.values()))


def failure_text(kind: str, number: int, where: str, problem: str) -> str:
    """Say what failed, what it means and what to do."""
    return (
        f"{kind} backup to repository {number} ({where}) failed: {problem}. The database goes on; its WAL waits on disk"
        f" until the repository takes it. Mend the cause, then: systemctl start vise-pgbackrest@{kind}"
    )


def _backup_to(settings: Settings, kind: str, number: int) -> str:
    config, arguments = settings.target(kind, number)
    answer = tool.pgbackrest(config, settings.stanza, *arguments, "backup")
    if answer.failed:
        return repository.reason(answer.text)
    return _keep_wal(settings, number) if kind == "yearly" else ""


def _keep_wal(settings: Settings, number: int) -> str:
    """Put the WAL that makes a yearly consistent beside it: where it lies now, it ends with the dailies."""
    config = settings.yearly[number]
    newest = repository.latest(_backups(config, settings.stanza), "full")
    if newest is None:
        return "the backup is not to be found"
    with tempfile.TemporaryDirectory(dir=settings.state) as folder:
        for segment in repository.segments(*newest.wal):
            path = os.path.join(folder, segment)
            for source, command in (
                (settings.config, ["--no-archive-async", "archive-get", segment, path]),
                (config, ["archive-push", path]),
            ):
                answer = _patiently(source, settings.stanza, command)
                if answer.failed:
                    return f"WAL {segment} was not kept: {repository.reason(answer.text) or 'it is not in the archive'}"
    annotation = f"--annotation={COMPLETE}=complete"
    answer = tool.pgbackrest(config, settings.stanza, f"--set={newest.label}", annotation, "annotate")
    return repository.reason(answer.text) if answer.failed else ""


def _patiently(config: str, stanza_name: str, command: list[str], seconds: float = 120) -> tool.Answer:
    # A segment that was just finished may still be on its way into the archive.
    deadline = time.monotonic() + seconds
    while (answer := tool.pgbackrest(config, stanza_name, *command)).failed and time.monotonic() < deadline:
        time.sleep(2)
    return answer


def _backups(config: str, stanza_name: str) -> tuple[repository.Backup, ...]:
    answer = tool.pgbackrest(config, stanza_name, "--output=json", "info")
    return () if answer.failed else repository.parse(answer.out, stanza_name)[0].backups


def finished(settings: Settings, kind: str, result: str) -> int:
    """Note how a backup ended, a killed one too, and renew the metrics; runs as root when the unit has stopped."""
    failures = _read_json(settings.failures)
    outcome_file = os.path.join(settings.state, f"outcome-{kind}.json")
    with tool.as_postgres():
        outcomes = _read_json(outcome_file)
        # A job that is killed before it has begun must not be taken for the one before.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(outcome_file)
    if result != "success":
        for number, where in settings.repositories.items():
            if str(number) not in outcomes:
                say(failure_text(kind, number, where, f"the unit ended by {result}"), ERROR)
            if outcomes.get(str(number)) != "ok":
                failures.setdefault(kind, {})[str(number)] = time.time()
        _write_json(settings.failures, failures)
    metrics.write("vise_pgbackrest.prom", metrics.render(backup_samples(settings, inspect(settings), failures)))
    return 0


def backup_samples(
    settings: Settings,
    found: dict[str, list[repository.Repository] | str],
    failures: t.Mapping[str, t.Mapping[str, float]],
) -> t.Iterator[metrics.Sample]:
    """Yield the metrics of backups, per repository and kind; pure."""
    main = found[settings.config]
    for number in settings.repositories:
        repos = {repo.number: repo for repo in ([] if isinstance(main, str) else main)}
        yearly = found.get(settings.yearly.get(number, ""), "")
        labels = {"tool": "pgbackrest", "repository": str(number)}
        repo = repos.get(number)
        yield "vise_backup_repository_up", labels, float(bool(repo and repo.reachable))
        for kind in KINDS:
            own = {"tool": "pgbackrest", "kind": kind, "repository": str(number)}
            newest = repository.latest(repo.backups, kind) if repo else None
            if kind == "yearly":
                kept = [] if isinstance(yearly, str) else [b for b in yearly[0].backups if b.complete]
                newest = repository.latest(kept, "full")
            if newest:
                yield "vise_backup_last_success_timestamp_seconds", own, newest.stopped
                yield "vise_backup_size_bytes", own, newest.stored
            if str(number) in failures.get(kind, {}):
                yield "vise_backup_last_failure_timestamp_seconds", own, failures[kind][str(number)]


# ---- the archive queue ----


def queue_bytes(data: str) -> int:
    """Return how much WAL waits to be archived."""
    wal = os.path.join(data, "pg_wal")
    total = 0
    for entry in os.scandir(os.path.join(wal, "archive_status")):
        if entry.name.endswith(".ready"):
            # It may have been archived and recycled since.
            with contextlib.suppress(FileNotFoundError):
                total += os.stat(os.path.join(wal, entry.name.removesuffix(".ready"))).st_size
    return total


def queue_limit(configured: int, queue: int, free: int) -> int:
    """Return how large the queue may become: as given, else half of what would be free without it."""
    return configured or (queue + free) // 2


def guard_wanted(active: bool, queue: int, limit: int) -> bool:
    """Tell whether the cluster has to be read-only; it opens again only well below the limit."""
    return queue > limit or (active and queue > limit // 2)


def watch_queue(settings: Settings) -> int:
    """Measure the queue, and close or open the cluster for writers."""
    queue = queue_bytes(settings.data)
    status = os.statvfs(os.path.join(settings.data, "pg_wal"))
    limit = queue_limit(settings.queue_limit, queue, status.f_bavail * status.f_frsize)
    before = os.path.exists(settings.guard_file)
    active = guard_wanted(before, queue, limit)
    if active != before:
        with tool.as_postgres():
            _write_guard(settings, active)
        answer = tool.psql("select pg_reload_conf()", settings.socket, settings.port)
        if answer.failed:
            # A cluster that is down reads the file when it starts.
            say(f"PostgreSQL was not told to read {settings.guard_file}: {answer.text}", WARNING)
    if active:
        say(
            f"{queue} bytes of WAL wait for the backup repository, over {limit}: the cluster is read-only until they"
            " are archived. See why it takes none: journalctl -u postgresql@* -g archive; pgbackrest check",
            ERROR,
        )
    elif before:
        say("the archive queue has drained: the cluster takes writes again", WARNING)
    samples: list[metrics.Sample] = [
        ("vise_archive_queue_bytes", {}, queue),
        ("vise_archive_queue_limit_bytes", {}, limit),
        ("vise_archive_guard_active", {}, active),
    ]
    metrics.write("vise_archive_queue.prom", metrics.render(samples))
    return 0


def _write_guard(settings: Settings, active: bool) -> None:
    if active:
        staged = settings.guard_file + ".new"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(staged)
        with open(staged, "w", encoding="utf-8") as handle:
            handle.write(GUARD)
        os.chmod(staged, 0o644)
        os.rename(staged, settings.guard_file)
    else:
        os.unlink(settings.guard_file)


def _read_json(path: str) -> dict[str, t.Any]:
    try:
        with open(path, encoding="utf-8") as handle:
            return t.cast("dict[str, t.Any]", json.load(handle))
    except (FileNotFoundError, ValueError):
        return {}


def _write_json(path: str, data: t.Mapping[str, t.Any]) -> None:
    staged = f"{path}.new"
    with open(staged, "w", encoding="utf-8") as handle:
        json.dump(data, handle)
    os.rename(staged, path)
