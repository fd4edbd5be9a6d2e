# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What pgBackRest's repositories hold, read from `pgbackrest info --output=json`; everything here is pure."""

from __future__ import annotations

import dataclasses
import json
import re
import typing as t

OK, NO_BACKUPS, OTHER = 0, 2, 99  # codes of a repository's status; any other number says that there is no stanza
SEGMENT = 16 << 20  # bytes; PostgreSQL's default, which Debian's clusters have


@dataclasses.dataclass(frozen=True)
class Backup:
    """One set in one repository."""

    repository: int
    label: str
    kind: str  # full | diff | incr
    stopped: int  # seconds since 1970
    size: int  # bytes of the database
    stored: int  # bytes that it added to the repository
    lsn_stop: str
    system: int  # the identifier of the cluster that it is a copy of
    version: str  # PostgreSQL's major version
    wal: tuple[str, str]  # the segments that make it consistent, first and last
    damaged: bool  # whether pages failed their checksum when it was taken
    complete: bool = False  # a yearly that has its WAL beside it

    @property
    def chain(self) -> str:
        """The full backup that it stands on."""
        return self.label.partition("_")[0]

    @property
    def timeline(self) -> int:
        """The timeline on which it was taken."""
        return int(self.wal[1][:8], 16)


@dataclasses.dataclass(frozen=True)
class Archive:
    """The WAL of one cluster in one repository."""

    repository: int
    name: str  # the directory in the stanza's archive, such as 17-1
    system: int
    newest_wal: str  # of the highest timeline


@dataclasses.dataclass(frozen=True)
class Repository:
    """One repository of a stanza."""

    number: int
    code: int
    message: str
    backups: tuple[Backup, ...] = ()
    archives: tuple[Archive, ...] = ()

    @property
    def reachable(self) -> bool:
        """Whether its content could be read."""
        return self.code != OTHER

    @property
    def has_stanza(self) -> bool:
        """Whether the stanza was made in it."""
        return self.code in (OK, NO_BACKUPS)


def parse(text: str, stanza: str) -> list[Repository]:
    """Read the output of `info`; raise ValueError when it is none."""
    # Not strict: the lines of an error, such as that of a wrong passphrase, stand in a text as they are.
    found = [entry for entry in json.loads(text, strict=False) if entry["name"] == stanza]
    if not found:
        raise ValueError(f"pgBackRest knows no stanza {stanza}")
    clusters = {(entry["repo-key"], entry["id"]): entry for entry in found[0]["db"]}
    backups = [_backup(entry, _cluster(entry, clusters)) for entry in found[0]["backup"]]
    archives = [_archive(entry, _cluster(entry, clusters)) for entry in found[0]["archive"]]
    return [
        Repository(
            repo["key"],
            repo["status"]["code"],
            reason(repo["status"]["message"]),
            tuple(backup for backup in backups if backup.repository == repo["key"]),
            tuple(archive for archive in archives if archive.repository == repo["key"]),
        )
        for repo in found[0]["repo"]
    ]


def _cluster(entry: dict[str, t.Any], clusters: dict[tuple[int, int], dict[str, t.Any]]) -> dict[str, t.Any]:
    return clusters[entry["database"]["repo-key"], entry["database"]["id"]]


def _archive(entry: dict[str, t.Any], cluster: dict[str, t.Any]) -> Archive:
    return Archive(entry["database"]["repo-key"], entry["id"], cluster["system-id"], entry["max"] or "")


def _backup(entry: dict[str, t.Any], cluster: dict[str, t.Any]) -> Backup:
    return Backup(
        entry["database"]["repo-key"],
        entry["label"],
        entry["type"],
        entry["timestamp"]["stop"],
        entry["info"]["size"],
        entry["info"]["repository"]["delta"],
        entry["lsn"]["stop"],
        cluster["system-id"],
        cluster["version"],
        (entry["archive"]["start"], entry["archive"]["stop"]),
        bool(entry["error"]),
        entry.get("annotation", {}).get("wal") == "complete",
    )


def reason(text: str) -> str:
    """Return pgBackRest's message without HTTP's headers: its first line, and what S3 answered."""
    lines = [line.strip() for line in text.strip().splitlines()] or [""]
    begin = max((number for number, line in enumerate(lines) if "ERROR:" in line), default=0)
    head, *more = lines[begin:]
    if head.endswith(":") and more and not more[0].startswith("***"):
        head = f"{head} {more[0]}"
    said = re.search(r"<Code>(.*?)</Code>\s*<Message>(.*?)</Message>", text, re.DOTALL)
    head = re.sub(r"^[-\d :.]+P\d\d\s+", "", head).rstrip(":")
    return f"{head}: {said[1]}: {said[2]}" if said else head


def lsn(text: str) -> int:
    """Return a position in the WAL as a number."""
    high, _slash, low = text.partition("/")
    return (int(high, 16) << 32) + int(low, 16)


def segment_start(name: str) -> int:
    """Return the position at which a WAL segment begins."""
    return (int(name[8:16], 16) << 32) + int(name[16:24], 16) * SEGMENT


def segments(first: str, last: str) -> list[str]:
    """Name the WAL segments from the first to the last, on one timeline."""
    each = 0x100000000 // SEGMENT
    numbers = range(segment_start(first) // SEGMENT, segment_start(last) // SEGMENT + 1)
    return [f"{first[:8]}{number // each:08X}{number % each:08X}" for number in numbers]


def latest(backups: t.Iterable[Backup], kind: str) -> Backup | None:
    """Return the newest backup of a kind."""
    return max((b for b in backups if b.kind == kind), key=lambda b: b.stopped, default=None)
