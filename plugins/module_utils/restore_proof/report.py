# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Results of a run: metrics for node_exporter, reports as JSON and Markdown, and a last line with the next steps."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import re
import time
import typing as t

from ..host import metrics
from .settings import TOOLS

# Next step for a problem: the first pattern that matches the message of the problem.
NEXT_STEPS = {
    "postgresql": (
        ("RPO", "check that WAL is archived and vise-backup-marker.timer runs on the primary"),
        ("info:|does not answer", "check the repository and the permissions of its credential"),
        ("", "make a new full backup of PostgreSQL"),
    ),
    "yearly": (
        ("info:|does not answer", "check the repository and the permissions of its credential"),
        ("", "make a new yearly backup of PostgreSQL (systemctl start vise-pgbackrest@yearly)"),
    ),
    "restic": (
        # Before "cannot be read", because damaged data cannot be read either, and a credential is not the cause.
        ("ciphertext verification failed|pack ", "make a new backup of the files"),
        ("RPO|no snapshot", "check why restic's timer does not make backups"),
        ("cannot be read", "check the repository and the permissions of its credential"),
        ("", "make a new backup of the files"),
    ),
    "redis": (
        ("cannot be read", "check the repository and the permissions of its credential"),
        ("", "make a new dump of Redis and back it up"),
    ),
}
METRICS = {
    "vise_restore_proof_timestamp_seconds": "Time of the last successful restore of a backup.",
    "vise_restore_proof_success": "Whether the last proof succeeded.",
    "vise_restore_proof_rpo_seconds": "Seconds of work that would have been lost at the time of the last proof.",
    "vise_restore_proof_duration_seconds": "Duration of the last proof.",
}


@dataclasses.dataclass
class Stage:
    """A timed step of a proof, with the number of bytes that it processed, if any."""

    name: str
    seconds: float = 0.0
    bytes: int = 0

    def rate(self) -> float | None:
        """Return the rate in MB/s, or None without bytes or seconds."""
        return round(self.bytes / self.seconds / 1e6, 1) if self.bytes and self.seconds else None


@dataclasses.dataclass
class Outcome:
    """Result of the proof of one repository; without problems, the backup is proven."""

    proof: str
    repository: str
    started: float = dataclasses.field(default_factory=time.time)
    seconds: float = 0.0
    rpo_seconds: float | None = None
    problems: list[str] = dataclasses.field(default_factory=list)
    stages: list[Stage] = dataclasses.field(default_factory=list)
    facts: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    tables: list[dict[str, t.Any]] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)

    @property
    def name(self) -> str:
        """The proof and its repository, for messages."""
        return f"{self.proof} {self.repository}"

    @contextlib.contextmanager
    def stage(self, name: str, log: t.Callable[[str], None]) -> t.Iterator[Stage]:
        """Measure and log a step."""
        stage = Stage(name)
        self.stages.append(stage)
        started_at = time.monotonic()
        log(f"{self.name}: {name} ...")
        try:
            yield stage
        finally:
            stage.seconds = round(time.monotonic() - started_at, 2)
            rate = f", {stage.rate()} MB/s" if stage.rate() else ""
            log(f"{self.name}: {name} took {stage.seconds} s{rate}")

    def record_rpo(self, seconds: float) -> None:
        """Record an RPO in seconds; the worst one of several counts."""
        self.rpo_seconds = round(max(seconds, self.rpo_seconds or 0.0), 1)


State = dict[str, dict[str, t.Any]]


def merge_results(state: State, outcomes: t.Iterable[Outcome], configured: t.Iterable[tuple[str, str]]) -> State:
    """Return the new state of each configured repository; after a failure, the time of the last success is kept."""
    new_state = {f"{proof}/{repository}": state.get(f"{proof}/{repository}") for proof, repository in configured}
    for outcome in outcomes:
        key = f"{outcome.proof}/{outcome.repository}"
        old = new_state.get(key) or {}
        new_state[key] = {
            "success": not outcome.problems,
            "timestamp_seconds": old.get("timestamp_seconds", 0) if outcome.problems else int(outcome.started),
            "rpo_seconds": outcome.rpo_seconds,
            "duration_seconds": round(outcome.seconds, 1),
        }
    # A backup that was never proven has metrics, too, so that monitoring detects it before the first run.
    unproven = {"success": False, "timestamp_seconds": 0, "rpo_seconds": None, "duration_seconds": None}
    return {key: new_state[key] or dict(unproven) for key in sorted(new_state)}


def format_metrics(state: State) -> str:
    """Return the metrics as text for node_exporter."""
    samples: list[metrics.Sample] = []
    for name in METRICS:
        for key, known in state.items():
            proof, repository = key.split("/", 1)
            value = known[name.removeprefix("vise_restore_proof_")]
            if value is not None:
                samples.append((name, {"tool": TOOLS[proof], "repository": repository}, float(value)))
    return metrics.render(samples, METRICS)


def format_timestamp(moment: float) -> str:
    """Format seconds since 1970 for names of reports."""
    return datetime.datetime.fromtimestamp(moment, datetime.UTC).strftime("%Y-%m-%dT%H%M%SZ")


def format_json(host: str, started: float, outcomes: t.Sequence[Outcome]) -> str:
    """Return the report as JSON."""
    proofs = []
    for outcome in outcomes:
        entry = dataclasses.asdict(outcome)
        entry.update(tool=TOOLS[outcome.proof], success=not outcome.problems, started=format_timestamp(outcome.started))
        entry["stages"] = [{**dataclasses.asdict(stage), "mb_per_second": stage.rate()} for stage in outcome.stages]
        proofs.append(entry)
    success = all(not outcome.problems for outcome in outcomes)
    report = {"host": host, "started": format_timestamp(started), "success": success, "proofs": proofs}
    return json.dumps(report, indent=1, sort_keys=True) + "\n"


def format_markdown(host: str, started: float, outcomes: t.Sequence[Outcome]) -> str:
    """Return the report as Markdown."""
    lines = [
        f"# Restores on {host}, {format_timestamp(started)}",
        "",
        "| proof | result | RPO s | seconds |",
        "| --- | --- | --- | --- |",
    ]
    for outcome in outcomes:
        result = "FAILED" if outcome.problems else "proven"
        lines.append(f"| {outcome.name} | {result} | {format_number(outcome.rpo_seconds)} | {outcome.seconds:.1f} |")
    for outcome in outcomes:
        lines += ["", f"## {outcome.name}", "", *(f"- **{escape_cell(problem)}**" for problem in outcome.problems)]
        lines += [f"- warning: {escape_cell(warning)}" for warning in outcome.warnings]
        lines += [f"- {name.replace('_', ' ')}: {value}" for name, value in outcome.facts.items()]
        lines += ["", "| step | seconds | MB/s |", "| --- | --- | --- |"]
        lines += [f"| {stage.name} | {stage.seconds} | {format_number(stage.rate())} |" for stage in outcome.stages]
        if outcome.tables:
            lines += ["", "| database | table | rows | checksum |", "| --- | --- | --- | --- |"]
        for table in outcome.tables:
            names = f"{escape_cell(table['database'])} | {escape_cell(table['table'])}"
            lines.append(f"| {names} | {table['rows']} | {table['checksum']} |")
    return "\n".join(lines) + "\n"


def format_number(value: float | None) -> str:
    """Format a number; a dash for None."""
    return "-" if value is None else f"{value:g}"


def escape_cell(text: str) -> str:
    """Escape a text for a cell of a Markdown table."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")


def find_old_reports(names: t.Iterable[str], keep: int) -> list[str]:
    """Return the files of all reports except the `keep` newest ones; each report has two files."""
    names = [name for name in names if name.endswith((".json", ".md"))]
    stems = sorted({name.rsplit(".", 1)[0] for name in names})[:-keep]
    return sorted(name for name in names if name.rsplit(".", 1)[0] in stems)


def summarize(outcomes: t.Sequence[Outcome]) -> str:
    """Return the result of the run in one line, with the next steps after a failure."""
    failed = [outcome for outcome in outcomes if outcome.problems]
    if not failed:
        return f"proven: {', '.join(outcome.name for outcome in outcomes)}"
    names = ", ".join(f"{outcome.name} ({outcome.problems[0]})" for outcome in failed)
    steps = dict.fromkeys(step for outcome in failed for step in list_next_steps(outcome))
    return f"FAILED: {names}. Next: {'; '.join(steps)}; then run vise-backup-verify again"


def list_next_steps(outcome: Outcome) -> list[str]:
    """Return the next steps for the problems of a proof."""
    steps = NEXT_STEPS[outcome.proof]
    return [next(step for pattern, step in steps if re.search(pattern, problem)) for problem in outcome.problems]
