"""Common parts of campaigns: hosts of a scenario, shell commands in containers, and the table of results."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from tests.e2e.converge import ADDRESS, ADDRESS6
from tools import collection

WORKER = os.environ.get("VISE_WORKER", "1")
HOST = f"molecule-{WORKER}"


class CampaignError(Exception):
    """An error that prevents a campaign from continuing."""


def run_in_container(container: str, script: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a shell script in a container."""
    argv = ["docker", "exec", *(["-i"] if text is not None else []), container, "bash", "-c", script]
    return subprocess.run(argv, input=text, capture_output=True, text=True, check=False)


def run_or_raise(container: str, script: str, text: str | None = None) -> str:
    """Run a shell script; return its standard output, raise CampaignError when it fails."""
    process = run_in_container(container, script, text)
    if process.returncode:
        raise CampaignError(f"{container}: {script}\n{process.stdout}{process.stderr}")
    return process.stdout.strip()


def ansible_arguments() -> list[str]:
    """Return ansible's arguments to reach the host of a scenario without molecule's inventory."""
    connection = {
        "ansible_host": f"172.30.0.10{WORKER}",
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(collection.ROOT / ".cache/sandbox/id_ed25519"),
        "ansible_ssh_common_args": "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR",
    }
    return [HOST, "-i", f"{HOST},", "-e", json.dumps(connection)]


def restore_database(**options: object) -> str:
    """Restore the database of the host over the running cluster; return the error, empty for success."""
    arguments = json.dumps({**options, "replace_live": True})
    process = subprocess.run(
        ["ansible", *ansible_arguments(), "-m", "vise.platform.database_restore", "-a", arguments],
        cwd=collection.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return f"{process.stdout[-1000:]}{process.stderr[-1000:]}" if process.returncode else ""


def molecule(step: str, scenario: str) -> None:
    """Run a step of molecule for a scenario; raise CampaignError when it fails."""
    process = subprocess.run(
        ["molecule", step, "--scenario-name", scenario],
        cwd=collection.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if process.returncode:
        raise CampaignError(f"molecule {step} -s {scenario}:\n{process.stdout[-4000:]}{process.stderr[-4000:]}")


def converge_anew(scenario: str) -> None:
    """Create the hosts of a scenario and apply its role; what an earlier run left behind is removed first."""
    molecule("destroy", scenario)
    molecule("converge", scenario)


def run_make(*targets: str) -> None:
    """Run targets of the Makefile; raise CampaignError when one fails."""
    process = subprocess.run(
        ["make", "--no-print-directory", *targets], cwd=collection.ROOT, capture_output=True, text=True, check=False
    )
    if process.returncode:
        raise CampaignError(f"make {' '.join(targets)}:\n{process.stdout[-4000:]}{process.stderr[-4000:]}")


def switch_repositories(switch: str) -> None:
    """Block the backup repositories for the platform's host (`outage`), or unblock them (`none`)."""
    for service in ("s3_a", "s3_b"):
        command = [sys.executable, "sandbox/sandbox.py", "fault", service, switch, ADDRESS, ADDRESS6]
        subprocess.run(command, cwd=collection.ROOT, capture_output=True, check=True)


@dataclass(frozen=True)
class Result:
    """Result of a campaign: a table, and the failures."""

    name: str
    seed: int
    head: Sequence[str]
    rows: Sequence[Sequence[object]]
    failures: Sequence[str]


def format_table(result: Result) -> str:
    """Format the result as Markdown."""
    lines = [
        f"# Campaign {result.name}, seed {result.seed}",
        "",
        f"| {' | '.join(result.head)} |",
        f"|{' --- |' * len(result.head)}",
        *(f"| {' | '.join(map(str, row))} |" for row in result.rows),
    ]
    lines += ["", *(f"- {failure}" for failure in result.failures)] if result.failures else []
    return "\n".join(lines) + "\n"


def save(result: Result) -> str:
    """Save the table in the cache of the checkout; return its path."""
    moment = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H%M%SZ")
    path = collection.ROOT / ".cache/campaigns" / f"{result.name}-{moment}.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(format_table(result), encoding="utf-8")
    return str(path)


def count_tries(tries: Sequence[tuple[Sequence[str], bool]]) -> list[list[object]]:
    """Return a row for each kind with the numbers of all and of successful tries, and a row with the sums."""
    counts: dict[tuple[str, ...], list[int]] = {}
    for kind, successful in tries:
        count = counts.setdefault(tuple(kind), [0, 0])
        count[0] += 1
        count[1] += successful
    rows: list[list[object]] = [[*kind, *count] for kind, count in sorted(counts.items())]
    width = len(next(iter(counts), ()))
    return [*rows, ["all", *[""] * (width - 1), len(tries), sum(successful for _kind, successful in tries)]]
