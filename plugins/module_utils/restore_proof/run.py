# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run the proofs one after the other, and tell how they went."""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import sys
import time
import types
import typing as t

from . import host, postgresql, redis, report, restic
from .report import Outcome
from .settings import TOOLS, Failed, Settings, hidden, problems, secrets, targets

SETTINGS = "/etc/vise/backup-verify.json"
REPOSITORIES = "/etc/vise/backup-verify-restic.json"
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
PROOFS: dict[str, t.Callable[[Settings, str, host.Bench, Outcome], None]] = {
    "postgresql": postgresql.prove,
    "yearly": postgresql.prove_yearly,
    "restic": restic.prove,
    "redis": redis.prove,
}


class Stopped(Exception):
    """Somebody asked the run to end."""


def main(arguments: t.Sequence[str]) -> int:
    """Do what is asked; return the exit code."""
    asked = options(arguments)
    if os.geteuid() != 0:
        return tell("vise-backup-verify runs as root: sudo vise-backup-verify")
    try:
        settings = Settings.from_json(json.loads(host.read(SETTINGS)), json.loads(host.read(REPOSITORIES)))
        wrong = problems(settings)
        if asked.check or wrong:
            return tell("\n".join(wrong)) if wrong else 0
        for name in SIGNALS:
            # nohup has asked to go on when the terminal goes.
            if signal.getsignal(name) != signal.SIG_IGN:
                signal.signal(name, interrupt)
        with host.alone(settings.scratch):
            return run(settings, asked.only)
    except (Failed, Stopped) as problem:
        return tell(str(problem))
    except ValueError as problem:
        return tell(f"{SETTINGS}: not what the role backup_verify writes: {problem}")


def options(arguments: t.Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="vise-backup-verify", description="Restore every backup of this host into a throwaway place, and prove it."
    )
    parser.add_argument("--only", choices=sorted(TOOLS), default="", help="prove just these backups")
    parser.add_argument("--check", action="store_true", help="only say whether the settings can work")
    return parser.parse_args(arguments)


def tell(text: str) -> int:
    """Complain; return the exit code of a failure."""
    write(text, sys.stderr)
    return 1


def say(text: str) -> None:
    """Show progress."""
    write(text, sys.stdout)


def write(text: str, stream: t.TextIO) -> None:
    """Write a line at once, so that the journal has it when it happens."""
    stream.write(f"{text}\n")
    stream.flush()


def interrupt(number: int, _frame: types.FrameType | None) -> None:
    """End in order: what was restored is cleared away, and what was not proven counts as failed."""
    for name in SIGNALS:
        signal.signal(name, signal.SIG_IGN)
    raise Stopped(f"stopped by {signal.Signals(number).name}: the run's limit, or somebody")


def run(settings: Settings, only: str) -> int:
    """Prove what is wanted."""
    started = time.time()
    left = host.clear(settings.scratch)
    if left:
        say(f"cleared away what a killed run had left: {', '.join(left)}")
    config = host.read(settings.pgbackrest_config) if settings.pgbackrest_config else ""
    words = secrets(settings, config)
    wanted = targets(settings, config, only)
    if not wanted:
        raise Failed("there is nothing to prove: the role backup_verify has no backups of this kind")
    outcomes = [Outcome(proof, repository) for proof, repository in wanted]
    reached = True
    for outcome in outcomes:
        if reached:
            reached = prove(settings, outcome, lambda text: say(hidden(text, words)))
        else:
            outcome.problems.append("not reached: the run was stopped before")
    for outcome in outcomes:
        outcome.problems = [hidden(" ".join(text.split()), words) for text in outcome.problems]
    record(settings, outcomes, targets(settings, config), started)
    text = report.last_line(outcomes)
    write(text, sys.stderr if text.startswith("FAILED") else sys.stdout)
    return int(any(outcome.problems for outcome in outcomes))


def prove(settings: Settings, outcome: Outcome, speak: t.Callable[[str], None]) -> bool:
    """Prove one repository on a bench of its own; return whether to go on."""
    outcome.started = time.time()
    begun = time.monotonic()
    goes_on = True
    try:
        with host.bench(settings.scratch, settings.user, speak) as bench:
            PROOFS[outcome.proof](settings, outcome.repository, bench, outcome)
    except Stopped as problem:
        goes_on = False
        outcome.problems.append(str(problem))
    # Whatever went wrong: a backup that could not be looked at is not proven, and the next one has its turn.
    except Exception as problem:  # noqa: BLE001
        outcome.problems.append(str(problem) if isinstance(problem, Failed) else f"{type(problem).__name__}: {problem}")
    outcome.seconds = time.monotonic() - begun
    for text in outcome.problems:
        speak(f"{outcome.name}: {text}")
    speak(f"{outcome.name}: {'FAILED' if outcome.problems else 'proven'} after {outcome.seconds:.1f} s")
    return goes_on


def record(
    settings: Settings, outcomes: t.Sequence[Outcome], wanted: t.Sequence[tuple[str, str]], started: float
) -> None:
    """Write metrics and report."""
    state = os.path.join(settings.scratch, "state.json")
    memory = report.remembered(json.loads(host.read(state) or "{}"), outcomes, wanted)
    host.replace(state, json.dumps(memory, indent=1) + "\n", 0o600)
    host.replace(os.path.join(settings.metrics, "vise_restore_proof.prom"), report.metrics(memory), 0o644)
    name = os.path.join(settings.reports, report.stamp(started))
    host.replace(f"{name}.json", report.as_json(socket.gethostname(), started, outcomes), 0o640)
    host.replace(f"{name}.md", report.as_markdown(socket.gethostname(), started, outcomes), 0o640)
    for old in report.too_old(os.listdir(settings.reports), settings.keep_reports):
        os.unlink(os.path.join(settings.reports, old))
    say(f"report: {name}.md")
