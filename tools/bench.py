"""Measure runs of site.yml that change nothing, beside the same end state as builtin tasks and as a pyinfra deploy.

Usage: python -m tools.bench [one] [seven]      makes the hosts that are missing; figures are ratios of one machine

The other versions are made from what the components were asked for (tools/counterparts.py), and must change nothing
either, or it would not be the same end state. The versions take turns, so that whatever else the machine does meets
them alike. pyinfra is measured when `make bench` has installed it, in its fastest mode: it asks nothing, and no host
waits for another.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tools.collection import ROOT
from tools.counterparts import plain_play, plain_tasks_of, pyinfra_host

CACHE = ROOT / ".cache/bench"
# paramiko, over which pyinfra reaches hosts, knows none of the key exchanges that the role ssh allows.
FOR_PARAMIKO = {"ssh_kex_algorithms": ["mlkem768x25519-sha256", "curve25519-sha256@libssh.org"]}
PYINFRA = ROOT / ".cache/venv-bench/bin/pyinfra"
SITE = ROOT / "playbooks/site.yml"
RUNS = 3
Noted = list[dict[str, Any]]


class Topology(NamedTuple):
    """Hosts to measure on: who makes them, and where the names of sites and of mail lead."""

    scenario: str
    inventory: str
    addresses: tuple[str, str]
    mail: tuple[str, str]


def at(octet: int) -> tuple[str, str]:
    """Both addresses of a host of the sandbox."""
    return f"172.30.0.{octet}", f"fd30::{octet}"


TOPOLOGIES = {
    "one": Topology("default", "inventories/development", ("172.30.0.10", "fd30::10"), ("172.30.0.10", "fd30::10")),
    "seven": Topology(
        "phase2", "tests/e2e/inventories/phase2", ("172.30.0.36", "fd30::36"), ("172.30.0.32", "fd30::32")
    ),
}


def done(command: list[str], **environment: str) -> str:
    """Run a command to its end; its output."""
    ran = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if ran.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{ran.stdout[-4000:]}{ran.stderr[-2000:]}")
    return ran.stdout + ran.stderr


def play(topology: Topology, playbook: Path, extra: dict[str, Any]) -> tuple[str, Noted]:
    """Run a playbook; its recap, and every module execution."""
    chosen = ["-i", topology.inventory, "--extra-vars", json.dumps(extra)]
    executions = CACHE / "executions.jsonl"
    executions.unlink(missing_ok=True)
    output = done(
        ["ansible-playbook", *chosen, str(playbook)],
        ANSIBLE_CALLBACK_PLUGINS=str(ROOT / "tools/callback"),
        ANSIBLE_CALLBACKS_ENABLED="executions",
        VISE_EXECUTIONS=str(executions),
    )
    return output.partition("PLAY RECAP")[2], [json.loads(line) for line in executions.read_text().splitlines()]


def deploy(inventory: Path) -> str:
    """Run the deploy of pyinfra; what it says of its operations."""
    return done([str(PYINFRA), "--yes", "--no-wait", str(inventory), str(ROOT / "tools/pyinfra_deploy.py")])


def changed(output: str) -> bool:
    """Whether a recap of Ansible, or the columns hosts, success, error, no change of pyinfra tell of a change."""
    return bool(re.search(r"changed=[1-9]|^\s*Grand total +\d+ +\d", output, re.M))


def timed(version: str, run: Callable[[], str]) -> float:
    """Seconds of a run, which must change nothing."""
    begun = time.monotonic()
    output = run()
    seconds = time.monotonic() - begun
    if changed(output):
        sys.exit(f"{version} changed something, so it is no run without change:\n{output}")
    return seconds


def versions(topology: Topology, site: Noted) -> dict[str, Callable[[], str]]:
    """Write the other versions; what runs each."""
    hosts = sorted({one["host"] for one in site if one["component"]})
    for host in hosts:
        (CACHE / f"{host}.json").write_text(json.dumps(plain_tasks_of(host, site, CACHE / "files")))
    playbook = CACHE / "plain.json"
    playbook.write_text(json.dumps([plain_play(hosts)]))
    found = {
        "site.yml": lambda: play(topology, SITE, FOR_PARAMIKO)[0],
        "plain tasks": lambda: play(topology, playbook, {})[0],
    }
    if PYINFRA.exists():
        inventory = CACHE / "pyinfra_inventory.py"
        inventory.write_text(f"hosts = {[pyinfra_host(host, site, CACHE / 'files') for host in hosts]!r}\n")
        found["pyinfra"] = lambda: deploy(inventory)
    return found


def report(site: Noted, items: Counter[str], seconds: dict[str, list[float]]) -> str:
    """Tell the counts and the times, and their ratios."""
    medians = {version: statistics.median(taken) for version, taken in seconds.items()}
    lines = [f"  {host}: {counted(site, host)}, {items[host]} items" for host in sorted({one["host"] for one in site})]
    for version, median in medians.items():
        ratio = f", ratio {medians['site.yml'] / median:.2f}" if version != "site.yml" else ""
        spread = f"{min(seconds[version]):.1f} to {max(seconds[version]):.1f}"
        lines.append(f"  {version} {median:.1f} s ({spread}){ratio}")
    return "\n".join(lines)


def counted(site: Noted, host: str) -> str:
    """Tell how many modules ran for a host, and how long those took that the other versions have no counterpart of."""
    mine = [one for one in site if one["host"] == host]
    alone = [one["seconds"] for one in mine if not one["component"]]
    return f"{len(mine)} executions, {len(alone)} without a counterpart took {sum(alone):.1f} s"


@contextmanager
def hosts_of(topology: Topology) -> Iterator[None]:
    """The hosts of a topology, with the sites' names; the default's stay, as `make hosts` leaves them."""
    done(["molecule", "create", "--scenario-name", topology.scenario])
    point(topology)
    try:
        yield
    finally:
        if topology.scenario != "default":
            done(["molecule", "destroy", "--scenario-name", topology.scenario])
            point(TOPOLOGIES["one"])


def point(topology: Topology) -> None:
    """Lead the sites' names to a topology."""
    names = ("mail", "autoconfig", "autodiscover", "mta-sts")
    done([sys.executable, "sandbox/sandbox.py", "point", *topology.addresses, "docs"])
    done([sys.executable, "sandbox/sandbox.py", "point", *topology.mail, *names])


def bench(topology: Topology) -> str:
    """Measure all versions on one topology."""
    with hosts_of(topology):
        play(topology, SITE, FOR_PARAMIKO)  # whatever was still to do
        _, site = play(topology, SITE, FOR_PARAMIKO)
        runs = versions(topology, site)
        # Once untimed, for what the others see differently, such as a directory's mode; site.yml must then agree.
        for run in runs.values():
            run()
        seconds: dict[str, list[float]] = {version: [] for version in runs}
        for _ in range(RUNS):
            for version, run in runs.items():
                seconds[version].append(timed(version, run))
        play(topology, SITE, {})
    items = Counter({host: len(plain_tasks_of(host, site, CACHE / "files")) for host in {one["host"] for one in site}})
    return report(site, items, seconds)


def main(arguments: list[str]) -> int:
    """Measure the topologies that are named, or all."""
    CACHE.mkdir(parents=True, mode=0o700, exist_ok=True)
    for name in arguments or TOPOLOGIES:
        print(f"runs without change on {name}, median of {RUNS} (least to most)", flush=True)
        print(bench(TOPOLOGIES[name]), flush=True)
    if not PYINFRA.exists():
        print("pyinfra was not measured: `make bench` installs it")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
