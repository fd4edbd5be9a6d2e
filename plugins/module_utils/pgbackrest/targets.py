# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where a restore is to end, which backups can lead there, and what was lost; everything here is pure."""

from __future__ import annotations

import dataclasses
import datetime
import re
import typing as t

from . import repository, timelines

KINDS = ("latest", "time", "lsn", "name", "immediate")
SPARE = 1 << 30  # bytes for WAL beside the data
# A clean shutdown ends the last segment and then writes its checkpoint, first in the next: nothing else is in that one.
HEADER = 0x28
LSN = re.compile(r"[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}")
NAME = re.compile(r"[^\x00-\x1f'\\]{1,63}")


class Impossible(Exception):
    """A restore that cannot be begun, in words for its operator."""


@dataclasses.dataclass(frozen=True)
class Target:
    """Where recovery ends: a kind, and for most its value."""

    kind: str = "latest"
    value: str = ""

    @property
    def seconds(self) -> float:
        """A time target in seconds since 1970."""
        return datetime.datetime.fromisoformat(self.value).timestamp()

    @property
    def text(self) -> str:
        """The target as PostgreSQL takes it; a time in UTC, so that no time zone's setting matters."""
        if self.kind != "time":
            return self.value
        moment = datetime.datetime.fromtimestamp(self.seconds, datetime.UTC)
        return moment.strftime("%Y-%m-%d %H:%M:%S.%f+00")

    def arguments(self, timeline: str) -> list[str]:
        """Return pgBackRest's arguments. Nothing promotes by itself: the end is proven first."""
        if self.kind == "immediate":
            return ["--type=immediate", "--target-action=pause"]
        follow = f"--target-timeline={timeline}"
        if self.kind == "latest":
            return ["--type=standby", follow]
        return [f"--type={self.kind}", f"--target={self.text}", follow, "--target-action=pause"]


def target(kind: str, value: str, now: float) -> Target:
    """Return a target, or raise what is wrong with it."""
    if kind not in KINDS:
        raise Impossible(f"target {kind!r} is none of {', '.join(KINDS)}")
    if bool(value) == (kind in ("latest", "immediate")):
        raise Impossible(f"target {kind} takes {'no value' if value else 'a value'}")
    found = Target(kind, value)
    if kind == "time":
        _check_time(found, now)
    if kind == "lsn" and not LSN.fullmatch(value):
        raise Impossible(f"{value!r} is no position in the WAL, such as 0/3000028")
    if kind == "name" and not NAME.fullmatch(value):
        raise Impossible(f"{value!r} is no name of a restore point")
    return found


def timeline(text: str, kind: str) -> int | None:
    """Return the timeline to follow to a target, or raise what is wrong with it."""
    if kind == "immediate":
        if text:
            raise Impossible("target immediate takes no timeline: a set ends on its own")
        return timelines.CURRENT
    try:
        return timelines.given(text)
    except ValueError as error:
        raise Impossible(f"{text!r} is no timeline: a number, current or latest") from error


def _check_time(found: Target, now: float) -> None:
    try:
        moment = datetime.datetime.fromisoformat(found.value)
    except ValueError as error:
        raise Impossible(f"{found.value!r} is no time, such as 2026-03-01 12:30:00+00:00") from error
    if moment.tzinfo is None:
        raise Impossible(f"{found.value!r} names no time zone: write +00:00 behind it, or another offset")
    if moment.timestamp() > now:
        raise Impossible(f"{found.value!r} lies in the future; to the newest that there is: target latest")


def fits(backup: repository.Backup, wanted: Target) -> bool:
    """Tell whether recovery from a backup can end at the target: a backup is not consistent before its own end."""
    if wanted.kind == "time":
        return backup.stopped <= wanted.seconds
    if wanted.kind == "lsn":
        return repository.lsn(backup.lsn_stop) <= repository.lsn(wanted.value)
    return True


Courses = t.Mapping[int, timelines.Course]


def candidates(
    repositories: t.Iterable[repository.Repository],
    wanted: Target,
    courses: Courses,
    version: str,
    label: str = "",
    number: int = 0,
) -> list[repository.Backup]:
    """Return the sets to try, the best first: from each repository the newest that fits, then the chain before it.

    The programs of a major version read the data of no other, so what was backed up before an upgrade leads nowhere.
    An older chain leads to the same end through more WAL, and is what is left when the newest full backup is damaged.
    """
    chosen: list[tuple[int, repository.Backup]] = []
    for repo in repositories:
        if number in (0, repo.number):
            fitting = _fitting(repo, wanted, label)
            sets = [b for b in fitting if b.version == version and courses[b.system].leads(b)]
            sets.sort(key=lambda b: (not b.damaged, courses[b.system].known(b), b.stopped), reverse=True)
            newest_of_chain = {b.chain: b for b in reversed(sets)}
            best = sorted(newest_of_chain.values(), key=sets.index)[:2]
            chosen += list(enumerate(best))
    return [backup for _rank, backup in sorted(chosen, key=lambda c: (c[0], c[1].damaged, c[1].repository))]


def _fitting(repo: repository.Repository, wanted: Target, label: str) -> list[repository.Backup]:
    return [b for b in repo.backups if fits(b, wanted) and label in ("", b.label)]


def why_none(
    repositories: t.Sequence[repository.Repository],
    wanted: Target,
    courses: Courses,
    version: str,
    label: str,
    number: int,
) -> str:
    """Say why there is nothing to restore from."""
    lines = []
    for repo in repositories:
        if number not in (0, repo.number):
            continue
        fitting = _fitting(repo, wanted, label)
        if not repo.reachable or not repo.has_stanza:
            lines.append(f"repository {repo.number}: {repo.message}")
        elif not repo.backups:
            lines.append(f"repository {repo.number} holds no backup")
        elif fitting:
            newest = max(fitting, key=lambda b: (b.version == version, b.stopped))
            detour = courses[newest.system].detour(newest) if newest.version == version else _foreign(newest, version)
            lines.append(f"repository {repo.number} holds no set on the way: {detour}")
        else:
            what = f"set {label}" if label else f"set that ends before {wanted.kind} {wanted.value}"
            oldest = min(repo.backups, key=lambda b: b.stopped)
            lines.append(f"repository {repo.number} holds no {what}; its oldest ended {clock(oldest.stopped)}")
    return "; ".join(lines) or f"there is no repository {number}"


def _foreign(backup: repository.Backup, version: str) -> str:
    return (
        f"set {backup.label} is of PostgreSQL {backup.version}, whose data {version} cannot read: restore it on a host "
        f'with database_version: "{backup.version}"'
    )


def clock(seconds: float) -> str:
    """Return a moment to the second, in UTC."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S+00:00")


def lack_of_space(size: int, free: int, where: str) -> str:
    """Say that a second copy does not fit, or nothing."""
    need = size + size // 10 + SPARE
    if free >= need:
        return ""
    return (
        f"{where} has {free >> 20} MB free, the restored cluster beside the old one needs {need >> 20}: make room, or "
        "restore over the old files with mode delta, which keeps nothing of them"
    )


def lost(wanted: Target, last_commit: float | None, replayed: str, old: t.Mapping[str, t.Any]) -> str:
    """Say what is gone, to the second, from the last commit that was replayed and the end of the old cluster."""
    until = f"The last commit that is there is of {clock(last_commit)}" if last_commit else "No commit was replayed"
    if wanted.kind == "time":
        gap = f", {wanted.seconds - last_commit:.0f} s before the target" if last_commit else ""
        more = (
            f", until the old cluster was shut down {old['time'] - wanted.seconds:.0f} s later,"
            if old.get("clean")
            else ""
        )
        return f"{until}{gap}; what was committed after the target{more} is not there, as was asked."
    if wanted.kind != "latest":
        return f"{until}; what was committed after the target is not there, as was asked."
    if old.get("lsn") and not old.get("clean"):
        return f"{until}. The old cluster had crashed: look in its pg_wal for what it had not yet archived."
    if old.get("lsn") and repository.lsn(replayed) + HEADER < repository.lsn(old["lsn"]):
        if last_commit:
            return (
                f"{until}; the old cluster was shut down {old['time'] - last_commit:.0f} s later: so much may be lost."
            )
        return f"{until}; the old cluster went on until {old['lsn']}, the restored one ends at {replayed}."
    if old.get("lsn"):
        return f"{until}. Nothing is lost: the old cluster ended at {old['lsn']}, all of it was replayed ({replayed})."
    return f"{until}. All that was archived is there; what the lost cluster had not yet archived is not."
