#!/usr/bin/env python3
"""Start the sandbox and install the platform in it: runs make targets as stages and measures the time of each.

Runs before any package is installed, so it needs only the standard library.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
LOGS = ROOT / ".cache/logs"
INVENTORY = "inventories/development"
VAULT = f"{INVENTORY}/group_vars/all/vault.yml"
TAIL = 60
QUIET_SECONDS = 30


class Stage(NamedTuple):
    """A make target and its description."""

    target: str
    purpose: str


STAGES = [
    Stage("setup", "Python environment of the controller"),
    Stage("docker", "Docker"),
    Stage("image", "images of the platform host and of world"),
    Stage("world", "world, the simulated internet: DNS, ACME, APIs"),
    Stage("docs", "manual, which is also the site to serve"),
    Stage("hosts", "empty platform host"),
    Stage("converge", "platform: playbooks/site.yml"),
]


def parse_progress(line: str) -> str:
    """Return a line of output for the progress display: the name of a play or task, or the line itself."""
    line = re.sub(r"\x1b\[[0-9;]*m", "", line).strip()
    match = re.match(r"(?:TASK|PLAY|RUNNING HANDLER) \[(.*)\] \**$", line)
    return match.group(1) if match else line


def run(stage: Stage, number: int, live: bool) -> tuple[int, float, Path]:
    """Run one stage, write its output to a log and show its progress; return exit code, seconds and log."""
    log = LOGS / f"up-{stage.target}.log"
    started = time.monotonic()
    print(f"[{number}/{len(STAGES)}] {stage.purpose}: make {stage.target}", flush=True)
    with log.open("w+b") as output:
        command = ["make", "--no-print-directory", stage.target]
        child = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        last_shown = started
        while child.poll() is None:
            time.sleep(0.2)
            now = time.monotonic()
            if now - last_shown >= (1 if live else QUIET_SECONDS):
                last_shown = now
                print_progress(f"      {now - started:4.0f} s  {read_last_progress(log)}", live)
    if live:
        print_progress("", live)
    return child.returncode, time.monotonic() - started, log


def print_progress(text: str, live: bool) -> None:
    """Print a line of progress; on a terminal it replaces the previous line."""
    if live:
        width = os.get_terminal_size().columns
        print(f"\r\x1b[K{text[: width - 1]}", end="", flush=True)
    else:
        print(text, flush=True)


def read_last_progress(log: Path) -> str:
    """Return the latest progress in a log."""
    lines = [parse_progress(line) for line in log.read_text(errors="replace").splitlines()[-20:]]
    return next((line for line in reversed(lines) if line), "")


def load_inventory() -> dict[str, Any]:
    """Return the development inventory with its variables, as the playbooks see them."""
    command = ["ansible-inventory", "-i", "inventories/development", "--playbook-dir", "playbooks", "--list"]
    path = f"{ROOT / '.venv/bin'}{os.pathsep}{os.environ['PATH']}"
    completed = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PATH": path}, check=True, stdout=subprocess.PIPE, text=True
    )
    listing: dict[str, Any] = json.loads(completed.stdout)
    return listing


def is_leaf_group(group: dict[str, Any]) -> bool:
    """Return whether a group lists hosts itself; such groups are the functions of a host."""
    return "hosts" in group and "children" not in group


def describe_hosts(listing: dict[str, Any]) -> list[str]:
    """Describe each host: address, functions, and the command to log in."""
    lines = []
    for host, variables in sorted(listing["_meta"]["hostvars"].items()):
        groups = sorted(name for name, group in listing.items() if is_leaf_group(group) and host in group["hosts"])
        login = f"ssh -i .cache/sandbox/id_ed25519 -o StrictHostKeyChecking=no root@{variables['ansible_host']}"
        lines += [
            f"{host} ({variables['ansible_host']}) runs {', '.join(groups)}",
            f"  log in         {login}",
            f"  list services  {login} systemctl list-units --type=service",
        ]
    return lines


def describe_site(listing: dict[str, Any]) -> list[str]:
    """Describe the site: its URL, a request from outside, and its source."""
    domain = next(iter(listing["_meta"]["hostvars"].values()))["domain"]
    return [
        f"https://docs.{domain}/ serves the manual",
        f"  request it     docker exec world curl --http3 -sI https://docs.{domain}/",
        "  source         docs/, built into docs/.vitepress/dist",
    ]


def describe_mail(listing: dict[str, Any]) -> list[str]:
    """Describe mail: the mailboxes, the probe, and a command to send mail from outside."""
    domain = next(iter(listing["_meta"]["hostvars"].values()))["domain"]
    return [
        f"mail.{domain} has the mailboxes postmaster@{domain} and probe@{domain} (passwords: {VAULT})",
        f"  test delivery  .venv/bin/ansible-playbook -i {INVENTORY} playbooks/probe_mail.yml",
        f"  send mail      docker exec world swaks --to postmaster@{domain} --server mail.{domain}",
    ]


WORLD_LINES = [
    "world (172.30.0.2) simulates the internet outside the platform: DNS, ACME, APIs, mail, object storage",
    "  list services  make sandbox-status",
    "  query its DNS  docker exec world dig @172.30.0.2 docs.vln.test",
]


def describe_times(times: list[tuple[Stage, float]]) -> list[str]:
    """Describe the duration of each stage."""
    rows = [f"  {seconds:5.0f} s  {stage.target:9} {stage.purpose}" for stage, seconds in times]
    return ["time of each stage", *rows, f"  {sum(seconds for _, seconds in times):5.0f} s  total"]


def build_summary(listing: dict[str, Any], times: list[tuple[Stage, float]]) -> str:
    """Return the last lines of `make up`: hosts, services, commands to inspect them, and the time of each stage."""
    logs = ["logs of the stages: .cache/logs/up-<stage>.log", "remove the sandbox: make down"]
    return "\n".join(
        [
            "",
            *describe_hosts(listing),
            *describe_site(listing),
            *describe_mail(listing),
            *WORLD_LINES,
            *describe_times(times),
            *logs,
        ]
    )


def main() -> int:
    """Run all stages, then print the summary; on failure print the end of the stage's log."""
    LOGS.mkdir(parents=True, exist_ok=True)
    times: list[tuple[Stage, float]] = []
    for number, stage in enumerate(STAGES, 1):
        code, seconds, log = run(stage, number, sys.stdout.isatty())
        times.append((stage, seconds))
        if code:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-TAIL:])
            print(f"{tail}\n      make {stage.target} FAILED after {seconds:.0f} s; full log: {log.relative_to(ROOT)}")
            return 1
        print(f"      done in {seconds:.0f} s", flush=True)
    print(build_summary(load_inventory(), times))
    return 0


if __name__ == "__main__":
    sys.exit(main())
