# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What restic is asked and what its answers mean: pure, so that tests need neither restic nor a repository."""

from __future__ import annotations

import dataclasses
import datetime
import json
import re
import typing as t

from .repository import Repository

# restic's own exit codes, and timeout's for a program that had to be ended.
UNREADABLE, NO_REPOSITORY, LOCKED, WRONG_PASSWORD, NO_ANSWER = 3, 10, 11, 12, 124
DENIED = ("Access Denied", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "Forbidden")
REASONS = {
    NO_REPOSITORY: "the repository does not exist (any more)",
    LOCKED: "somebody else has locked the repository: `vise-restic with NAME list locks` says who",
    WRONG_PASSWORD: "the password is not the repository's",
}
FULL_ID = re.compile(r"[0-9a-f]{8,64}")


@dataclasses.dataclass(frozen=True)
class Command:
    """A command before or after a backup."""

    argv: tuple[str, ...]
    limit: int = 600  # seconds


@dataclasses.dataclass(frozen=True)
class BackupSet:
    """Paths that are backed up together."""

    name: str
    paths: tuple[str, ...]
    excludes: tuple[str, ...] = ()
    before: tuple[Command, ...] = ()
    after: tuple[Command, ...] = ()


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the role has written on the host."""

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
        """Build them from the three files."""
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


def environment(repository: Repository, ca_file: str) -> dict[str, str]:
    """Return what a job gives restic: the repository, and where and how it works on this host."""
    return {
        **repository.environment(ca_file),
        "RESTIC_CACHE_DIR": "/var/cache/vise-restic",
        "RESTIC_PROGRESS_FPS": "0.016666",
    }


def reason(code: int, said: str) -> str:
    """Return why restic failed, for a person."""
    lines = [line for line in said.splitlines() if line.strip()]
    if any(mark in said for mark in DENIED):
        return "the key or its secret is refused, or may not do this (access denied)"
    if code == NO_ANSWER:
        tries = [line for line in lines if "retrying" in line] or lines
        return (
            f"no usable answer in time; look at the address, the region and the network. {' '.join(tries[-1:])}".strip()
        )
    return REASONS.get(code, f"restic ended with {code}: {' | '.join(lines[-5:])}")


def backup_arguments(wanted: BackupSet, host: str) -> list[str]:
    """Return the arguments of a backup."""
    excludes = [f"--exclude={pattern}" for pattern in wanted.excludes]
    fixed = ["backup", "--json", "--quiet", "--retry-lock=2h", f"--host={host}", f"--tag={wanted.name}"]
    return [*fixed, "--group-by=host,tags", *excludes, "--", *wanted.paths]


def forget_arguments(keep: t.Mapping[str, str]) -> list[str]:
    """Return the arguments that apply a retention; hosts and sets are each counted alone."""
    rules = [f"--keep-{name}={value}" for name, value in sorted(keep.items())]
    return ["forget", "--json", "--retry-lock=2h", "--group-by=host,tags", *rules]


def summary(output: str) -> dict[str, t.Any]:
    """Return restic's JSON summary among its lines, empty when there is none."""
    found: dict[str, t.Any] = {}
    for line in output.splitlines():
        if line.startswith("{") and '"summary"' in line:
            found = json.loads(line)
    return found


def removals(output: str) -> set[str]:
    """Return the snapshots that forget says it has removed."""
    groups = json.loads(output or "[]")
    return {one["id"] for group in groups for one in group.get("remove") or []}


def first_parts(days: int, today: int) -> dict[str, int]:
    """Return the days on which each part counts as read in a repository that was never checked: one comes due a day."""
    return {str(part): today - days + part - 1 for part in range(1, days + 1)}


def due_parts(read: t.Mapping[str, int], days: int, today: int) -> list[int]:
    """Return the parts that nobody has read for so many days, those that wait longest first.

    A host that was off has several to catch up with; a part that is damaged stays due, and keeps nothing else waiting.
    """
    known = read if len(read) == days else first_parts(days, today)
    return sorted((int(part) for part, day in known.items() if today - day >= days), key=lambda n: (known[str(n)], n))


def moment(text: str) -> datetime.datetime:
    """Read a time as restic or a person writes it; without a zone it is UTC."""
    # restic writes nanoseconds, Python reads microseconds.
    found = datetime.datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
    return found if found.tzinfo else found.replace(tzinfo=datetime.UTC)


def meaning(wanted: str) -> str:
    """Return what a text that names a snapshot is: V(latest), V(id) or V(time); raise when it is none of them."""
    if wanted == "latest":
        return "latest"
    if FULL_ID.fullmatch(wanted):
        return "id"
    try:
        moment(wanted)
    except ValueError as error:
        raise ValueError(
            f"{wanted!r} is neither latest, an id of 8 or more digits, nor a time as 2026-03-01T02:00"
        ) from error
    return "time"


def choose(snapshots: t.Iterable[dict[str, t.Any]], wanted: str) -> dict[str, t.Any] | None:
    """Return the snapshot that is meant by V(latest), an id or a time: the last one before it."""
    ordered = sorted(snapshots, key=lambda one: moment(one["time"]))
    kind = meaning(wanted)
    if kind == "latest":
        return ordered[-1] if ordered else None
    if kind == "id":
        return next((one for one in ordered if one["id"].startswith(wanted)), None)
    until = moment(wanted)
    return next((one for one in reversed(ordered) if moment(one["time"]) <= until), None)


def candidates(found: t.Mapping[str, list[dict[str, t.Any]]], wanted: str) -> list[tuple[str, dict[str, t.Any]]]:
    """Return (repository, snapshot) in the order in which to try them: the best first.

    An id is known to one repository alone; the others follow with the snapshot that is nearest to it in time.
    """
    meant = [(name, one) for name, snapshots in found.items() if (one := choose(snapshots, wanted))]
    meant.sort(key=lambda pair: moment(pair[1]["time"]), reverse=True)
    if meant and meaning(wanted) == "id":
        at = moment(meant[0][1]["time"])
        for name, snapshots in found.items():
            if snapshots and name not in dict(meant):
                meant.append((name, min(snapshots, key=lambda one: abs(moment(one["time"]) - at))))
    return meant


def metrics(labels: t.Mapping[str, str], values: t.Mapping[str, float | None]) -> str:
    """Return the text of a file for node_exporter; without help texts, since several files share the names."""
    shown = ",".join(f'{key}="{value}"' for key, value in labels.items())
    lines = []
    for name, value in values.items():
        if value is not None:
            lines += [f"# TYPE {name} gauge", f"{name}{{{shown}}} {value}"]
    return "\n".join(lines) + "\n"


def after_run(before: dict[str, t.Any], result: str, status: str, now: int) -> dict[str, t.Any]:
    """Return a job's state after systemd says how its unit has ended."""
    code = int(status) if result == "exit-code" and status.isdigit() else int(result != "success")
    stamp = {"last_failure": now} if code else {"last_success": now}
    return {**before, **stamp, "status": code, "result": result}
