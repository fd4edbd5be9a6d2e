# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Arguments for restic and the meaning of its output: pure functions, testable without restic or a repository."""

from __future__ import annotations

import dataclasses
import datetime
import json
import re
import typing as t

from ..host import programs
from .repository import Repository

# restic's exit codes, and the one of a program that was terminated after its time limit.
UNREADABLE, NO_REPOSITORY, LOCKED, WRONG_PASSWORD, NO_ANSWER = 3, 10, 11, 12, programs.TIMED_OUT
DENIED = ("Access Denied", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "Forbidden")
REASONS = {
    NO_REPOSITORY: "the repository does not exist (any more)",
    LOCKED: "another process has locked the repository: `vise-restic with NAME list locks` shows the lock",
    WRONG_PASSWORD: "the password does not belong to the repository",
}
FULL_ID = re.compile(r"[0-9a-f]{8,64}")
# Backups of the same night in several repositories differ by less than this.
SAME_NIGHT = datetime.timedelta(hours=12)


@dataclasses.dataclass(frozen=True)
class Command:
    """A command that runs before or after a backup."""

    argv: tuple[str, ...]
    limit: int = 600  # seconds


@dataclasses.dataclass(frozen=True)
class BackupSet:
    """A set of paths that are backed up together."""

    name: str
    paths: tuple[str, ...]
    excludes: tuple[str, ...] = ()
    before: tuple[Command, ...] = ()
    after: tuple[Command, ...] = ()


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings that the role writes on the host."""

    host: str
    sets: t.Mapping[str, BackupSet]
    repositories: t.Mapping[str, Repository]
    pruned: t.Mapping[str, Repository]
    keep: t.Mapping[str, str]
    check_days: int = 30
    answer_seconds: int = 120
    ca_file: str = ""

    @classmethod
    def from_json(
        cls, data: dict[str, t.Any], repositories: list[dict[str, str]], pruned: list[dict[str, str]]
    ) -> Settings:
        """Build the settings from the content of the three files."""
        return cls(
            host=data["host"],
            sets={entry["name"]: _set(entry) for entry in data["sets"]},
            repositories={entry["name"]: Repository(**entry) for entry in repositories},
            pruned={entry["name"]: Repository(**entry) for entry in pruned},
            keep=data["keep"],
            check_days=data["check_days"],
            answer_seconds=data["answer_seconds"],
            ca_file=data["ca_file"],
        )


def _set(entry: dict[str, t.Any]) -> BackupSet:
    def commands(key: str) -> tuple[Command, ...]:
        return tuple(Command(tuple(one["argv"]), int(one.get("limit", 600))) for one in entry.get(key, []))

    return BackupSet(
        entry["name"], tuple(entry["paths"]), tuple(entry.get("excludes", [])), commands("before"), commands("after")
    )


def build_environment(repository: Repository, ca_file: str) -> dict[str, str]:
    """Return restic's environment in a job: the repository, the cache directory and the interval of progress output."""
    return {
        **repository.environment(ca_file),
        "RESTIC_CACHE_DIR": "/var/cache/vise-restic",
        "RESTIC_PROGRESS_FPS": "0.016666",
    }


def describe_failure(code: int, stderr: str) -> str:
    """Describe why restic failed, from its exit code and standard error."""
    lines = [line for line in stderr.splitlines() if line.strip()]
    if any(mark in stderr for mark in DENIED):
        return "the key or its secret is wrong, or lacks the permission (access denied)"
    if code == NO_ANSWER:
        tries = [line for line in lines if "retrying" in line] or lines
        # The last line is about the time limit, unless restic tried several times.
        return (
            f"no usable answer in time; check the address, the region and the network. {' '.join(tries[-2:])}".strip()
        )
    return REASONS.get(code, f"restic ended with exit code {code}: {' | '.join(lines[-5:])}")


def backup_arguments(name: str, host: str, paths: t.Sequence[str], excludes: t.Sequence[str]) -> list[str]:
    """Return restic's arguments for a backup of a set."""
    patterns = [f"--exclude={pattern}" for pattern in excludes]
    fixed = ["backup", "--json", "--quiet", "--retry-lock=2h", f"--host={host}", f"--tag={name}"]
    return [*fixed, "--group-by=host,tags", *patterns, "--", *paths]


def forget_arguments(keep: t.Mapping[str, str]) -> list[str]:
    """Return restic's arguments for a retention, which is counted separately for each host and set."""
    rules = [f"--keep-{name}={value}" for name, value in sorted(keep.items())]
    return ["forget", "--json", "--retry-lock=2h", "--group-by=host,tags", *rules]


def parse_summary(output: str) -> dict[str, t.Any]:
    """Return the JSON summary in restic's output; empty when there is none."""
    summary: dict[str, t.Any] = {}
    for line in output.splitlines():
        if line.startswith("{") and '"summary"' in line:
            summary = json.loads(line)
    return summary


def compute_room(restored: int, unique: int, blobs: int) -> int:
    """Return the bytes that restored files allocate at most, from three of restic's counts of a snapshot.

    Args:
        restored: size of the files, with hard links counted once (mode restore-size).
        unique: size of the files with different content (mode files-by-contents).
        blobs: the same, with equal parts of a file counted once (mode blobs-per-file). Holes are such parts.
    """
    return max(0, restored - max(0, unique - blobs))


def format_bytes(count: float) -> str:
    """Format a number of bytes with a unit."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def parse_removals(output: str) -> set[str]:
    """Return the ids of the snapshots that restic forget reports as removed."""
    groups = json.loads(output or "[]")
    return {one["id"] for group in groups for one in group.get("remove") or []}


def first_parts(days: int, today: int) -> dict[str, int]:
    """Return the initial days of reading of all parts, so that one part becomes due each day. Days since 1970."""
    return {str(part): today - days + part - 1 for part in range(1, days + 1)}


def due_parts(read: t.Mapping[str, int], days: int, today: int) -> list[int]:
    """Return the parts that were not read for `days` days, the longest waiting ones first.

    After a time off, several parts are due. A damaged part stays due and does not delay the others.
    """
    known = read if len(read) == days else first_parts(days, today)
    return sorted((int(part) for part, day in known.items() if today - day >= days), key=lambda n: (known[str(n)], n))


def parse_time(text: str) -> datetime.datetime:
    """Parse a time of restic or of an operator; without a time zone it is UTC."""
    # restic writes nanoseconds, Python parses microseconds.
    found = datetime.datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
    return found if found.tzinfo else found.replace(tzinfo=datetime.UTC)


def classify_snapshot(name: str) -> str:
    """Return the kind of a snapshot's name: latest, id or time; raise ValueError for another text."""
    if name == "latest":
        return "latest"
    if FULL_ID.fullmatch(name):
        return "id"
    try:
        parse_time(name)
    except ValueError as error:
        raise ValueError(
            f"{name!r} is neither latest, an id of 8 or more hexadecimal digits, nor a time such as 2026-03-01T02:00"
        ) from error
    return "time"


def choose_snapshot(snapshots: t.Iterable[dict[str, t.Any]], name: str) -> dict[str, t.Any] | None:
    """Return the snapshot for latest, an id, or a time (the last one before it); None when there is none."""
    ordered = sorted(snapshots, key=lambda one: parse_time(one["time"]))
    kind = classify_snapshot(name)
    if kind == "latest":
        return ordered[-1] if ordered else None
    if kind == "id":
        return next((one for one in ordered if one["id"].startswith(name)), None)
    until = parse_time(name)
    return next((one for one in reversed(ordered) if parse_time(one["time"]) <= until), None)


def list_candidates(found: t.Mapping[str, list[dict[str, t.Any]]], text: str) -> list[tuple[str, dict[str, t.Any]]]:
    """Return pairs of repository and snapshot in the order in which to try them, best first.

    An id exists in only one repository; for the others, the snapshot nearest in time is used.
    """
    candidates = [(name, one) for name, snapshots in found.items() if (one := choose_snapshot(snapshots, text))]
    candidates.sort(key=lambda pair: parse_time(pair[1]["time"]), reverse=True)
    if candidates and classify_snapshot(text) == "id":
        target_time = parse_time(candidates[0][1]["time"])
        for name, snapshots in found.items():
            if snapshots and name not in dict(candidates):
                candidates.append((name, min(snapshots, key=lambda one: abs(parse_time(one["time"]) - target_time))))
    return candidates


def list_older(
    found: t.Mapping[str, list[dict[str, t.Any]]], candidates: t.Sequence[tuple[str, dict[str, t.Any]]]
) -> list[tuple[str, dict[str, t.Any]]]:
    """Return pairs of repository and snapshot from before the candidates, newest first."""
    tried = {snapshot["id"] for _name, snapshot in candidates}
    until = max((parse_time(snapshot["time"]) for _name, snapshot in candidates), default=None)
    older = [
        (name, snapshot)
        for name, snapshots in found.items()
        for snapshot in snapshots
        if until and snapshot["id"] not in tried and parse_time(snapshot["time"]) < until
    ]
    return sorted(older, key=lambda pair: parse_time(pair[1]["time"]), reverse=True)


def is_same_night(one: dict[str, t.Any], other: dict[str, t.Any]) -> bool:
    """Return whether two snapshots are of the same night, so that each can stand for the other."""
    return abs(parse_time(one["time"]) - parse_time(other["time"])) < SAME_NIGHT


def update_state(before: dict[str, t.Any], result: str, status: str, now: int) -> dict[str, t.Any]:
    """Return the new state of a job from the result of its unit; `now` is in seconds since 1970."""
    code = int(status) if result == "exit-code" and status.isdigit() else int(result != "success")
    stamp = {"last_failure": now} if code else {"last_success": now}
    return {**before, **stamp, "status": code, "result": result}
