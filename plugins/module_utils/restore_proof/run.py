# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Restore every backup of this host into a scratch directory and verify it; run by a timer or by hand."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
import time
import types
import typing as t

from ..host import files, locks, metrics, programs
from . import host, postgresql, redis, report, restic
from .report import Outcome
from .settings import TOOLS, ProofError, Settings, find_problems, find_secrets, list_targets

SETTINGS = "/etc/vise/backup-verify.json"
REPOSITORIES = "/etc/vise/backup-verify-restic.json"
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
PROOFS: dict[str, t.Callable[[Settings, str, host.ScratchDirectory, Outcome], None]] = {
    "postgresql": postgresql.prove,
    "yearly": postgresql.prove_yearly,
    "restic": restic.prove,
    "redis": redis.prove,
}


class RunStopped(Exception):
    """A signal stopped the run."""


def main(arguments: t.Sequence[str]) -> int:
    """Run the program; return the exit code."""
    options = parse_arguments(arguments)
    if os.geteuid() != 0:
        return report_error("vise-backup-verify needs root: run sudo vise-backup-verify")
    try:
        settings = load_settings()
        problems = find_problems(settings)
        if options.check or problems:
            return report_error("\n".join(problems)) if problems else 0
        if options.record:
            return record_targets(settings)
        for name in SIGNALS:
            # Under nohup, SIGHUP is ignored and must stay ignored.
            if signal.getsignal(name) != signal.SIG_IGN:
                signal.signal(name, interrupt)
        with locks.lock(os.path.join(settings.scratch, "lock"), wait=False, directory_mode=0o711):
            return run(settings, options.only)
    except locks.LockedError:
        return report_error("another run is in progress: see systemctl status vise-backup-verify")
    except (ProofError, RunStopped, ValueError) as problem:
        return report_error(str(problem))


def load_settings() -> Settings:
    """Read what the role has written; raises ProofError when that is missing or invalid."""
    try:
        return Settings.from_json(files.read_json(SETTINGS), files.read_json(REPOSITORIES))
    except (ValueError, TypeError, KeyError) as problem:
        message = f"{SETTINGS} or {REPOSITORIES} is invalid: run the role backup_verify again: {problem!r}"
        raise ProofError(message) from problem


def parse_arguments(arguments: t.Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="vise-backup-verify", description="Restore each backup of this host to a scratch directory and verify it."
    )
    parser.add_argument("--only", choices=sorted(TOOLS), default="", help="prove only these backups")
    parser.add_argument("--check", action="store_true", help="only validate the settings")
    parser.add_argument("--record", action="store_true", help="only write the metrics, also of what was never proven")
    return parser.parse_args(arguments)


def report_error(text: str) -> int:
    """Print an error; return the exit code of a failure."""
    write(text, sys.stderr)
    return 1


def log(text: str) -> None:
    """Print a progress line."""
    write(text, sys.stdout)


def write(text: str, stream: t.TextIO) -> None:
    """Write a line without buffering, so that its time in the journal is correct."""
    stream.write(f"{text}\n")
    stream.flush()


def interrupt(number: int, _frame: types.FrameType | None) -> None:
    """Stop the run by an exception, so that scratch files are removed and the other proofs count as failed."""
    for name in SIGNALS:
        signal.signal(name, signal.SIG_IGN)
    raise RunStopped(f"stopped by {signal.Signals(number).name}: the time limit of the unit, or an operator")


def run(settings: Settings, only: str) -> int:
    """Run the requested proofs and write the reports; return the exit code."""
    started = time.time()
    leftovers = host.remove_leftovers(settings.scratch)
    if leftovers:
        log(f"removed the leftovers of a killed run: {', '.join(leftovers)}")
    config = files.read_text(settings.pgbackrest_config) if settings.pgbackrest_config else ""
    secrets = find_secrets(settings, config)
    proofs = list_targets(settings, config, only)
    if not proofs:
        raise ProofError("nothing to prove: no backups of this kind are configured in the role backup_verify")
    outcomes = [Outcome(proof, repository) for proof, repository in proofs]
    continuing = True
    for outcome in outcomes:
        if continuing:
            continuing = prove(settings, outcome, lambda text: log(programs.hide_secrets(text, secrets)))
        else:
            outcome.problems.append("not proven: the run was stopped before")
    for outcome in outcomes:
        outcome.problems = [programs.hide_secrets(" ".join(text.split()), secrets) for text in outcome.problems]
    record(settings, outcomes, list_targets(settings, config), started)
    text = report.summarize(outcomes)
    write(text, sys.stderr if text.startswith("FAILED") else sys.stdout)
    return int(any(outcome.problems for outcome in outcomes))


def prove(settings: Settings, outcome: Outcome, log: t.Callable[[str], None]) -> bool:
    """Prove one repository in its own scratch directory; return whether to continue with the next."""
    outcome.started = time.time()
    started_at = time.monotonic()
    continuing = True
    try:
        with host.scratch_directory(settings.scratch, settings.user, log) as scratch:
            PROOFS[outcome.proof](settings, outcome.repository, scratch, outcome)
    except RunStopped as problem:
        continuing = False
        outcome.problems.append(str(problem))
    # Any error: a backup that cannot be examined is not proven, and the next one must still be tried.
    except Exception as problem:  # noqa: BLE001
        outcome.problems.append(
            str(problem) if isinstance(problem, ProofError) else f"{type(problem).__name__}: {problem}"
        )
    outcome.seconds = time.monotonic() - started_at
    for text in [*outcome.problems, *(f"warning: {warning}" for warning in outcome.warnings)]:
        log(f"{outcome.name}: {text}")
    log(f"{outcome.name}: {'FAILED' if outcome.problems else 'proven'} after {outcome.seconds:.1f} s")
    return continuing


def record_targets(settings: Settings) -> int:
    """Write the metrics of all configured backups before their first proof; return the exit code."""
    try:
        with locks.lock(os.path.join(settings.scratch, "lock"), wait=False, directory_mode=0o711):
            config = files.read_text(settings.pgbackrest_config) if settings.pgbackrest_config else ""
            save_state(settings, [], list_targets(settings, config))
    except locks.LockedError:
        log("a run is in progress, which writes the metrics at its end")
    return 0


def save_state(settings: Settings, outcomes: t.Sequence[Outcome], configured: t.Sequence[tuple[str, str]]) -> None:
    """Write the state of each configured backup, and its metrics."""
    path = os.path.join(settings.scratch, "state.json")
    state = report.merge_results(files.read_json(path, {}), outcomes, configured)
    files.write_json(path, state)
    metrics.write("vise_restore_proof.prom", report.format_metrics(state), settings.metrics)


def record(
    settings: Settings, outcomes: t.Sequence[Outcome], configured: t.Sequence[tuple[str, str]], started: float
) -> None:
    """Write the state, the metrics and the reports, and remove old reports."""
    save_state(settings, outcomes, configured)
    name = os.path.join(settings.reports, report.format_timestamp(started))
    files.replace_file(f"{name}.json", report.format_json(socket.gethostname(), started, outcomes), mode=0o640)
    files.replace_file(f"{name}.md", report.format_markdown(socket.gethostname(), started, outcomes), mode=0o640)
    for old in report.find_old_reports(os.listdir(settings.reports), settings.keep_reports):
        os.unlink(os.path.join(settings.reports, old))
    log(f"report: {name}.md")
