# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Jobs on a host: backups, rotating checks, pruning. All functions do I/O."""

from __future__ import annotations

import dataclasses
import glob
import hashlib
import json
import os
import sys
import time
import typing as t

from ..host import files, locks, metrics, programs, units
from . import plan, selection
from .repository import Repository

CONFIG = "/etc/vise/restic"
STATE = "/var/lib/vise/restic"
TEXTFILES = metrics.DIRECTORY
DAY = 86400
# The role's probe expects this text.
READY = "all credentials are verified, and the first backups were started"


class JobError(Exception):
    """A job that failed; the message is for the operator."""


def load_settings(folder: str = CONFIG) -> plan.Settings:
    """Load the settings that the role wrote; raise JobError when they are invalid."""
    try:
        return plan.Settings.from_json(
            files.read_json(f"{folder}/settings.json", {}),
            files.read_json(f"{folder}/repositories.json", []),
            files.read_json(f"{folder}/prune.json", []),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise JobError(f"{folder} has no valid settings: run the role restic on this host: {error!r}") from error


def run(
    argv: t.Sequence[str], environment: t.Mapping[str, str] | None = None, limit: float | None = None
) -> programs.Result:
    """Run a program with the job's directory for temporary files."""
    return programs.run(argv, environment=environment, keep=("TMPDIR",), timeout=limit)


@dataclasses.dataclass(frozen=True)
class Restic:
    """restic with one repository."""

    repository: Repository
    ca_file: str
    answer_seconds: int

    @classmethod
    def at(cls, settings: plan.Settings, name: str, pruning: bool = False) -> Restic:
        """Return restic with the named repository; with `pruning`, the credential may delete."""
        known = settings.pruned if pruning else settings.repositories
        if name not in known:
            raise JobError(f"this host has no repository {name!r}, only: {', '.join(sorted(known)) or 'none'}")
        return cls(known[name], settings.ca_file, settings.answer_seconds)

    def __call__(self, *arguments: str, limit: float | None = None) -> programs.Result:
        """Run restic with arguments."""
        return run(["restic", *arguments], plan.build_environment(self.repository, self.ca_file), limit)

    def run_or_raise(self, *arguments: str, limit: float | None = None) -> str:
        """Run restic and return its standard output; raise JobError when it fails."""
        result = self(*arguments, limit=limit)
        if result.code:
            raise JobError(f"{self.repository.name}: {arguments[0]}: {plan.describe_failure(result.code, result.err)}")
        return result.out

    def check_access(self, allow_missing: bool = False) -> bool:
        """Return whether the repository exists; raise JobError when it does not answer or refuses the credential."""
        result = self("cat", "config", "--no-lock", "--no-cache", limit=self.answer_seconds)
        if result.code and not (allow_missing and result.code == plan.NO_REPOSITORY):
            raise JobError(f"{self.repository.name}: {plan.describe_failure(result.code, result.err)}")
        return not result.code

    def prepare(self) -> None:
        """Check the access to the repository, and remove stale locks by restic's own rule."""
        self.check_access()
        self.run_or_raise("unlock", limit=self.answer_seconds)

    def snapshots(self, *arguments: str) -> tuple[list[dict[str, t.Any]], str]:
        """Return the snapshots in the repository (not in the cache) and restic's warnings.

        The warnings matter, because restic omits a snapshot that it cannot read and exits with 0.
        """
        result = self("snapshots", "--json", "--no-cache", "--retry-lock=10m", *arguments)
        if result.code:
            raise JobError(f"{self.repository.name}: snapshots: {plan.describe_failure(result.code, result.err)}")
        return json.loads(result.out or "[]") or [], " ".join(result.err.split())


def backup(config: plan.Settings, instance: str) -> int:
    """Back up one set to one repository; return 0, or 3 when the snapshot is incomplete."""
    name, _colon, destination = instance.partition(":")
    if name not in config.sets:
        raise JobError(f"this host has no set {name!r}, only: {', '.join(sorted(config.sets)) or 'none'}")
    backup_set, restic = config.sets[name], Restic.at(config, destination)
    restic.prepare()
    try:
        for command in backup_set.before:
            _run_hook("before", command)
        selected = selection.select(backup_set.paths, backup_set.excludes)
        if not selected.paths:
            raise JobError(f"{instance}: there is nothing to back up: {'; '.join(selected.problems)}")
        result = restic(*plan.backup_arguments(name, config.host, selected.paths, selected.excludes))
    finally:
        for command in backup_set.after:
            _run_hook("after", command)
    report = plan.parse_summary(result.out)
    print(result.err, file=sys.stderr, end="")
    if result.code not in (0, plan.UNREADABLE) or not report.get("snapshot_id"):
        raise JobError(f"{destination}: backup: {plan.describe_failure(result.code, result.err)}")
    problems = [*selected.problems, *_find_lost_files(report, load_state("backup", instance))]
    save_state(
        "backup",
        instance,
        snapshot=report["snapshot_id"],
        size=report["total_bytes_processed"],
        files=report["total_files_processed"],
        seconds=round(report["total_duration"], 1),
    )
    print(f"{instance}: snapshot {report['snapshot_id'][:8]}, {report['total_files_processed']} files")
    problems += _find_unsaved(restic, report["snapshot_id"], selected.paths)
    problems += ["files could not be read, see above"] if result.code else []
    for problem in problems:
        print(f"{instance}: incomplete: {problem}", file=sys.stderr)
    return plan.UNREADABLE if problems else 0


def _find_lost_files(report: dict[str, t.Any], before: dict[str, t.Any]) -> list[str]:
    """Return a problem when a set that had files has none, as when its file system is not mounted."""
    if report["total_files_processed"] or not before.get("files"):
        return []
    return [f"there is no file any more, the backup before had {before['files']}: is a file system not mounted?"]


def _find_unsaved(restic: Restic, snapshot: str, paths: t.Sequence[str]) -> list[str]:
    """Return one message for each path that the snapshot does not contain; restic exits with 0."""
    listed = restic.run_or_raise("ls", "--json", "--no-lock", snapshot, "--", *paths)
    found = {json.loads(line).get("path") for line in listed.splitlines()}
    return [f"{path} is not in the snapshot: does a pattern exclude it?" for path in paths if path not in found]


def _run_hook(when: str, command: plan.Command) -> None:
    result = run(command.argv, limit=command.limit)
    print(result.out, end="")
    print(result.err, end="", file=sys.stderr)
    if result.code:
        text = f"did not end within {command.limit} s" if result.code == plan.NO_ANSWER else f"ended with {result.code}"
        raise JobError(f"the command {when} the backup {text}: {' '.join(command.argv)}")


def check(config: plan.Settings, name: str, all_parts: bool = False) -> int:
    """Read all data of the due parts; return 1 when a part is damaged or the newest snapshot of a set is lost."""
    restic, today = Restic.at(config, name), int(time.time()) // DAY
    restic.prepare()
    days = config.check_days
    read_days = load_state("check", name).get("read", {})
    read_days = read_days if len(read_days) == days else plan.first_parts(days, today)
    problems = _find_lost_snapshots(config, restic)
    due = list(range(1, days + 1)) if all_parts else plan.due_parts(read_days, days, today)
    # When all parts are due, one run of restic reads them.
    for parts in [due] if len(due) == days else [[part] for part in due]:
        which = ["--read-data"] if len(parts) == days else [f"--read-data-subset={parts[0]}/{days}"]
        result = restic("check", "--retry-lock=2h", *which)
        print(result.out, end="")
        if result.code:
            problems.append(f"{name}: check {which[0]}: {plan.describe_failure(result.code, result.err)}")
            print(result.err, end="", file=sys.stderr)
        else:
            read_days = {**read_days, **dict.fromkeys(map(str, parts), today)}
        save_state("check", name, read=read_days)
    if not due and not problems:
        print(f"{name}: no part is due, each was read within {days} days")
    print("".join(f"{problem}\n" for problem in problems), file=sys.stderr, end="")
    return bool(problems)


def _find_lost_snapshots(config: plan.Settings, restic: Restic) -> list[str]:
    """Return one message for each set whose newest snapshot is missing; restic itself does not detect this."""
    lost = []
    for name in config.sets:
        snapshot = load_state("backup", f"{name}:{restic.repository.name}").get("snapshot")
        if snapshot:
            result = restic("cat", "snapshot", snapshot, "--no-cache", "--no-lock")
            if result.code:
                reason = plan.describe_failure(result.code, result.err)
                which = f"the newest snapshot of {name}, {snapshot[:8]},"
                lost.append(f"{restic.repository.name}: {which} is lost: {reason}")
    return lost


def prune(config: plan.Settings, name: str) -> int:
    """Remove snapshots by the retention rules and free their space."""
    restic = Restic.at(config, name, pruning=True)
    restic.prepare()
    removed = plan.parse_removals(restic.run_or_raise(*plan.forget_arguments(config.keep)))
    # restic forget exits with 0 when the repository denies the removal.
    snapshots, _warning = restic.snapshots()
    remaining = removed & {one["id"] for one in snapshots}
    if remaining:
        count = f"{len(remaining)} of {len(removed)} snapshots"
        raise JobError(f"{name}: {count} were not removed: check that the credential has the permission to delete")
    print(restic.run_or_raise("prune", "--retry-lock=2h"), end="")
    print(f"{name}: {len(removed)} snapshots removed")
    return 0


def load_state(kind: str, instance: str) -> dict[str, t.Any]:
    """Return the stored state of a job; empty before its first run."""
    found: dict[str, t.Any] = files.read_json(f"{STATE}/{kind}@{instance}.json", {})
    return found


def save_state(kind: str, instance: str, **values: t.Any) -> None:
    """Update the stored state of a job."""
    # An operator can start a job while its unit runs.
    with locks.lock(f"{STATE}/lock", directory_mode=0o700):
        files.write_json(f"{STATE}/{kind}@{instance}.json", {**load_state(kind, instance), **values})


def record_result(kind: str, instance: str) -> int:
    """Store the result of a unit, from systemd's environment for ExecStopPost, and write the metrics."""
    now = int(time.time())
    known = plan.update_state(
        load_state(kind, instance), os.environ["SERVICE_RESULT"], os.environ.get("EXIT_STATUS", ""), now
    )
    save_state(kind, instance, **known)
    name, _colon, destination = instance.rpartition(":")
    values = {
        "vise_backup_last_success_timestamp_seconds": known.get("last_success"),
        "vise_backup_last_failure_timestamp_seconds": known.get("last_failure"),
        "vise_backup_last_status": known["status"],
        "vise_backup_size_bytes": known.get("size"),
        "vise_backup_files": known.get("files"),
        "vise_backup_duration_seconds": known.get("seconds"),
        "vise_backup_oldest_read_days": now // DAY - min(known["read"].values()) if known.get("read") else None,
    }
    labels = {"tool": "restic", "kind": name or kind, "repository": destination}
    samples = [(metric, labels, value) for metric, value in values.items() if value is not None]
    metrics.write(_textfile(kind, instance), metrics.render(samples), TEXTFILES)
    return 0


def _textfile(kind: str, instance: str) -> str:
    return f"vise_restic_{kind}_{instance.replace(':', '_')}.prom"


def compute_fingerprint(config: plan.Settings, repository: Repository) -> str:
    """Return a hash of the address, the credential and the password of a repository."""
    parts = [*dataclasses.astuple(repository), config.ca_file]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def list_unverified(config: plan.Settings) -> list[tuple[str, Restic]]:
    """Return the credentials without a successful access yet, as pairs of name and restic."""
    credentials = [(name, Restic.at(config, name)) for name in config.repositories]
    credentials += [(f"prune-{name}", Restic.at(config, name, pruning=True)) for name in config.pruned]
    return [
        (name, restic)
        for name, restic in credentials
        if files.read_json(f"{STATE}/proven/{name}.json", "") != compute_fingerprint(config, restic.repository)
    ]


def check_new_credentials(config: plan.Settings) -> int:
    """Check the access to each repository with a new address or credential; changes nothing. Return the exit code."""
    problems = []
    for _name, restic in list_unverified(config):
        try:
            restic.check_access(allow_missing=True)
        except JobError as error:
            problems.append(str(error))
    print("\n".join(problems))
    return bool(problems)


def initialize(config: plan.Settings) -> int:
    """Create missing repositories, stop the jobs that are no longer configured, and start the first backups.

    Only a new credential creates a repository: if a repository disappears later, this is a loss that must be reported.
    Repositories that are only pruned here are created by their own hosts. A host without sets only restores: it must
    not create an empty repository in place of a lost one.
    """
    os.makedirs(f"{STATE}/proven", mode=0o700, exist_ok=True)
    for name, restic in list_unverified(config):
        exists, own = restic.check_access(allow_missing=True), restic.repository in config.repositories.values()
        if not exists and own and config.sets:
            restic.run_or_raise("init")
        _forget_snapshots(config, name)
        files.write_json(f"{STATE}/proven/{name}.json", compute_fingerprint(config, restic.repository))
    _remove_obsolete_jobs(list_jobs(config))
    _find_existing_snapshots(config)
    # Not awaited: these backups may take hours.
    units.start(list_first_backups(config))
    return 0


def _forget_snapshots(config: plan.Settings, repository: str) -> None:
    # With another address, they were made in another repository.
    for kind, instance in list_jobs(config):
        known = load_state(kind, instance)
        if kind == "backup" and instance.endswith(f":{repository}") and known:
            kept = {key: value for key, value in known.items() if key not in ("snapshot", "result")}
            files.write_json(f"{STATE}/{kind}@{instance}.json", kept)


def list_first_backups(config: plan.Settings) -> list[str]:
    """Return the units of the backups that have made no snapshot yet, as far as this host knows."""
    return [
        f"restic-backup@{instance}.service"
        for kind, instance in list_jobs(config)
        if kind == "backup" and not load_state("backup", instance).get("snapshot")
    ]


def list_unstarted(config: plan.Settings) -> list[str]:
    """Return the units of the first backups that neither run nor have ended."""
    waiting = [unit for unit in list_first_backups(config) if "result" not in load_state(*_job_of(unit))]
    running = units.find_running(waiting)
    return [unit for unit in waiting if unit not in running]


def _job_of(unit: str) -> tuple[str, str]:
    kind, _at, instance = unit.removeprefix("restic-").removesuffix(".service").partition("@")
    return kind, instance


def _find_existing_snapshots(config: plan.Settings) -> None:
    """Record the newest snapshots of sets that another host of this name made.

    A host that replaces a lost one must not back up its empty files before they are restored: the result would be the
    latest snapshot.
    """
    wanted = [_job_of(unit)[1].partition(":")[::2] for unit in list_first_backups(config)]
    for repository in sorted({repository for _name, repository in wanted}):
        restic = Restic.at(config, repository)
        try:
            restic.check_access()
            snapshots, _warning = restic.snapshots(f"--host={config.host}")
        except JobError as error:
            # The backup itself fails too, and its unit reports this.
            print(error)
            continue
        for name in (name for name, where in wanted if where == repository):
            newest = plan.choose_snapshot((one for one in snapshots if name in (one.get("tags") or ())), "latest")
            if newest:
                save_state("backup", f"{name}:{repository}", snapshot=newest["id"])


def list_jobs(config: plan.Settings) -> list[tuple[str, str]]:
    """Return the kind and the instance of each configured job."""
    backups = [("backup", f"{name}:{repository}") for name in config.sets for repository in config.repositories]
    return [*backups, *(("check", name) for name in config.repositories), *(("prune", name) for name in config.pruned)]


def _remove_obsolete_jobs(jobs: list[tuple[str, str]]) -> None:
    result = run(["systemctl", "list-units", "--all", "--plain", "--no-legend", "--full", "restic-*@*.timer"])
    timers = {f"restic-{kind}@{instance}.timer" for kind, instance in jobs}
    for unit in sorted({line.split()[0] for line in result.out.splitlines()} - timers):
        run(["systemctl", "stop", unit])
    known = {os.path.join(TEXTFILES, _textfile(*job)) for job in jobs}
    known |= {f"{STATE}/{kind}@{instance}.json" for kind, instance in jobs}
    for path in {*glob.glob(f"{TEXTFILES}/vise_restic_*.prom"), *glob.glob(f"{STATE}/*@*.json")} - known:
        os.unlink(path)


def ready(config: plan.Settings) -> int:
    """Print what the role must still do, and query no repository; return 1 when there is something.

    A first backup that has failed is not reported: its unit, its metrics and the next night's backup show it.
    """
    remaining = [name for name, _restic in list_unverified(config)]
    unstarted = list_unstarted(config)
    lines = [f"not verified yet: {', '.join(remaining)}"] if remaining else []
    lines += [f"not started yet: {', '.join(unstarted)}"] if unstarted else []
    print("\n".join(lines) or READY)
    return bool(lines)
