# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a run tells: metrics for node_exporter, a report for people and programs, a last line that says what to do."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import re
import time
import typing as t

from .settings import TOOLS

# What to do about a problem, by what it says; the first that fits.
NEXT_STEPS = {
    "postgresql": (
        ("RPO", "see whether WAL is archived and vise-backup-marker.timer runs on the primary"),
        ("info:|does not answer", "see whether the repository answers, and what its credentials may"),
        ("", "make a new full backup of PostgreSQL"),
    ),
    "yearly": (
        ("info:|does not answer", "see whether the repository answers, and what its credentials may"),
        ("", "make a new yearly backup of PostgreSQL (systemctl start vise-pgbackrest@yearly)"),
    ),
    "restic": (
        # What is damaged cannot be read either, and no credential mends it.
        ("ciphertext verification failed|pack ", "make a new backup of the files"),
        ("RPO|no snapshot", "see why restic's timer makes no backup"),
        ("cannot be read", "see whether the repository answers, and what its credentials may"),
        ("", "make a new backup of the files"),
    ),
    "redis": (
        ("cannot be read", "see whether the repository answers, and what its credentials may"),
        ("", "make a new dump of Redis and back it up"),
    ),
}
METRICS = {
    "timestamp_seconds": "When a backup was last proven by restoring it.",
    "success": "Whether the last proof succeeded.",
    "rpo_seconds": "What would have been lost when the last proof ran.",
    "duration_seconds": "How long the last proof took.",
}


@dataclasses.dataclass
class Stage:
    """A step of a proof; bytes where it has moved some."""

    name: str
    seconds: float = 0.0
    bytes: int = 0

    def rate(self) -> float | None:
        """Return MB/s."""
        return round(self.bytes / self.seconds / 1e6, 1) if self.bytes and self.seconds else None


@dataclasses.dataclass
class Outcome:
    """What the proof of one repository has come to."""

    proof: str
    repository: str
    started: float = dataclasses.field(default_factory=time.time)
    seconds: float = 0.0
    rpo_seconds: float | None = None
    problems: list[str] = dataclasses.field(default_factory=list)
    stages: list[Stage] = dataclasses.field(default_factory=list)
    facts: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    tables: list[dict[str, t.Any]] = dataclasses.field(default_factory=list)

    @property
    def name(self) -> str:
        """Return proof and repository as people say them."""
        return f"{self.proof} {self.repository}"

    @contextlib.contextmanager
    def stage(self, name: str, say: t.Callable[[str], None]) -> t.Iterator[Stage]:
        """Time a step, and say how it went."""
        found = Stage(name)
        self.stages.append(found)
        begun = time.monotonic()
        say(f"{self.name}: {name} ...")
        try:
            yield found
        finally:
            found.seconds = round(time.monotonic() - begun, 2)
            rate = f", {found.rate()} MB/s" if found.rate() else ""
            say(f"{self.name}: {name} took {found.seconds} s{rate}")

    def lower(self, seconds: float) -> None:
        """Take the worse of two RPOs."""
        self.rpo_seconds = round(max(seconds, self.rpo_seconds or 0.0), 1)


Memory = dict[str, dict[str, t.Any]]


def remembered(memory: Memory, outcomes: t.Iterable[Outcome], wanted: t.Iterable[tuple[str, str]]) -> Memory:
    """Return what is known of each wanted repository now; a failed proof leaves the time of the last good one."""
    known = {f"{proof}/{repository}": memory.get(f"{proof}/{repository}") for proof, repository in wanted}
    for outcome in outcomes:
        key = f"{outcome.proof}/{outcome.repository}"
        before = known.get(key) or {}
        known[key] = {
            "success": not outcome.problems,
            "timestamp_seconds": before.get("timestamp_seconds", 0) if outcome.problems else int(outcome.started),
            "rpo_seconds": outcome.rpo_seconds,
            "duration_seconds": round(outcome.seconds, 1),
        }
    # What has never been proven says so, and does not wait for its first run.
    never = {"success": False, "timestamp_seconds": 0, "rpo_seconds": None, "duration_seconds": None}
    return {key: known[key] or dict(never) for key in sorted(known)}


def metrics(memory: Memory) -> str:
    """Return the text for node_exporter."""
    lines = []
    for name, meaning in METRICS.items():
        lines += [f"# HELP vise_restore_proof_{name} {meaning}", f"# TYPE vise_restore_proof_{name} gauge"]
        for key, known in memory.items():
            proof, repository = key.split("/", 1)
            if known[name] is not None:
                labels = f'tool="{TOOLS[proof]}",repository="{repository}"'
                lines.append(f"vise_restore_proof_{name}{{{labels}}} {float(known[name]):.10g}")
    return "\n".join(lines) + "\n"


def stamp(moment: float) -> str:
    """Return a time as reports are named."""
    return datetime.datetime.fromtimestamp(moment, datetime.UTC).strftime("%Y-%m-%dT%H%M%SZ")


def as_json(host: str, started: float, outcomes: t.Sequence[Outcome]) -> str:
    """Return the report for programs."""
    proofs = []
    for outcome in outcomes:
        entry = dataclasses.asdict(outcome)
        entry.update(tool=TOOLS[outcome.proof], success=not outcome.problems, started=stamp(outcome.started))
        entry["stages"] = [{**dataclasses.asdict(stage), "mb_per_second": stage.rate()} for stage in outcome.stages]
        proofs.append(entry)
    success = all(not outcome.problems for outcome in outcomes)
    report = {"host": host, "started": stamp(started), "success": success, "proofs": proofs}
    return json.dumps(report, indent=1, sort_keys=True) + "\n"


def as_markdown(host: str, started: float, outcomes: t.Sequence[Outcome]) -> str:
    """Return the report for people."""
    lines = [
        f"# Restores on {host}, {stamp(started)}",
        "",
        "| proof | result | RPO s | seconds |",
        "| --- | --- | --- | --- |",
    ]
    for outcome in outcomes:
        result = "FAILED" if outcome.problems else "proven"
        lines.append(f"| {outcome.name} | {result} | {number(outcome.rpo_seconds)} | {outcome.seconds:.1f} |")
    for outcome in outcomes:
        lines += ["", f"## {outcome.name}", "", *(f"- **{cell(problem)}**" for problem in outcome.problems)]
        lines += [f"- {name.replace('_', ' ')}: {value}" for name, value in outcome.facts.items()]
        lines += ["", "| step | seconds | MB/s |", "| --- | --- | --- |"]
        lines += [f"| {stage.name} | {stage.seconds} | {number(stage.rate())} |" for stage in outcome.stages]
        if outcome.tables:
            lines += ["", "| database | table | rows | checksum |", "| --- | --- | --- | --- |"]
        for table in outcome.tables:
            lines.append(
                f"| {cell(table['database'])} | {cell(table['table'])} | {table['rows']} | {table['checksum']} |"
            )
    return "\n".join(lines) + "\n"


def number(value: float | None) -> str:
    """Return a number, or a dash for none."""
    return "-" if value is None else f"{value:g}"


def cell(text: str) -> str:
    """Return a text that cannot break a table."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")


def too_old(names: t.Iterable[str], keep: int) -> list[str]:
    """Return the files of all reports but the newest ones; each report has two files."""
    names = [name for name in names if name.endswith((".json", ".md"))]
    stems = sorted({name.rsplit(".", 1)[0] for name in names})[:-keep]
    return sorted(name for name in names if name.rsplit(".", 1)[0] in stems)


def last_line(outcomes: t.Sequence[Outcome]) -> str:
    """Return how it ended, and what to do next."""
    failed = [outcome for outcome in outcomes if outcome.problems]
    if not failed:
        return f"proven: {', '.join(outcome.name for outcome in outcomes)}"
    names = ", ".join(f"{outcome.name} ({outcome.problems[0]})" for outcome in failed)
    steps = dict.fromkeys(step for outcome in failed for step in next_steps(outcome))
    return f"FAILED: {names}. Next: {'; '.join(steps)}; then prove it: vise-backup-verify"


def next_steps(outcome: Outcome) -> list[str]:
    """Return what to do about the problems of a proof."""
    steps = NEXT_STEPS[outcome.proof]
    return [next(step for pattern, step in steps if re.search(pattern, problem)) for problem in outcome.problems]
