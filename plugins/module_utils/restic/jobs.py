# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What runs on a host: backups, the rotating read, pruning; everything here does I/O."""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import typing as t

from . import plan
from .repository import Repository

CONFIG = "/etc/vise/restic"
STATE = "/var/lib/vise/restic"
TEXTFILES = "/var/lib/prometheus/node-exporter"
DAY = 86400


class JobError(Exception):
    """Why a job failed, in words for its operator."""


class Done(t.NamedTuple):
    """How a program has ended."""

    code: int
    out: str
    err: str


def settings(folder: str = CONFIG) -> plan.Settings:
    """Read what the role has written."""
    try:
        return plan.Settings.from_json(
            _read(f"{folder}/settings.json", {}),
            _read(f"{folder}/repositories.json", []),
            _read(f"{folder}/prune.json", []),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise JobError(
            f"{folder}: the role restic has not been here, or something else wrote there: {error!r}"
        ) from error


def _read(path: str, otherwise: t.Any) -> t.Any:
    try:
        with open(path, encoding="utf-8") as handle:
            return json.load(handle)
    except FileNotFoundError:
        return otherwise


def _write(path: str, text: str, mode: int) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    # A name that neither node_exporter nor settle takes for a finished file.
    staged = f"{path}.{os.getpid()}.new"
    with open(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as handle:
        handle.write(text)
    os.rename(staged, path)


def run(argv: t.Sequence[str], environment: t.Mapping[str, str] | None = None, limit: float | None = None) -> Done:
    """Run a program with nobody at its keyboard; when time is up, or this job is ended, it and its children are too."""
    with subprocess.Popen(
        list(argv),
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as child:
        try:
            out, err = child.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            return Done(plan.NO_ANSWER, *_end(child))
        except BaseException:
            _end(child)
            raise
    return Done(child.returncode, out, err)


def _end(child: subprocess.Popen[str]) -> tuple[str, str]:
    # restic removes its lock when it is asked to end.
    for number, seconds in ((signal.SIGTERM, 15), (signal.SIGKILL, None)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return child.communicate(timeout=seconds)
    return "", ""


@dataclasses.dataclass(frozen=True)
class Restic:
    """restic at one repository."""

    repository: Repository
    ca_file: str
    answer_seconds: int

    @classmethod
    def at(cls, settings: plan.Settings, name: str, pruning: bool = False) -> Restic:
        """Return restic at the repository of a name; of those that are pruned, with a credential that may delete."""
        known = settings.pruned if pruning else settings.repositories
        if name not in known:
            raise JobError(f"{name!r} is no repository of this host; there are {', '.join(sorted(known)) or 'none'}")
        return cls(known[name], settings.ca_file, settings.answer_seconds)

    def __call__(self, *arguments: str, limit: float | None = None) -> Done:
        """Run it."""
        return run(["restic", *arguments], plan.environment(self.repository, self.ca_file), limit)

    def must(self, *arguments: str, limit: float | None = None) -> str:
        """Run it and return what it printed; raise when it failed."""
        done = self(*arguments, limit=limit)
        if done.code:
            raise JobError(f"{self.repository.name}: {arguments[0]}: {plan.reason(done.code, done.err)}")
        return done.out

    def open(self, absent_is_fine: bool = False) -> bool:
        """Tell whether the repository is there; raise when it does not answer, or refuses the key or the password."""
        done = self("cat", "config", "--no-lock", "--no-cache", limit=self.answer_seconds)
        if done.code and not (absent_is_fine and done.code == plan.NO_REPOSITORY):
            raise JobError(f"{self.repository.name}: {plan.reason(done.code, done.err)}")
        return not done.code

    def begin(self) -> None:
        """Open the repository, and remove locks whose owners are certainly gone (restic's own rule)."""
        self.open()
        self.must("unlock", limit=self.answer_seconds)

    def snapshots(self, *arguments: str) -> tuple[list[dict[str, t.Any]], str]:
        """List snapshots as the repository has them, not as a cache remembers them, with what restic complains about.

        It leaves out a snapshot that it cannot read, and exits with 0.
        """
        done = self("snapshots", "--json", "--no-cache", "--retry-lock=10m", *arguments)
        if done.code:
            raise JobError(f"{self.repository.name}: snapshots: {plan.reason(done.code, done.err)}")
        return json.loads(done.out or "[]") or [], " ".join(done.err.split())


def backup(config: plan.Settings, instance: str) -> int:
    """Back up one set to one repository; return 0, or 3 when the snapshot lacks something."""
    name, _colon, destination = instance.partition(":")
    if name not in config.sets:
        raise JobError(f"{name!r} is no set of this host; there are {', '.join(sorted(config.sets)) or 'none'}")
    wanted, restic = config.sets[name], Restic.at(config, destination)
    restic.begin()
    try:
        for command in wanted.before:
            _hook("before", command)
        lacking = [path for path in wanted.paths if not os.path.lexists(path)]
        done = restic(*plan.backup_arguments(wanted, config.host))
    finally:
        for command in wanted.after:
            _hook("after", command)
    report = plan.summary(done.out)
    print(done.err, file=sys.stderr, end="")
    if done.code not in (0, plan.UNREADABLE) or not report.get("snapshot_id"):
        raise JobError(f"{destination}: backup: {plan.reason(done.code, done.err)}")
    save(
        "backup",
        instance,
        snapshot=report["snapshot_id"],
        size=report["total_bytes_processed"],
        files=report["total_files_processed"],
        seconds=round(report["total_duration"], 1),
    )
    print(f"{instance}: snapshot {report['snapshot_id'][:8]}, {report['total_files_processed']} files")
    for path in lacking:
        # restic says so and exits with 0.
        print(f"{instance}: incomplete: {path} does not exist", file=sys.stderr)
    if done.code:
        print(f"{instance}: incomplete: files could not be read, see above", file=sys.stderr)
    return plan.UNREADABLE if lacking or done.code else 0


def _hook(when: str, command: plan.Command) -> None:
    done = run(command.argv, limit=command.limit)
    print(done.out, end="")
    print(done.err, end="", file=sys.stderr)
    if done.code:
        text = f"did not end within {command.limit} s" if done.code == plan.NO_ANSWER else f"ended with {done.code}"
        raise JobError(f"the command {when} the backup {text}: {' '.join(command.argv)}")


def check(config: plan.Settings, name: str, everything: bool = False) -> int:
    """Read the parts that are due, every byte of them; return 1 when one of them, or a newest snapshot, is damaged."""
    restic, today = Restic.at(config, name), int(time.time()) // DAY
    restic.begin()
    days = config.check_days
    read = state("check", name).get("read", {})
    read = read if len(read) == days else plan.first_parts(days, today)
    problems = _lost_snapshots(config, restic)
    due = list(range(1, days + 1)) if everything else plan.due_parts(read, days, today)
    # A repository of which all is due is read in one go.
    for parts in [due] if len(due) == days else [[part] for part in due]:
        which = ["--read-data"] if len(parts) == days else [f"--read-data-subset={parts[0]}/{days}"]
        done = restic("check", "--retry-lock=2h", *which)
        print(done.out, end="")
        if done.code:
            problems.append(f"{name}: check {which[0]}: {plan.reason(done.code, done.err)}")
            print(done.err, end="", file=sys.stderr)
        else:
            read = {**read, **dict.fromkeys(map(str, parts), today)}
        save("check", name, read=read)
    if not due and not problems:
        print(f"{name}: every part was read within {days} days")
    print("".join(f"{problem}\n" for problem in problems), file=sys.stderr, end="")
    return bool(problems)


def _lost_snapshots(config: plan.Settings, restic: Restic) -> list[str]:
    """Complain about the newest snapshots of this host that the repository does not give; restic has no list."""
    lost = []
    for name in config.sets:
        known = state("backup", f"{name}:{restic.repository.name}").get("snapshot")
        if known:
            done = restic("cat", "snapshot", known, "--no-cache", "--no-lock")
            if done.code:
                said = plan.reason(done.code, done.err)
                lost.append(f"{restic.repository.name}: the newest snapshot of {name}, {known[:8]}, is lost: {said}")
    return lost


def prune(config: plan.Settings, name: str) -> int:
    """Apply the retention and free the space."""
    restic = Restic.at(config, name, pruning=True)
    restic.begin()
    gone = plan.removals(restic.must(*plan.forget_arguments(config.keep)))
    # forget exits with 0 when the removal is denied.
    snapshots, _warning = restic.snapshots()
    left = gone & {one["id"] for one in snapshots}
    if left:
        raise JobError(f"{name}: {len(left)} of {len(gone)} snapshots could not be removed: may the credential delete?")
    print(restic.must("prune", "--retry-lock=2h"), end="")
    print(f"{name}: {len(gone)} snapshots removed")
    return 0


def state(kind: str, instance: str) -> dict[str, t.Any]:
    """Return what is known of a job's past."""
    found: dict[str, t.Any] = _read(f"{STATE}/{kind}@{instance}.json", {})
    return found


def save(kind: str, instance: str, **news: t.Any) -> None:
    """Remember something of a job."""
    _write(f"{STATE}/{kind}@{instance}.json", json.dumps({**state(kind, instance), **news}), 0o600)


def note(kind: str, instance: str) -> int:
    """Write how a unit has ended, as systemd tells its ExecStopPost: killed ones are told as well."""
    now = int(time.time())
    known = plan.after_run(state(kind, instance), os.environ["SERVICE_RESULT"], os.environ.get("EXIT_STATUS", ""), now)
    save(kind, instance, **known)
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
    _write(_textfile(kind, instance), plan.metrics(labels, values), 0o644)
    return 0


def _textfile(kind: str, instance: str) -> str:
    return f"{TEXTFILES}/vise_restic_{kind}_{instance.replace(':', '_')}.prom"


def fingerprint(config: plan.Settings, repository: Repository) -> str:
    """Return a text that changes with the address, the credential or the password."""
    parts = [*dataclasses.astuple(repository), config.ca_file]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def unproven(config: plan.Settings) -> list[tuple[str, Restic]]:
    """Return the credentials that have not been seen to work: (name of the proof, restic)."""
    known = [(name, Restic.at(config, name)) for name in config.repositories]
    known += [(f"prune-{name}", Restic.at(config, name, pruning=True)) for name in config.pruned]
    return [
        (name, restic)
        for name, restic in known
        if _read(f"{STATE}/proven/{name}.json", "") != fingerprint(config, restic.repository)
    ]


def prove(config: plan.Settings) -> int:
    """Ask each repository that is new, or has a new credential; changes nothing, neither here nor there."""
    problems = []
    for _name, restic in unproven(config):
        try:
            restic.open(absent_is_fine=True)
        except JobError as error:
            problems.append(str(error))
    print("\n".join(problems))
    return bool(problems)


def settle(config: plan.Settings) -> int:
    """Make repositories that are not there yet, and end the jobs that are no longer wanted.

    Only a credential that is new makes a repository: one that has vanished later is a loss, and must be seen. Those
    that are pruned are their hosts' to make.
    """
    for name, restic in unproven(config):
        if not restic.open(absent_is_fine=True) and restic.repository in config.repositories.values():
            restic.must("init")
        _write(f"{STATE}/proven/{name}.json", json.dumps(fingerprint(config, restic.repository)), 0o600)
    _stop_unwanted(wanted_jobs(config))
    return 0


def wanted_jobs(config: plan.Settings) -> list[tuple[str, str]]:
    """Return the kind and the instance of each job."""
    backups = [("backup", f"{name}:{repository}") for name in config.sets for repository in config.repositories]
    return [*backups, *(("check", name) for name in config.repositories), *(("prune", name) for name in config.pruned)]


def _stop_unwanted(jobs: list[tuple[str, str]]) -> None:
    done = run(["systemctl", "list-units", "--all", "--plain", "--no-legend", "--full", "restic-*@*.timer"])
    wanted = {f"restic-{kind}@{instance}.timer" for kind, instance in jobs}
    for unit in sorted({line.split()[0] for line in done.out.splitlines()} - wanted):
        run(["systemctl", "stop", unit])
    kept = {_textfile(*job) for job in jobs}
    for path in set(glob.glob(f"{TEXTFILES}/vise_restic_*.prom")) - kept:
        os.unlink(path)
    kept = {f"{STATE}/{kind}@{instance}.json" for kind, instance in jobs}
    for path in set(glob.glob(f"{STATE}/*@*.json")) - kept:
        os.unlink(path)


def proven(config: plan.Settings) -> int:
    """Say whether each credential has been seen to work; asks nobody."""
    left = [name for name, _restic in unproven(config)]
    print(f"never seen to work: {', '.join(left)}" if left else "proven")
    return bool(left)
