#!/usr/bin/env python3
"""Bring up the sandbox and the platform in it: make targets as stages, with the time each takes.

Runs before anything is installed, so it needs only the standard library.
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
    """A make target and what it is for."""

    target: str
    purpose: str


STAGES = [
    Stage("setup", "controller environment"),
    Stage("docker", "Docker"),
    Stage("image", "images of a host and of the world outside"),
    Stage("world", "world outside: DNS, ACME, APIs"),
    Stage("docs", "the manual, which is also the site to serve"),
    Stage("hosts", "an empty host"),
    Stage("converge", "playbooks/site.yml"),
]


def progress(line: str) -> str:
    """Return what a line of output says of the progress, or nothing."""
    line = re.sub(r"\x1b\[[0-9;]*m", "", line).strip()
    found = re.match(r"(?:TASK|PLAY|RUNNING HANDLER) \[(.*)\] \**$", line)
    return found.group(1) if found else line


def run(stage: Stage, number: int, live: bool) -> tuple[int, float, Path]:
    """Run one stage with its output in a log, and show that it goes on."""
    log = LOGS / f"up-{stage.target}.log"
    begun = time.monotonic()
    print(f"[{number}/{len(STAGES)}] {stage.purpose}: make {stage.target}", flush=True)
    with log.open("w+b") as output:
        command = ["make", "--no-print-directory", stage.target]
        child = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        shown = begun
        while child.poll() is None:
            time.sleep(0.2)
            now = time.monotonic()
            if now - shown >= (1 if live else QUIET_SECONDS):
                shown = now
                show(f"      {now - begun:4.0f} s  {last_line(log)}", live)
    if live:
        show("", live)
    return child.returncode, time.monotonic() - begun, log


def show(text: str, live: bool) -> None:
    """Print a line of progress; on a terminal it replaces the one before."""
    if live:
        width = os.get_terminal_size().columns
        print(f"\r\x1b[K{text[: width - 1]}", end="", flush=True)
    else:
        print(text, flush=True)


def last_line(log: Path) -> str:
    """Return the newest progress in a log."""
    lines = [progress(line) for line in log.read_text(errors="replace").splitlines()[-20:]]
    return next((line for line in reversed(lines) if line), "")


def inventory() -> dict[str, Any]:
    """Return the development inventory with the variables that its playbooks see."""
    command = ["ansible-inventory", "-i", "inventories/development", "--playbook-dir", "playbooks", "--list"]
    path = f"{ROOT / '.venv/bin'}{os.pathsep}{os.environ['PATH']}"
    answer = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PATH": path}, check=True, stdout=subprocess.PIPE, text=True
    )
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def is_function(group: dict[str, Any]) -> bool:
    """Tell the groups that say what a host does from those that only hold other groups."""
    return "hosts" in group and "children" not in group


def host_lines(listing: dict[str, Any]) -> list[str]:
    """Tell each host's address, what it runs, and how to get in."""
    lines = []
    for host, variables in sorted(listing["_meta"]["hostvars"].items()):
        groups = sorted(name for name, group in listing.items() if is_function(group) and host in group["hosts"])
        login = f"ssh -i .cache/sandbox/id_ed25519 -o StrictHostKeyChecking=no root@{variables['ansible_host']}"
        lines += [
            f"{host} ({variables['ansible_host']}) runs {', '.join(groups)}",
            f"  log in        {login}",
            f"  its services  {login} systemctl list-units --type=service",
        ]
    return lines


def site_lines(listing: dict[str, Any]) -> list[str]:
    """Tell where the manual is served and how to look at it from outside."""
    domain = next(iter(listing["_meta"]["hostvars"].values()))["domain"]
    return [
        f"https://docs.{domain}/ serves the manual",
        f"  from outside  docker exec world curl --http3 -sI https://docs.{domain}/",
        "  its source    docs/, built into docs/.vitepress/dist",
    ]


def mail_lines(listing: dict[str, Any]) -> list[str]:
    """Tell who has mail and how to write one from outside."""
    domain = next(iter(listing["_meta"]["hostvars"].values()))["domain"]
    return [
        f"mail.{domain} takes mail for postmaster@{domain} and probe@{domain} (passwords: {VAULT})",
        f"  does it flow  .venv/bin/ansible-playbook -i {INVENTORY} playbooks/probe_mail.yml",
        f"  write one     docker exec world swaks --to postmaster@{domain} --server mail.{domain}",
    ]


WORLD_LINES = [
    "world (172.30.0.2) plays the world outside",
    "  its services  make status",
    "  its DNS       docker exec world dig @172.30.0.2 docs.vln.test",
]


def time_lines(took: list[tuple[Stage, float]]) -> list[str]:
    """Tell how long each stage took."""
    rows = [f"  {seconds:5.0f} s  {stage.target:9} {stage.purpose}" for stage, seconds in took]
    return ["time", *rows, f"  {sum(seconds for _, seconds in took):5.0f} s  in all"]


def summary(listing: dict[str, Any], took: list[tuple[Stage, float]]) -> str:
    """Tell what runs where, how to look at it, and how long each stage took."""
    logs = ["logs: .cache/logs/up-<stage>.log", "remove everything: make down"]
    return "\n".join(
        ["", *host_lines(listing), *site_lines(listing), *mail_lines(listing), *WORLD_LINES, *time_lines(took), *logs]
    )


def main() -> int:
    """Run all stages, then tell what runs where."""
    LOGS.mkdir(parents=True, exist_ok=True)
    took: list[tuple[Stage, float]] = []
    for number, stage in enumerate(STAGES, 1):
        code, seconds, log = run(stage, number, sys.stdout.isatty())
        took.append((stage, seconds))
        if code:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-TAIL:])
            print(f"{tail}\n      FAILED after {seconds:.0f} s; all of its output: {log.relative_to(ROOT)}")
            return 1
        print(f"      done in {seconds:.0f} s", flush=True)
    print(summary(inventory(), took))
    return 0


if __name__ == "__main__":
    sys.exit(main())
