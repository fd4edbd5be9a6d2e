# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a restore is a proof: pure functions from what the tools wrote to a list of problems.

Exit codes are not trusted alone: each tool ends with 0 in cases in which its backup is damaged or nothing was restored.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import re
import typing as t

from .settings import Failed

GIB = 1 << 30
# Below this share of free space, the host's own programs would suffer.
RESERVE = 0.05
WEEK = 7 * 86400


def disk(need: int, free: int, total: int) -> list[str]:
    """Say when a restore of so many bytes would not leave the host room."""
    # Write-ahead log and sorting come on top of the files.
    wanted = int(need * 1.1) + GIB + int(total * RESERVE)
    if free >= wanted:
        return []
    return [
        f"disk: {amount(wanted)} have to be free for the restore, {amount(free)} are; enlarge the disk of the scratch"
    ]


def amount(count: float) -> str:
    """Return a number of bytes for people."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


# PostgreSQL


@dataclasses.dataclass(frozen=True)
class BackupSet:
    """The newest set of a repository, and how far its archive goes."""

    label: str
    bytes: int
    finished: float
    wal_max: str


def newest_set(info: str, repository: int) -> BackupSet:
    """Read pgBackRest's info of one repository."""
    try:
        stanza = json.loads(info)[0]
    except (ValueError, IndexError) as error:
        raise Failed(f"pgbackrest info told nothing: {info.strip()[-500:]}") from error
    backups = [entry for entry in stanza.get("backup", []) if entry["database"]["repo-key"] == repository]
    if not backups:
        told = [entry["status"]["message"] for entry in stanza.get("repo", []) if entry["key"] == repository]
        raise Failed(f"the repository holds no backup: {'; '.join(told) or 'it does not answer'}")
    backup = max(backups, key=lambda entry: entry["timestamp"]["stop"])
    if backup.get("error"):
        raise Failed(f"set {backup['label']} was taken from a cluster with wrong page checksums")
    archives = [
        entry["max"] or ""
        for entry in stanza["archive"]
        if entry["database"] == backup["database"] and entry.get("max")
    ]
    if not archives:
        raise Failed(f"the repository holds set {backup['label']} but no write-ahead log")
    return BackupSet(backup["label"], backup["info"]["size"], backup["timestamp"]["stop"], max(archives))


def control(text: str, name: str) -> int:
    """Return a number that pg_controldata names."""
    match = re.search(rf"^{re.escape(name)}:\s+([0-9]+)$", text, re.MULTILINE)
    if not match:
        raise Failed(f"pg_controldata does not tell {name!r}")
    return int(match[1])


def recovered(log: str, history: str, wal_max: str, segment_bytes: int) -> list[str]:
    """Say when recovery ended before the archive did; PostgreSQL takes any failure to fetch for the archive's end."""
    found = [
        f"write-ahead log: {line}" for line in dict.fromkeys(re.findall(r"^P[0-9]+ +(ERROR: .*)$", log, re.MULTILINE))
    ]
    ends = re.findall(r"^\s*([0-9]+)\s+([0-9A-F]+)/([0-9A-F]+)", history, re.MULTILINE)
    if not ends:
        return [*found, "recovery did not end: there is no new timeline"]
    timeline, high, low = ends[-1]
    # The byte before the end lies in the last segment that was read.
    reached = (int(timeline), ((int(high, 16) << 32) + int(low, 16) - 1) // segment_bytes)
    wanted = (int(wal_max[:8], 16), int(wal_max[8:16], 16) * (0x100000000 // segment_bytes) + int(wal_max[16:24], 16))
    if reached < wanted:
        found.append(
            f"write-ahead log: the archive goes up to {wal_max}, recovery to {high}/{low} of timeline {timeline}: "
            "a segment between is missing or damaged"
        )
    return found


def last_words(log: str) -> str:
    """Return why a PostgreSQL that did not come up did not."""
    lines = [line for line in log.splitlines() if re.search(r"\b(ERROR|FATAL|PANIC):|^P[0-9]+ ", line)]
    told = [line for line in lines if "the database system is" not in line]
    return "; ".join(told[-4:]) or log.strip()[-300:]


@dataclasses.dataclass(frozen=True)
class Marker:
    """A row of vise.backup_marker; times are microseconds since 1970."""

    id: int
    written_us: int
    payload: str
    previous: str
    sha256: str


def seal(previous: str, number: int, written_us: int, payload: str) -> str:
    """Return the hash of a marker; the host's SQL makes the same."""
    return hashlib.sha256(f"{previous}|{number}|{written_us}|{payload}".encode()).hexdigest()


def markers(rows: t.Iterable[t.Sequence[str]]) -> list[Marker]:
    """Read the rows as psql writes them."""
    return [Marker(int(row[0]), int(row[1]), row[2], row[3], row[4]) for row in rows]


def chain(rows: t.Sequence[Marker]) -> list[str]:
    """Say which markers are not what was written; the oldest one hangs on a row that was trimmed."""
    found = []
    for before, row in zip((None, *rows), rows):  # noqa: B905 (one more on purpose)
        if seal(row.previous, row.id, row.written_us, row.payload) != row.sha256:
            found.append(f"marker {row.id} was changed after it was written")
        if before and (row.previous != before.sha256 or row.id != before.id + 1):
            found.append(f"the chain of markers is broken between {before.id} and {row.id}")
    return [*found[:5], f"{len(found) - 5} more"] if len(found) > 5 else found


def rpo(rows: t.Sequence[Marker], moment: float, limit: int) -> tuple[float | None, list[str]]:
    """Return how many seconds would have been lost at that moment, and what is wrong with that."""
    if not rows:
        return None, ["RPO cannot be measured: there are no markers; does vise-backup-marker.timer run on the primary?"]
    age = max(0.0, moment - rows[-1].written_us / 1e6)
    if age <= limit:
        return age, []
    return age, [
        f"RPO: the newest marker is {age:.0f} s old, allowed are {limit} s: {age - limit:.0f} s too much would be lost"
    ]


def amcheck(status: int, out: str, err: str) -> tuple[int, list[str]]:
    """Return how many relations pg_amcheck has read, and what it found."""
    progress = re.findall(
        r"^\s*([0-9]+)/([0-9]+) relations \(100%\), *([0-9]+)/([0-9]+) pages \(100%\)", err, re.MULTILINE
    )
    told = [line.strip() for line in out.splitlines() if line.strip()]
    told += errors(err)
    count = int(progress[-1][0]) if progress else 0
    if status or told:
        return count, [f"pg_amcheck: {'; '.join(told[:4]) or f'exit {status}'}"]
    return count, [] if count else ["pg_amcheck: it has not read everything"]


def errors(err: str) -> list[str]:
    """Return what a client of PostgreSQL complains about; the server's warnings to every client are none of it."""
    quiet = re.compile(r"WARNING:|DETAIL:|HINT:|NOTICE:|.* relations \([0-9 ]+%\)")
    return [line.strip() for line in err.splitlines() if line.strip() and not quiet.match(line.strip())]


def checksums(status: int, out: str, err: str) -> tuple[int, list[str]]:
    """Return how many blocks pg_checksums has read, and what it found."""
    numbers = {name: int(count) for name, count in re.findall(r"^([A-Z][a-z ]+):\s+([0-9]+)$", out, re.MULTILINE)}
    blocks = numbers.get("Blocks scanned", 0)
    if status or not blocks or numbers.get("Bad checksums") != 0:
        return blocks, [f"pg_checksums: {'; '.join(err.strip().splitlines()[:4]) or out.strip() or f'exit {status}'}"]
    return blocks, []


# restic


@dataclasses.dataclass(frozen=True)
class Count:
    """Regular files, and the bytes in them."""

    files: int = 0
    bytes: int = 0


def messages(text: str) -> list[dict[str, t.Any]]:
    """Read restic's JSON, a message a line; what is no JSON is a message too."""
    found = []
    for line in filter(None, map(str.strip, text.splitlines())):
        try:
            message = json.loads(line)
        except ValueError:
            message = line
        found.append(message if isinstance(message, dict) else {"message_type": "text", "message": str(message)})
    return found


def complaints(told: t.Iterable[t.Mapping[str, t.Any]]) -> list[str]:
    """Return the errors among restic's messages, each as one line."""
    found = []
    for message in told:
        if message.get("message_type") in ("error", "exit_error", "text"):
            detail = message.get("error", {}).get("message") or message.get("message", "")
            where = f"{message['item']}: " if message.get("item") else ""
            found.append(f"{where}{' '.join(str(detail).split())}"[:300])
    return found


def newest_snapshot(status: int, out: str, err: str) -> tuple[str, float]:
    """Return the id and time of the newest of some snapshots."""
    try:
        found = max(json.loads(out) or [], key=lambda snapshot: seconds(snapshot["time"]))
    except ValueError as error:
        if status or out.strip() not in ("", "[]", "null"):
            reason = "; ".join(complaints(messages(err or out))[:3]) or f"exit {status}"
            raise Failed(f"snapshots cannot be read: {reason}") from error
        raise Failed("there is no snapshot") from error
    return found["id"], seconds(found["time"])


def seconds(text: str) -> float:
    """Return a time of restic's, which has nanoseconds, in seconds since 1970."""
    whole, _dot, rest = text.partition(".")
    zone = re.search(r"(Z|[+-][0-9:]+)$", rest or text)
    plain = whole if rest else whole.removesuffix(zone[1] if zone else "")
    moment = datetime.datetime.fromisoformat(plain + ("+00:00" if not zone or zone[1] == "Z" else zone[1]))
    return moment.timestamp() + float("0." + (re.match(r"[0-9]*", rest) or ("0",))[0] if rest else 0)


def listed(status: int, out: str, err: str) -> Count:
    """Return what a snapshot holds by its own list."""
    told = messages(out)
    if status or not told:
        raise Failed(
            f"the list of files cannot be read: {'; '.join(complaints(messages(err))[:3]) or f'exit {status}'}"
        )
    files = [node for node in told if node.get("struct_type") == "node" and node.get("type") == "file"]
    return Count(len(files), sum(node.get("size", 0) for node in files))


def restored(status: int, out: str, err: str, wanted: Count, found: Count) -> list[str]:
    """Say what is wrong with the restored files."""
    told = messages(out) + messages(err)
    problems = complaints(told)[:4]
    summary = next((message for message in told if message.get("message_type") == "summary"), {})
    if summary.get("files_restored") != summary.get("total_files") or "total_files" not in summary:
        problems.append(
            f"restic restored {summary.get('files_restored', 0)} of {summary.get('total_files', '?')} entries"
        )
    if found != wanted:
        problems.append(
            f"the snapshot lists {wanted.files} files with {wanted.bytes} bytes, "
            f"restored were {found.files} with {found.bytes}"
        )
    if not wanted.files:
        problems.append("the snapshot holds no file")
    return problems or ([f"exit {status}"] if status else [])


def read_back(status: int, out: str, err: str) -> list[str]:
    """Say what a check that read packs has found."""
    told = messages(out) + messages(err)
    summary = next((message for message in told if message.get("message_type") == "summary"), None)
    problems = [text for text in complaints(told) if "pack" in text or "Fatal" in text][:3]
    if summary is None:
        return problems or [f"restic check told nothing, exit {status}"]
    if summary.get("num_errors") or summary.get("broken_packs") or status:
        return problems or [f"restic check found {summary.get('num_errors')} errors, exit {status}"]
    return []


def part(moment: float, parts: int) -> int:
    """Return which part of the packs is read this week, counted from 1; after ``parts`` weeks all were."""
    return int(moment // WEEK) % parts + 1


# Redis


def dump_keys(status: int, out: str) -> tuple[int, list[str]]:
    """Return how many keys redis-check-rdb has read, and what it found."""
    match = re.search(r"\[info\] ([0-9]+) keys read", out)
    keys = int(match[1]) if match else 0
    if status or not match or "RDB looks OK!" not in out:
        lines = [
            line
            for line in out.splitlines()
            if re.search("error|unexpected|wrong|short|while doing", line, re.IGNORECASE)
        ]
        return keys, [f"redis-check-rdb: {'; '.join(lines[:3]) or out.strip()[-200:] or f'exit {status}'}"]
    return keys, []


def keys(in_dump: int, loaded: int, recorded: int | None) -> list[str]:
    """Compare what the dump holds, what a Redis loads from it, and what was counted when it was made."""
    found = []
    if loaded != in_dump:
        found.append(f"Redis loads {loaded} keys of {in_dump}")
    if recorded is not None and in_dump != recorded:
        found.append(f"the dump holds {in_dump} keys, {recorded} were counted when it was made")
    if recorded is None and not in_dump:
        found.append("the dump holds no key")
    return found


def first_number(text: str) -> int:
    """Return the number that a record of counted keys holds."""
    match = re.search("[0-9]+", text)
    if not match:
        raise Failed(f"the record of counted keys holds no number: {text.strip()[:80]!r}")
    return int(match[0])
