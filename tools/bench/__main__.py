"""Compare runs of site.yml without change with the same end state as builtin tasks and as a pyinfra deploy.

Usage: python -m tools.bench [one] [seven] [backups]

It creates missing hosts. Only the ratios compare between machines.

`backups` compares backups and restores with pgBackRest and restic, called by hand (backups.py).

The other versions are generated from the arguments of the components (counterparts.py). They must not change
anything either, otherwise their end state would differ. The versions run in turns, so that other load on the machine
affects all of them. pyinfra is measured when `make bench` has installed it, in its fastest mode: without confirmation
(--yes), and no host waits for another (--no-wait).
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from tools.bench import backups
from tools.bench.counterparts import build_plain_play, build_pyinfra_host, list_components, list_plain_tasks
from tools.collection import ROOT

FOLDER = Path(__file__).parent
CACHE = ROOT / ".cache/bench"
# pyinfra connects with paramiko, which supports none of the key exchanges that the role ssh allows by default.
PARAMIKO_SETTINGS = {"ssh_kex_algorithms": ["mlkem768x25519-sha256", "curve25519-sha256@libssh.org"]}
PYINFRA = ROOT / ".cache/venv-bench/bin/pyinfra"
SITE = ROOT / "playbooks/site.yml"
RUNS = 3
PAGE = os.sysconf("SC_PAGE_SIZE")
Executions = list[dict[str, Any]]


class Topology(NamedTuple):
    """Hosts to measure: the scenario that creates them, and the addresses for the names of sites and of mail."""

    scenario: str
    inventory: str
    addresses: tuple[str, str]
    mail: tuple[str, str]


TOPOLOGIES = {
    "one": Topology("default", "inventories/development", ("172.30.0.10", "fd30::10"), ("172.30.0.10", "fd30::10")),
    "seven": Topology(
        "phase2", "tests/e2e/inventories/phase2", ("172.30.0.36", "fd30::36"), ("172.30.0.32", "fd30::32")
    ),
}


# The largest memory that each command and the processes below it used together, in MiB, in the order of runs.
peaks: list[float] = []


def memory_below(process: int) -> float:
    """Return the resident memory of a process and of all below it, in MiB; shared pages count once per process."""
    parents, resident = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = path.read_text().rpartition(") ")[2].split()
            parents[int(path.parent.name)] = int(fields[1])
            resident[int(path.parent.name)] = int(fields[21]) * PAGE
    below = {process}
    while more := {one for one, parent in parents.items() if parent in below} - below:
        below |= more
    return sum(resident.get(one, 0) for one in below) / 2**20


def watch(child: subprocess.Popen[str]) -> float:
    """Return the largest memory of a command until it ends, looked at five times a second."""
    peak = 0.0
    while child.poll() is None:
        peak = max(peak, memory_below(child.pid))
        time.sleep(0.2)
    return peak


def run_command(command: list[str], **environment: str) -> str:
    """Run a command and return its output; exits with the end of the output when the command fails."""
    with tempfile.TemporaryFile("w+") as log:
        child = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **environment}, stdout=log, stderr=subprocess.STDOUT, text=True
        )
        peaks.append(watch(child))
        log.seek(0)
        output = log.read()
    if child.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{output[-6000:]}")
    return output


def run_playbook(
    topology: Topology, playbook: Path, extra: dict[str, Any], survey: bool = True
) -> tuple[str, Executions]:
    """Run a playbook, with surveys as by default or without; return its recap and all module executions."""
    options = ["-i", topology.inventory, "--extra-vars", json.dumps(extra)]
    executions = CACHE / "executions.jsonl"
    executions.unlink(missing_ok=True)
    output = run_command(
        ["ansible-playbook", *options, str(playbook)],
        ANSIBLE_CALLBACK_PLUGINS=str(FOLDER / "callback"),
        ANSIBLE_CALLBACKS_ENABLED="executions,vise.platform.survey" if survey else "executions",
        VISE_EXECUTIONS=str(executions),
    )
    return output.partition("PLAY RECAP")[2], [json.loads(line) for line in executions.read_text().splitlines()]


def run_pyinfra(inventory: Path) -> str:
    """Run the pyinfra deploy; return its output."""
    return run_command([str(PYINFRA), "--yes", "--no-wait", str(inventory), str(FOLDER / "pyinfra_deploy.py")])


def reports_change(output: str) -> bool:
    """Return whether Ansible's recap, or pyinfra's columns (hosts, success, error, no change), report a change."""
    return bool(re.search(r"changed=[1-9]|^\s*Grand total +\d+ +\d", output, re.M))


def measure(version: str, run: Callable[[], str]) -> float:
    """Return the seconds of a run; exits when the run changed something."""
    started = time.monotonic()
    output = run()
    seconds = time.monotonic() - started
    if reports_change(output):
        sys.exit(f"{version} changed something, but only runs without change are measured:\n{output}")
    return seconds


def prepare_versions(topology: Topology, site: Executions) -> dict[str, Callable[[], str]]:
    """Write the files of the other versions; return a function that runs each version.

    Args:
        topology: the hosts.
        site: the executions of a run without survey, with the arguments of every component.
    """
    hosts = sorted({one["host"] for one in site if one["component"]})
    for host in hosts:
        (CACHE / f"{host}.json").write_text(json.dumps(list_plain_tasks(host, site, CACHE / "files")))
    playbook = CACHE / "plain.json"
    playbook.write_text(json.dumps([build_plain_play(hosts)]))
    runs = {
        "site.yml": lambda: run_playbook(topology, SITE, PARAMIKO_SETTINGS)[0],
        "site.yml without survey": lambda: run_playbook(topology, SITE, PARAMIKO_SETTINGS, survey=False)[0],
        "plain tasks": lambda: run_playbook(topology, playbook, {}, survey=False)[0],
    }
    if PYINFRA.exists():
        inventory = CACHE / "pyinfra_inventory.py"
        inventory.write_text(f"hosts = {[build_pyinfra_host(host, site, CACHE / 'files') for host in hosts]!r}\n")
        runs["pyinfra"] = lambda: run_pyinfra(inventory)
    return runs


def format_report(
    site: Executions,
    every: Executions,
    items: Counter[str],
    seconds: dict[str, list[float]],
    memory: dict[str, float],
) -> str:
    """Return the counts per host, the median times with their ratios, and the peak memory of the controller.

    Args:
        site: the executions of a run.
        every: the executions of a run without survey.
        items: the number of managed items by host.
        seconds: the times of the runs by version.
        memory: the peak memory of the controller by version.
    """
    medians = {version: statistics.median(taken) for version, taken in seconds.items()}
    lines = [
        f"  {host}: {describe_executions(site, every, host)}, {items[host]} items"
        for host in sorted({one["host"] for one in site})
    ]
    for version, median in medians.items():
        ratio = f", ratio {medians['site.yml'] / median:.2f}" if version != "site.yml" else ""
        spread = f"{min(seconds[version]):.1f} to {max(seconds[version]):.1f}"
        lines.append(f"  {version} {median:.1f} s ({spread}){ratio}, controller at most {memory[version]:.0f} MiB")
    return "\n".join(lines)


def describe_executions(site: Executions, every: Executions, host: str) -> str:
    """Return the number of module executions for a host, and the time of those that have no counterpart."""
    executions = [one for one in site if one["host"] == host]
    others = [one["seconds"] for one in executions if not one["component"]]
    surveyed = len(list_components(host, every)) - len(list_components(host, site))
    text = f"{len(executions)} executions, {len(others)} without a counterpart took {sum(others):.1f} s"
    # The other components were compared in the execution of preflight, which has no counterpart either.
    return f"{text}, {surveyed} components only surveyed" if surveyed else text


@contextmanager
def running_hosts(topology: Topology) -> Iterator[None]:
    """Create the hosts of a topology, and destroy them afterwards unless they are those of `make hosts`."""
    run_command(["molecule", "create", "--scenario-name", topology.scenario])
    point_names(topology)
    try:
        yield
    finally:
        if topology.scenario != "default":
            run_command(["molecule", "destroy", "--scenario-name", topology.scenario])
            point_names(TOPOLOGIES["one"])


def point_names(topology: Topology) -> None:
    """Point the DNS names of sites and of mail at a topology."""
    names = ("mail", "autoconfig", "autodiscover", "mta-sts")
    run_command([sys.executable, "sandbox/sandbox.py", "point", *topology.addresses, "docs"])
    run_command([sys.executable, "sandbox/sandbox.py", "point", *topology.mail, *names])


def measure_topology(topology: Topology) -> str:
    """Measure all versions on one topology; return the report."""
    with running_hosts(topology):
        run_playbook(topology, SITE, PARAMIKO_SETTINGS)  # makes all pending changes
        _, every = run_playbook(topology, SITE, PARAMIKO_SETTINGS, survey=False)
        _, site = run_playbook(topology, SITE, PARAMIKO_SETTINGS)
        runs = prepare_versions(topology, every)
        # One run without measurement, because versions differ in details such as the mode of a directory.
        for run in runs.values():
            run()
        seconds: dict[str, list[float]] = {version: [] for version in runs}
        memory = dict.fromkeys(runs, 0.0)
        for _ in range(RUNS):
            for version, run in runs.items():
                seconds[version].append(measure(version, run))
                memory[version] = max(memory[version], peaks[-1])
        run_playbook(topology, SITE, {})
    # An item is managed if its component was executed or surveyed.
    items = Counter(
        {host: len(list_plain_tasks(host, every, CACHE / "files")) for host in {one["host"] for one in site}}
    )
    return format_report(site, every, items, seconds, memory)


def main(arguments: list[str]) -> int:
    """Measure the given topologies, by default all."""
    CACHE.mkdir(parents=True, mode=0o700, exist_ok=True)
    for name in arguments or [*TOPOLOGIES, "backups"]:
        if name == "backups":
            print(f"backups and restores: median of {backups.RUNS}", flush=True)
            for row in backups.measure_all():
                print(row, flush=True)
            continue
        print(f"runs without change on {name}: median of {RUNS} (minimum to maximum)", flush=True)
        print(measure_topology(TOPOLOGIES[name]), flush=True)
    if not PYINFRA.exists():
        print("pyinfra was not measured, because it is not installed: run `make bench`, which installs it")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
