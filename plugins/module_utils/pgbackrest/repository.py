# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Parse `pgbackrest info --output=json`: the backups and archives in each repository. Pure functions without I/O."""

from __future__ import annotations

import dataclasses
import json
import re
import typing as t

OK, NO_BACKUPS, OTHER = 0, 2, 99  # status codes of a repository; with any other code, the stanza does not exist
# pgBackRest does not compare the passphrase itself; it prints what it decrypted with it.
UNDECIPHERABLE = re.compile(r"(?:CryptoError|FormatError)\] unable to load info file")
SEGMENT = 16 << 20  # bytes of a WAL segment; PostgreSQL's default, which Debian uses


@dataclasses.dataclass(frozen=True)
class Backup:
    """One backup set in one repository."""

    repository: int
    label: str
    kind: str  # full | diff | incr
    end_time: int  # end of the backup, in seconds since 1970
    size: int  # bytes of the restored cluster
    stored: int  # bytes that the backup added to the repository
    lsn_stop: str
    system: int  # system identifier of the cluster
    version: str  # PostgreSQL's major version
    wal: tuple[str, str]  # first and last WAL segment that make the backup consistent
    damaged: bool  # pages failed their checksum during the backup
    complete: bool = False  # a yearly backup whose WAL was copied to its own repository

    @property
    def chain(self) -> str:
        """The label of the full backup that it depends on."""
        return self.label.partition("_")[0]

    @property
    def timeline(self) -> int:
        """The timeline at the end of the backup."""
        return int(self.wal[1][:8], 16)


@dataclasses.dataclass(frozen=True)
class Archive:
    """The WAL of one cluster in one repository."""

    repository: int
    name: str  # directory in the stanza's archive, such as 17-1
    system: int
    newest_wal: str  # newest segment of the highest timeline


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
        """Whether the content of the repository could be read."""
        return self.code != OTHER

    @property
    def has_stanza(self) -> bool:
        """Whether the stanza exists in the repository."""
        return self.code in (OK, NO_BACKUPS)


def parse_info(text: str, stanza: str) -> list[Repository]:
    """Parse the output of `info`; raise ValueError when it is invalid or does not contain the stanza."""
    # Not strict, because error texts, such as that of a wrong passphrase, contain unescaped line breaks.
    stanzas = [entry for entry in json.loads(text, strict=False) if entry["name"] == stanza]
    if not stanzas:
        raise ValueError(f"pgBackRest reports no stanza {stanza}")
    clusters = {(entry["repo-key"], entry["id"]): entry for entry in stanzas[0]["db"]}
    backups = [_backup(entry, _cluster(entry, clusters)) for entry in stanzas[0]["backup"]]
    archives = [_archive(entry, _cluster(entry, clusters)) for entry in stanzas[0]["archive"]]
    return [
        Repository(
            repo["key"],
            repo["status"]["code"],
            extract_error(repo["status"]["message"]),
            tuple(backup for backup in backups if backup.repository == repo["key"]),
            tuple(archive for archive in archives if archive.repository == repo["key"]),
        )
        for repo in stanzas[0]["repo"]
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


def extract_error(text: str) -> str:
    """Return pgBackRest's first error line and the code and message of S3, without HTTP headers."""
    if UNDECIPHERABLE.search(text):
        return (
            "its content cannot be read with this `cipher_pass`: use the one with which the repository was created, or"
            " another `path` for a new repository. A damaged backup.info or archive.info has the same effect"
        )
    lines = [line.strip() for line in text.strip().splitlines()] or [""]
    begin = max((number for number, line in enumerate(lines) if "ERROR:" in line), default=0)
    head, *more = lines[begin:]
    if head.endswith(":") and more and not more[0].startswith("***"):
        head = f"{head} {more[0]}"
    s3_error = re.search(r"<Code>(.*?)</Code>\s*<Message>(.*?)</Message>", text, re.DOTALL)
    head = re.sub(r"^[-\d :.]+P\d\d\s+", "", head).rstrip(":")
    return f"{head}: {s3_error[1]}: {s3_error[2]}" if s3_error else head


def parse_lsn(text: str) -> int:
    """Return an LSN as a number of bytes."""
    high, _slash, low = text.partition("/")
    return (int(high, 16) << 32) + int(low, 16)


def segment_start(name: str) -> int:
    """Return the LSN at which a WAL segment starts, as a number of bytes."""
    return (int(name[8:16], 16) << 32) + int(name[16:24], 16) * SEGMENT


def list_segments(first: str, last: str) -> list[str]:
    """Return the names of the WAL segments from the first to the last, on one timeline."""
    per_log_file = 0x100000000 // SEGMENT
    numbers = range(segment_start(first) // SEGMENT, segment_start(last) // SEGMENT + 1)
    return [f"{first[:8]}{number // per_log_file:08X}{number % per_log_file:08X}" for number in numbers]


def find_latest(backups: t.Iterable[Backup], kind: str) -> Backup | None:
    """Return the newest backup of a kind, or None."""
    return max((b for b in backups if b.kind == kind), key=lambda b: b.end_time, default=None)
