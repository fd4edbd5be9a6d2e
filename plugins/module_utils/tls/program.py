# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Issue, renew and deploy this host's certificates; run by vise-certificates.timer or by hand."""

from __future__ import annotations

import sys
import typing as t

from ..host import files, programs
from . import acme

SETTINGS = "/etc/vise/acme/certificates.json"
USAGE = """usage: vise-certificates check   validate the settings
       vise-certificates plan    show what a run would change
       vise-certificates run     issue, renew and deploy certificates, and remove unused ones"""


def run_command(argv: list[str]) -> tuple[int, str]:
    """Run a command; return its exit code and its output."""
    result = programs.run(argv)
    return result.code, f"{result.out}\n{result.err}"


def load_settings(path: str = SETTINGS) -> acme.Settings:
    """Read what the role has written; raises ValueError when that is missing or invalid."""
    try:
        return acme.Settings.from_dict(files.read_json(path))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is invalid: run the role certificates on this host: {error!r}") from error


def main(arguments: t.Sequence[str]) -> int:
    """Run one of the commands; report each failure, because an operator sees only the output of a timer's run."""
    command = " ".join(arguments)
    if command not in ("check", "plan", "run"):
        print(USAGE, file=sys.stderr)
        return 2
    try:
        settings = load_settings()
        problems = acme.find_problems(settings)
        if problems or command == "check":
            print("\n".join(problems))
            return int(bool(problems))
        return report(run(settings) if command == "run" else preview(settings))
    except (OSError, ValueError) as error:
        print(f"vise-certificates: {error}", file=sys.stderr)
        return 1


def run(settings: acme.Settings) -> acme.Outcome:
    """Bring the certificates of this host to the wanted state, and remove unused ones."""
    outcome = acme.run(settings, run_command)
    acme.remove_unused(settings, run_command, outcome)
    return outcome


def preview(settings: acme.Settings) -> acme.Outcome:
    """Return what a run would do; changes nothing."""
    outcome = acme.preview(settings)
    outcome.actions += [f"remove {name}" for name in acme.find_unused(settings)]
    return outcome


def report(outcome: acme.Outcome) -> int:
    """Print an outcome; return the exit code, which is 1 after a failure or a warning."""
    print("\n".join([*(outcome.actions or ["nothing to do"]), *outcome.notes]))
    complaints = outcome.failures + outcome.warnings
    print("\n".join(complaints), file=sys.stderr)
    return int(bool(complaints))
