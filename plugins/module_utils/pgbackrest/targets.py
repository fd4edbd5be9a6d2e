# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Targets of a restore, the backups that can reach them, and the resulting loss: pure functions without I/O."""

from __future__ import annotations

import dataclasses
import datetime
import re
import typing as t

from . import repository, timelines

KINDS = ("latest", "time", "lsn", "name", "immediate")
SPARE = 1 << 30  # bytes for WAL, in addition to the data
# Bytes. A clean shutdown completes the last segment and writes only a checkpoint, after this header, to the next one.
HEADER = 0x28
LSN = re.compile(r"[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}")
NAME = re.compile(r"[^\x00-\x1f'\\]{1,63}")


class RestoreError(Exception):
    """A restore that is refused or failed; the message is for the operator."""


@dataclasses.dataclass(frozen=True)
class Target:
    """Where recovery ends: a kind and, except for latest and immediate, a value."""

    kind: str = "latest"
    value: str = ""

    @property
    def seconds(self) -> float:
        """The time of a time target, in seconds since 1970."""
        return datetime.datetime.fromisoformat(self.value).timestamp()

    @property
    def text(self) -> str:
        """The value in PostgreSQL's format; a time is in UTC, so that it does not depend on the TimeZone setting."""
        if self.kind != "time":
            return self.value
        moment = datetime.datetime.fromtimestamp(self.seconds, datetime.UTC)
        return moment.strftime("%Y-%m-%d %H:%M:%S.%f+00")

    def arguments(self, timeline: str) -> list[str]:
        """Return pgBackRest's arguments; recovery never promotes by itself, because the result is verified first."""
        if self.kind == "immediate":
            return ["--type=immediate", "--target-action=pause"]
        follow = f"--target-timeline={timeline}"
        if self.kind == "latest":
            return ["--type=standby", follow]
        return [f"--type={self.kind}", f"--target={self.text}", follow, "--target-action=pause"]


def parse_target(kind: str, value: str, now: float) -> Target:
    """Return a valid target; raise RestoreError for an invalid one. `now` is in seconds since 1970."""
    if kind not in KINDS:
        raise RestoreError(f"target {kind!r} is unknown: use one of {', '.join(KINDS)}")
    if bool(value) == (kind in ("latest", "immediate")):
        raise RestoreError(f"target {kind} {'takes no value' if value else 'needs a value'}")
    target = Target(kind, value)
    if kind == "time":
        _check_time(target, now)
    if kind == "lsn" and not LSN.fullmatch(value):
        raise RestoreError(f"{value!r} is not an LSN: write it as in 0/3000028")
    if kind == "name" and not NAME.fullmatch(value):
        raise RestoreError(f"{value!r} cannot be the name of a restore point")
    return target


def parse_timeline(text: str, kind: str) -> int | None:
    """Return the timeline to follow: None for the newest, 0 for each set's own; raise RestoreError."""
    if kind == "immediate":
        if text:
            raise RestoreError("target immediate takes no timeline: recovery ends on the set's own timeline")
        return timelines.CURRENT
    try:
        return timelines.parse_timeline(text)
    except ValueError as error:
        raise RestoreError(f"{text!r} is not a timeline: use a number, current or latest") from error


def _check_time(target: Target, now: float) -> None:
    try:
        moment = datetime.datetime.fromisoformat(target.value)
    except ValueError as error:
        raise RestoreError(f"{target.value!r} is not a time: write it as in 2026-03-01 12:30:00+00:00") from error
    if moment.tzinfo is None:
        raise RestoreError(f"{target.value!r} has no time zone: append +00:00 or another offset")
    if moment.timestamp() > now:
        raise RestoreError(f"{target.value!r} is in the future: use target latest to restore the newest state")


def can_reach(backup: repository.Backup, target: Target) -> bool:
    """Return whether recovery from a backup can end at the target: a backup is only consistent from its own end on."""
    if target.kind == "time":
        return backup.end_time <= target.seconds
    if target.kind == "lsn":
        return repository.parse_lsn(backup.lsn_stop) <= repository.parse_lsn(target.value)
    return True


TimelinePaths = t.Mapping[int, timelines.TimelinePath]
# A job backs up to one repository after the other; its sets end at most this many seconds apart (pgbackrest_job_hours).
SAME_JOB = 12 * 3600


def list_candidates(
    repositories: t.Iterable[repository.Repository],
    target: Target,
    paths: TimelinePaths,
    version: str,
    label: str = "",
    number: int = 0,
) -> list[repository.Backup]:
    """Return the sets to try, best first: of each repository the newest suitable set, then those that do not need it.

    Sets of another major version are excluded, because PostgreSQL cannot read their data. The full backup of the same
    chain is used when an incremental or differential one is damaged, and the chain before it when the full backup is.
    Both reach the same target through more WAL, except the target immediate.
    """
    chosen: list[tuple[int, repository.Backup]] = []
    for repo in repositories:
        if number in (0, repo.number):
            suitable = list_suitable(repo, target, paths, version, label)
            newest_of_chain = {b.chain: b for b in reversed(suitable)}
            best = sorted(newest_of_chain.values(), key=suitable.index)[:2]
            full = [b for newest in best[:1] for b in suitable if b.label == newest.chain != newest.label]
            chosen += list(enumerate([*best[:1], *full, *best[1:]]))
    return [backup for _rank, backup in sorted(chosen, key=lambda c: (c[0], c[1].damaged, c[1].repository))]


def list_suitable(
    repo: repository.Repository, target: Target, paths: TimelinePaths, version: str, label: str = ""
) -> list[repository.Backup]:
    """Return all sets of a repository that lead to the target, best first."""
    fitting = _fitting(repo, target, label)
    suitable = [b for b in fitting if b.version == version and paths[b.system].may_lead_from(b)]
    return sorted(suitable, key=lambda b: (not b.damaged, paths[b.system].is_known_for(b), b.end_time), reverse=True)


def split_older(
    candidates: t.Sequence[repository.Backup], target: Target
) -> tuple[list[repository.Backup], list[repository.Backup]]:
    """Return the candidates that restore the requested state, and those that restore an older one.

    Every set leads to the same state, except with the target immediate: then a set is its own target.
    """
    newest = max((b.end_time for b in candidates), default=0)
    older = [b for b in candidates if target.kind == "immediate" and b.end_time < newest - SAME_JOB]
    return [b for b in candidates if b not in older], older


def describe_others(backups: t.Iterable[repository.Backup], tried: t.Container[repository.Backup], kind: str) -> str:
    """Describe sets that were not tried, newest first, and how to restore one; empty when there is none."""
    others = sorted((b for b in backups if b not in tried), key=lambda b: b.end_time, reverse=True)[:5]
    if not others:
        return ""
    lines = [f"set {b.label} of repository {b.repository}, which ended at {format_time(b.end_time)}" for b in others]
    first = others[0]
    how = f"-e restore_backup_label={first.label} -e restore_repository={first.repository}"
    loss = ". Commits after the end of the set are then lost" if kind == "immediate" else ""
    return f"Not tried: {'; '.join(lines)}. To restore the first of them, add {how}{loss}"


def _fitting(repo: repository.Repository, target: Target, label: str) -> list[repository.Backup]:
    return [b for b in repo.backups if can_reach(b, target) and label in ("", b.label)]


def explain_no_candidate(
    repositories: t.Sequence[repository.Repository],
    target: Target,
    paths: TimelinePaths,
    version: str,
    label: str,
    number: int,
) -> str:
    """Explain why there is no candidate, for each repository."""
    lines = []
    for repo in repositories:
        if number not in (0, repo.number):
            continue
        fitting = _fitting(repo, target, label)
        if not repo.reachable or not repo.has_stanza:
            lines.append(f"repository {repo.number}: {repo.message}")
        elif not repo.backups:
            lines.append(f"repository {repo.number} has no backup")
        elif fitting:
            newest = max(fitting, key=lambda b: (b.version == version, b.end_time))
            explanation = (
                paths[newest.system].explain_mismatch(newest)
                if newest.version == version
                else _explain_other_version(newest, version)
            )
            lines.append(f"repository {repo.number} has no set that leads to the target: {explanation}")
        else:
            missing = f"set {label}" if label else f"set that ends before {target.kind} {target.value}"
            oldest = min(repo.backups, key=lambda b: b.end_time)
            lines.append(
                f"repository {repo.number} has no {missing}; its oldest set ended at {format_time(oldest.end_time)}"
            )
    return "; ".join(lines) or f"there is no repository {number}"


def _explain_other_version(backup: repository.Backup, version: str) -> str:
    return (
        f"set {backup.label} is of PostgreSQL {backup.version}, whose data {version} cannot read: restore it on a host "
        f'with database_version: "{backup.version}"'
    )


def format_time(seconds: float) -> str:
    """Format seconds since 1970 as a UTC time."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S+00:00")


def describe_missing_space(size: int, free: int, where: str) -> str:
    """Describe the lack of space for a second copy; empty when it fits. `size` and `free` are bytes."""
    needed = size + size // 10 + SPARE
    if free >= needed:
        return ""
    return (
        f"{where} has {free >> 20} MB free, but the copy next to the old cluster needs {needed >> 20} MB: free some "
        "space, or use mode delta, which overwrites the old files and keeps no copy of them"
    )


def describe_loss(target: Target, last_commit: float | None, replayed: str, old: t.Mapping[str, t.Any]) -> str:
    """Describe the loss from the last replayed commit (seconds since 1970) and LSN, and the end of the old cluster."""
    restored = f"The last restored commit is of {format_time(last_commit)}" if last_commit else "No commit was replayed"
    if target.kind == "time":
        gap = f", {target.seconds - last_commit:.0f} s before the target" if last_commit else ""
        more = (
            f", until the old cluster was shut down {old['time'] - target.seconds:.0f} s later,"
            if old.get("clean")
            else ""
        )
        return f"{restored}{gap}; commits after the target{more} are not restored, as requested."
    if target.kind != "latest":
        return f"{restored}; commits after the target are not restored, as requested."
    if old.get("lsn") and not old.get("clean"):
        return f"{restored}. The old cluster had crashed: its pg_wal may contain WAL that was not archived."
    if old.get("lsn") and repository.parse_lsn(replayed) + HEADER < repository.parse_lsn(old["lsn"]):
        if last_commit:
            return (
                f"{restored}; the old cluster was shut down {old['time'] - last_commit:.0f} s later: commits of this "
                "time may be lost."
            )
        return f"{restored}; the old cluster ended at {old['lsn']}, the restored one ends at {replayed}."
    if old.get("lsn"):
        return f"{restored}. Nothing is lost: the old cluster ended at {old['lsn']}, all WAL was replayed ({replayed})."
    return f"{restored}. All archived WAL is restored; WAL that the lost cluster had not archived is lost."
