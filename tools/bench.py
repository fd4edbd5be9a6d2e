"""Measure runs of site.yml that change nothing, beside the same end state written as plain builtin tasks.

Usage: python -m tools.bench [INVENTORY]      on hosts that are up and converged; figures are ratios of one machine

The plain version is made from what the components were asked for: one builtin task an item, as one would write it
without the component. It has to change nothing either, or it would not be the same end state.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools.collection import ROOT

CACHE = ROOT / ".cache/bench"
RUNS = 3
Task = dict[str, Any]


def given(account: dict[str, Any]) -> dict[str, Any]:
    """Leave out what was not asked for."""
    return {key: value for key, value in account.items() if value is not None}


def kept(content: str) -> Path:
    """Keep a rendered file for copy, which would take it for a template if it stood in the task."""
    path = CACHE / "files" / hashlib.sha256(content.encode()).hexdigest()
    path.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
    path.write_text(content)
    return path


def plain_tasks(component: dict[str, Any]) -> Iterator[Task]:
    """Write one component as builtin tasks."""
    if component["packages"]:
        yield {"ansible.builtin.apt": {"name": component["packages"]}}
    if component["absent_packages"]:
        yield {"ansible.builtin.apt": {"name": component["absent_packages"], "state": "absent"}}
    for group in component["groups"]:
        yield {"ansible.builtin.group": given(group)}
    for user in component["users"]:
        yield {"ansible.builtin.user": given(user)}
    for directory in component["directories"]:
        yield {"ansible.builtin.file": {**directory, "state": "directory"}}
    for file in component["files"]:
        mode = file["mode"] or ("0600" if file["secret"] else "0644")
        copied = {key: file[key] for key in ("dest", "owner", "group")}
        source = str(kept(file["content"]))
        yield {"ansible.builtin.copy": {**copied, "src": source, "mode": mode}, "no_log": file["secret"]}
    for link in component["links"]:
        yield {"ansible.builtin.file": {"path": link["path"], "src": link["target"], "state": "link"}}
    for path in component["absent"]:
        yield {"ansible.builtin.file": {"path": path, "state": "absent"}}
    for unit in component["units"]:
        state = {} if unit["state"] == "any" else {"state": unit["state"]}
        yield {"ansible.builtin.systemd_service": {"name": unit["name"], "enabled": unit["enabled"], **state}}


def plain_play(host: str, executions: list[dict[str, Any]]) -> dict[str, Any]:
    """Write a play for one host."""
    components = [one["component"] for one in executions if one["host"] == host and one["component"]]
    tasks = [task for component in components for task in plain_tasks(component)]
    return {"name": f"Plain tasks on {host}", "hosts": host, "gather_facts": False, "tasks": tasks}


def run(inventory: str, playbook: Path, executions: Path) -> tuple[float, str]:
    """Run a playbook; its seconds and its recap."""
    executions.unlink(missing_ok=True)
    environment = {
        **os.environ,
        "ANSIBLE_CALLBACK_PLUGINS": str(ROOT / "tools/callback"),
        "ANSIBLE_CALLBACKS_ENABLED": "executions",
        "VISE_EXECUTIONS": str(executions),
    }
    command = ["ansible-playbook", "-i", inventory, str(playbook)]
    begun = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - begun
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-4000:]}{done.stderr[-2000:]}")
    return seconds, done.stdout.partition("PLAY RECAP")[2]


def noted(executions: Path) -> list[dict[str, Any]]:
    """Read what the callback noted."""
    return [json.loads(line) for line in executions.read_text().splitlines()]


def measured(inventory: str, playbook: Path, executions: Path) -> float:
    """Return the median of several runs, all of which must change nothing."""
    seconds = []
    for _ in range(RUNS):
        took, recap = run(inventory, playbook, executions)
        if re.search(r"changed=[1-9]", recap):
            sys.exit(f"{playbook} changed something, so it is no run without change:\n{recap}")
        seconds.append(took)
    return statistics.median(seconds)


def report(executions: list[dict[str, Any]], ours: float, plain_count: Counter[str], plain: float) -> str:
    """Tell the counts and the times, and their ratios."""
    counts = Counter(one["host"] for one in executions)
    lines = [f"runs without change, median of {RUNS}"]
    lines += [
        f"  {host}: {count} executions, as plain tasks {plain_count[host]}" for host, count in sorted(counts.items())
    ]
    lines.append(f"  site.yml {ours:.1f} s, plain tasks {plain:.1f} s, ratio {ours / plain:.2f}")
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Measure both versions on one inventory."""
    inventory = arguments[0] if arguments else "inventories/development"
    CACHE.mkdir(parents=True, exist_ok=True)
    executions = CACHE / "executions.jsonl"
    run(inventory, ROOT / "playbooks/site.yml", executions)  # whatever was still to do
    ours = measured(inventory, ROOT / "playbooks/site.yml", executions)
    site = noted(executions)
    playbook = CACHE / "plain.json"
    hosts = sorted({one["host"] for one in site} - {"controller"})
    playbook.write_text(json.dumps([plain_play(host, site) for host in hosts]))
    plain = measured(inventory, playbook, executions)
    print(report(site, ours, Counter(one["host"] for one in noted(executions)), plain))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
