# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Decide whether a restore proves a backup: pure functions from the output of the tools to a list of problems.

Exit codes are not sufficient: each tool exits with 0 in some cases in which its backup is damaged or nothing was
restored.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import re
import typing as t

from ..postgresql import instance
from ..restic import plan
from .settings import ProofError

GIB = 1 << 30
# Share of the disk that stays free for the other programs of the host.
RESERVE = 0.05
WEEK = 7 * 86400
# For so long it counts that a set had files; afterwards it is one that is empty on purpose.
MEMORY = 30 * 86400


def find_disk_problems(need: int, free: int, total: int) -> list[str]:
    """Return a problem when the disk has too little space for a restore of `need` bytes."""
    # WAL and sorting need space in addition to the files.
    needed = int(need * 1.1) + GIB + int(total * RESERVE)
    if free >= needed:
        return []
    return [
        f"disk: the restore needs {plan.format_bytes(needed)}, only {plan.format_bytes(free)} are free; "
        "enlarge the scratch disk"
    ]


# PostgreSQL


@dataclasses.dataclass(frozen=True)
class BackupSet:
    """The newest set of a repository, and the newest WAL segment of its archive."""

    label: str
    bytes: int
    finished: float
    wal_max: str


def parse_newest_set(info: str, repository: int) -> BackupSet:
    """Parse `pgbackrest info` for one repository; raise ProofError when there is no usable set."""
    try:
        stanza = json.loads(info)[0]
    except (ValueError, IndexError) as error:
        raise ProofError(f"pgbackrest info: no usable output: {info.strip()[-500:]}") from error
    backups = [entry for entry in stanza.get("backup", []) if entry["database"]["repo-key"] == repository]
    if not backups:
        statuses = [entry["status"]["message"] for entry in stanza.get("repo", []) if entry["key"] == repository]
        raise ProofError(f"the repository has no backup: {'; '.join(statuses) or 'it does not answer'}")
    backup = max(backups, key=lambda entry: entry["timestamp"]["stop"])
    if backup.get("error"):
        raise ProofError(f"set {backup['label']} was taken from a cluster with wrong page checksums")
    archives = [
        entry["max"] or ""
        for entry in stanza["archive"]
        if entry["database"] == backup["database"] and entry.get("max")
    ]
    if not archives:
        raise ProofError(f"the repository has set {backup['label']} but no write-ahead log")
    return BackupSet(backup["label"], backup["info"]["size"], backup["timestamp"]["stop"], max(archives))


def parse_control_number(text: str, name: str) -> int:
    """Return a number from the output of pg_controldata, by its label; raise ProofError when it is missing."""
    value = instance.parse_controldata(text).get(name, "")
    if not value.isdecimal():
        raise ProofError(f"pg_controldata does not report {name!r}")
    return int(value)


def find_recovery_problems(log: str, history: str, wal_max: str, segment_bytes: int) -> list[str]:
    """Return problems when recovery ended before the archive; PostgreSQL treats a failed fetch as the archive's end."""
    problems = [
        f"write-ahead log: {line}" for line in dict.fromkeys(re.findall(r"^P[0-9]+ +(ERROR: .*)$", log, re.MULTILINE))
    ]
    ends = re.findall(r"^\s*([0-9]+)\s+([0-9A-F]+)/([0-9A-F]+)", history, re.MULTILINE)
    if not ends:
        return [*problems, "recovery did not end: there is no new timeline"]
    timeline, high, low = ends[-1]
    # The byte before the end is in the last segment that was replayed.
    reached = (int(timeline), ((int(high, 16) << 32) + int(low, 16) - 1) // segment_bytes)
    archive_end = (
        int(wal_max[:8], 16),
        int(wal_max[8:16], 16) * (0x100000000 // segment_bytes) + int(wal_max[16:24], 16),
    )
    if reached < archive_end:
        problems.append(
            f"write-ahead log: the archive ends at {wal_max}, recovery at {high}/{low} of timeline {timeline}: "
            "a segment in between is missing or damaged"
        )
    return problems


def extract_errors(log: str) -> str:
    """Return the last errors in the log of a PostgreSQL server."""
    lines = [line for line in log.splitlines() if re.search(r"\b(ERROR|FATAL|PANIC):|^P[0-9]+ ", line)]
    relevant = [line for line in lines if "the database system is" not in line]
    return "; ".join(relevant[-4:]) or log.strip()[-300:]


@dataclasses.dataclass(frozen=True)
class Marker:
    """A row of vise.backup_marker; times are microseconds since 1970."""

    id: int
    written_us: int
    payload: str
    previous: str
    sha256: str


def hash_marker(previous: str, number: int, written_us: int, payload: str) -> str:
    """Return the hash of a marker, as the SQL of the role backup_verify computes it."""
    return hashlib.sha256(f"{previous}|{number}|{written_us}|{payload}".encode()).hexdigest()


def parse_markers(rows: t.Iterable[t.Sequence[str]]) -> list[Marker]:
    """Parse the rows of psql."""
    return [Marker(int(row[0]), int(row[1]), row[2], row[3], row[4]) for row in rows]


def find_marker_problems(rows: t.Sequence[Marker]) -> list[str]:
    """Return problems for changed or missing markers; the row before the oldest marker was trimmed."""
    problems = []
    for before, row in zip((None, *rows), rows):  # noqa: B905 (one more on purpose)
        if hash_marker(row.previous, row.id, row.written_us, row.payload) != row.sha256:
            problems.append(f"marker {row.id} was changed after it was written")
        if before and (row.previous != before.sha256 or row.id != before.id + 1):
            problems.append(f"the chain of markers is broken between {before.id} and {row.id}")
    return [*problems[:5], f"{len(problems) - 5} more"] if len(problems) > 5 else problems


def measure_rpo(rows: t.Sequence[Marker], moment: float, limit: int) -> tuple[float | None, list[str]]:
    """Return the age of the newest marker at a time (None without markers), and problems with the limit. Seconds."""
    if not rows:
        return None, ["RPO cannot be measured without markers: check vise-backup-marker.timer on the primary"]
    age = max(0.0, moment - rows[-1].written_us / 1e6)
    if age <= limit:
        return age, []
    return age, [f"RPO: the newest marker is {age:.0f} s old, the limit is {limit} s: {age - limit:.0f} s over it"]


def parse_amcheck(status: int, out: str, err: str) -> tuple[int, list[str]]:
    """Return the number of relations that pg_amcheck has read, and its problems."""
    progress = re.findall(
        r"^\s*([0-9]+)/([0-9]+) relations \(100%\), *([0-9]+)/([0-9]+) pages \(100%\)", err, re.MULTILINE
    )
    problems = [line.strip() for line in out.splitlines() if line.strip()]
    problems += parse_client_errors(err)
    count = int(progress[-1][0]) if progress else 0
    if status or problems:
        return count, [f"pg_amcheck: {'; '.join(problems[:4]) or f'exit {status}'}"]
    return count, [] if count else ["pg_amcheck: not all relations were read"]


def parse_client_errors(err: str) -> list[str]:
    """Return the error lines of a PostgreSQL client, without warnings and notices of the server."""
    quiet = re.compile(r"WARNING:|DETAIL:|HINT:|NOTICE:|.* relations \([0-9 ]+%\)")
    return [line.strip() for line in err.splitlines() if line.strip() and not quiet.match(line.strip())]


def parse_checksums(status: int, out: str, err: str) -> tuple[int, list[str]]:
    """Return the number of blocks that pg_checksums has read, and its problems."""
    numbers = {name: int(count) for name, count in re.findall(r"^([A-Z][a-z ]+):\s+([0-9]+)$", out, re.MULTILINE)}
    blocks = numbers.get("Blocks scanned", 0)
    if status or not blocks or numbers.get("Bad checksums") != 0:
        return blocks, [f"pg_checksums: {'; '.join(err.strip().splitlines()[:4]) or out.strip() or f'exit {status}'}"]
    return blocks, []


# restic


@dataclasses.dataclass(frozen=True)
class Count:
    """Number of regular files and of their bytes."""

    files: int = 0
    bytes: int = 0


def parse_messages(text: str) -> list[dict[str, t.Any]]:
    """Parse restic's JSON lines; a line that is not JSON becomes a message of type text."""
    found = []
    for line in filter(None, map(str.strip, text.splitlines())):
        try:
            message = json.loads(line)
        except ValueError:
            message = line
        found.append(message if isinstance(message, dict) else {"message_type": "text", "message": str(message)})
    return found


def extract_restic_errors(messages: t.Iterable[t.Mapping[str, t.Any]]) -> list[str]:
    """Return the errors among restic's messages, one line each."""
    found = []
    for message in messages:
        if message.get("message_type") in ("error", "exit_error", "text"):
            detail = message.get("error", {}).get("message") or message.get("message", "")
            where = f"{message['item']}: " if message.get("item") else ""
            found.append(f"{where}{' '.join(str(detail).split())}"[:300])
    return found


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """The newest snapshot of a set."""

    id: str
    moment: float  # seconds since 1970
    had_files: bool = True  # whether one of the days before it has files, as far as the repository records it


def parse_newest_snapshot(status: int, out: str, err: str) -> Snapshot:
    """Return the newest snapshot; raise ProofError when there is none or the list cannot be read."""
    try:
        found = json.loads(out or "[]") or []
    except ValueError:
        status, found = status or 1, []
    if not found and status:
        reason = "; ".join(extract_restic_errors(parse_messages(err or out))[:3]) or f"exit {status}"
        raise ProofError(f"snapshots cannot be read: {reason}")
    if not found:
        raise ProofError("there is no snapshot")
    ordered = sorted(found, key=lambda snapshot: parse_time(snapshot["time"]))
    moment = parse_time(ordered[-1]["time"])
    counts = [
        one.get("summary", {}).get("total_files_processed", 1)
        for one in ordered[:-1]
        if moment - parse_time(one["time"]) < MEMORY
    ]
    return Snapshot(ordered[-1]["id"], moment, any(counts))


def parse_time(text: str) -> float:
    """Parse a time of restic, which has nanoseconds; return seconds since 1970."""
    whole, _dot, rest = text.partition(".")
    zone = re.search(r"(Z|[+-][0-9:]+)$", rest or text)
    plain = whole if rest else whole.removesuffix(zone[1] if zone else "")
    moment = datetime.datetime.fromisoformat(plain + ("+00:00" if not zone or zone[1] == "Z" else zone[1]))
    return moment.timestamp() + float("0." + (re.match(r"[0-9]*", rest) or ("0",))[0] if rest else 0)


def parse_listing(status: int, out: str, err: str) -> Count:
    """Count the files in restic's list of a snapshot; raise ProofError when the list cannot be read."""
    messages = parse_messages(out)
    if status or not messages:
        reason = "; ".join(extract_restic_errors(parse_messages(err))[:3]) or f"exit {status}"
        raise ProofError(f"the list of files cannot be read: {reason}")
    files = [node for node in messages if node.get("struct_type") == "node" and node.get("type") == "file"]
    return Count(len(files), sum(node.get("size", 0) for node in files))


def parse_total_size(status: int, out: str, err: str) -> int:
    """Return the size in the output of `restic stats`; raise ProofError when there is none."""
    size = next((message["total_size"] for message in parse_messages(out) if "total_size" in message), None)
    if status or size is None:
        reason = "; ".join(extract_restic_errors(parse_messages(err))[:3]) or f"exit {status}"
        raise ProofError(f"the size of the files cannot be read: {reason}")
    return int(size)


def find_restore_problems(
    status: int, out: str, err: str, expected: Count, found: Count, needs_files: bool = True
) -> list[str]:
    """Return problems of a restore: restic's errors, and differences to the list of the snapshot.

    A set may consist of an empty directory. When it had files in the days before, it needs some, because these are
    probably not mounted.
    """
    messages = parse_messages(out) + parse_messages(err)
    problems = extract_restic_errors(messages)[:4]
    summary = next((message for message in messages if message.get("message_type") == "summary"), {})
    if summary.get("files_restored") != summary.get("total_files") or "total_files" not in summary:
        problems.append(
            f"restic restored {summary.get('files_restored', 0)} of {summary.get('total_files', '?')} entries"
        )
    if found != expected:
        problems.append(
            f"the snapshot lists {expected.files} files with {expected.bytes} bytes, "
            f"but {found.files} with {found.bytes} were restored"
        )
    if not expected.files and needs_files:
        problems.append(
            "the snapshot contains no file, earlier ones do: check that the file systems are mounted, or write "
            "`may_be_empty: true` into the set if it is empty on purpose"
        )
    return problems or ([f"exit {status}"] if status else [])


def find_pack_problems(status: int, out: str, err: str) -> list[str]:
    """Return the problems that `restic check` found in the packs it read."""
    messages = parse_messages(out) + parse_messages(err)
    summary = next((message for message in messages if message.get("message_type") == "summary"), None)
    problems = [text for text in extract_restic_errors(messages) if "pack" in text or "Fatal" in text][:3]
    if summary is None:
        return problems or [f"restic check printed no summary, exit {status}"]
    if summary.get("num_errors") or summary.get("broken_packs") or status:
        return problems or [f"restic check found {summary.get('num_errors')} errors, exit {status}"]
    return []


def select_part(moment: float, parts: int) -> int:
    """Return the part of the packs for this week, from 1; after `parts` weeks, all parts were read."""
    return int(moment // WEEK) % parts + 1


# Redis


def parse_dump_check(status: int, out: str) -> tuple[int, list[str]]:
    """Return the number of keys that redis-check-rdb has read, and its problems."""
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


def find_key_problems(in_dump: int, loaded: int, recorded: int | None) -> list[str]:
    """Compare the number of keys in the dump, in a Redis that loaded it, and in the record from its creation."""
    problems = []
    if loaded != in_dump:
        problems.append(f"Redis loads {loaded} keys of {in_dump}")
    if recorded is not None and in_dump != recorded:
        problems.append(f"the dump has {in_dump} keys, but {recorded} were counted at the time of the backup")
    if recorded is None and not in_dump:
        problems.append("the dump contains no key")
    return problems


def parse_key_count(text: str) -> int:
    """Return the number in the record of counted keys; raise ProofError when there is none."""
    match = re.search("[0-9]+", text)
    if not match:
        raise ProofError(f"the record of counted keys contains no number: {text.strip()[:80]!r}")
    return int(match[0])
