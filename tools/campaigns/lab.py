"""What campaigns share: a host of a scenario, shells on it and in world, and the table that is left."""

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
    """What keeps a campaign from going on."""


def inside(container: str, script: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a shell script in a container."""
    argv = ["docker", "exec", *(["-i"] if text is not None else []), container, "bash", "-c", script]
    return subprocess.run(argv, input=text, capture_output=True, text=True, check=False)


def must(container: str, script: str, text: str | None = None) -> str:
    """Run a shell script that has to succeed; return what it printed."""
    done = inside(container, script, text)
    if done.returncode:
        raise CampaignError(f"{container}: {script}\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def reached() -> list[str]:
    """Return how ansible reaches the host, whose inventory is molecule's own."""
    way = {
        "ansible_host": f"172.30.0.10{WORKER}",
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(collection.ROOT / ".cache/sandbox/id_ed25519"),
        "ansible_ssh_common_args": "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR",
    }
    return [HOST, "-i", f"{HOST},", "-e", json.dumps(way)]


def molecule(step: str, scenario: str) -> None:
    """Make the host of a scenario, or remove it."""
    done = subprocess.run(
        ["molecule", step, "--scenario-name", scenario],
        cwd=collection.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CampaignError(f"molecule {step} -s {scenario}:\n{done.stdout[-4000:]}")


def made(*targets: str) -> None:
    """Make targets of the Makefile, which do nothing where all is there."""
    done = subprocess.run(
        ["make", "--no-print-directory", *targets], cwd=collection.ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise CampaignError(f"make {' '.join(targets)}:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")


def repositories(switch: str) -> None:
    """Take them away from the platform's host, by an outage, or give them back, by none."""
    for service in ("s3_a", "s3_b"):
        command = [sys.executable, "sandbox/sandbox.py", "fault", service, switch, ADDRESS, ADDRESS6]
        subprocess.run(command, cwd=collection.ROOT, capture_output=True, check=True)


@dataclass(frozen=True)
class Result:
    """What a campaign has come to: a row a kind, and what was not as it should be."""

    name: str
    seed: int
    head: Sequence[str]
    rows: Sequence[Sequence[object]]
    failures: Sequence[str]


def table(result: Result) -> str:
    """Return the result as a page of Markdown."""
    lines = [
        f"# Campaign {result.name}, seed {result.seed}",
        "",
        f"| {' | '.join(result.head)} |",
        f"|{' --- |' * len(result.head)}",
        *(f"| {' | '.join(map(str, row))} |" for row in result.rows),
    ]
    lines += ["", *(f"- {failure}" for failure in result.failures)] if result.failures else []
    return "\n".join(lines) + "\n"


def keep(result: Result) -> str:
    """Write the table into the checkout's cache; return where."""
    moment = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H%M%SZ")
    path = collection.ROOT / ".cache/campaigns" / f"{result.name}-{moment}.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(table(result), encoding="utf-8")
    return str(path)


def counted(tries: Sequence[tuple[Sequence[str], bool]]) -> list[list[object]]:
    """Return a row a kind, with how often it was tried and how often that went well, and their sum."""
    counts: dict[tuple[str, ...], list[int]] = {}
    for kind, good in tries:
        count = counts.setdefault(tuple(kind), [0, 0])
        count[0] += 1
        count[1] += good
    rows: list[list[object]] = [[*kind, *count] for kind, count in sorted(counts.items())]
    width = len(next(iter(counts), ()))
    return [*rows, ["all", *[""] * (width - 1), len(tries), sum(good for _kind, good in tries)]]
