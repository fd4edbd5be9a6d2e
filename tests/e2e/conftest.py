"""Ways into the sandbox: a shell in world, which is outside, and one on a host."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import machines
from tests.e2e.converge import ADDRESS, ADDRESS6, LISTING, MAIL_NAMES, PHASE1, TASKS, Platform, chosen

ROOT = Path(__file__).resolve().parents[2]

Shell = Callable[..., "subprocess.CompletedProcess[str]"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kept", action="store_true", help="continue with the hosts that an earlier run converged")
    parser.addoption("--killed", action="store_true", help="kill the first converge twice on its way")


def run(argv: list[str], text: str | None, check: bool) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(argv, input=text, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    if check and done.returncode != 0:
        pytest.fail(f"{' '.join(argv)}: exit {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
    return done


@pytest.fixture(scope="session")
def world() -> Shell:
    """Run a shell command in world: `world("dig +short docs.vln.test").stdout`."""

    def shell(command: str, text: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        return run(["docker", "exec", "-i", "world", "sh", "-c", command], text, check)

    return shell


@pytest.fixture(scope="session")
def on_host() -> Shell:
    """Run a shell command on a host by SSH, over a shared connection: `on_host("172.30.0.10", "uptime")`."""

    def shell(
        address: str, command: str, text: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        return run([*machines.ssh_command(address, options=machines.shared_connection()), command], text, check)

    return shell


@pytest.fixture(scope="session")
def sandbox() -> Shell:
    """Run sandbox/sandbox.py: `sandbox("stop", "acme")`."""

    def command(*argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return run(["python3", "sandbox/sandbox.py", *argv], None, check)

    return command


@pytest.fixture(scope="session")
def browse() -> Callable[..., dict[str, Any]]:
    """Have Chromium in world follow steps (tests/e2e/browser.py) and say what it saw."""

    def steps(*todo: dict[str, Any]) -> dict[str, Any]:
        script = (Path(__file__).parent / "browser.py").read_text()
        # Through the environment, since standard input carries the script.
        argv = ["docker", "exec", "-i", "-e", f"STEPS={json.dumps(todo)}", "world", "python3", "-"]
        seen: dict[str, Any] = json.loads(run(argv, script, check=True).stdout)
        return seen

    return steps


@pytest.fixture(scope="session")
def empty(request: pytest.FixtureRequest, sandbox: Shell) -> Platform:
    """An empty host to which the site's name leads."""
    subprocess.run([sys.executable, "-m", "tools.make_secrets"], cwd=ROOT, check=True)
    if not request.config.getoption("--kept"):
        PHASE1.create()
    sandbox("point", ADDRESS, ADDRESS6, "docs", *MAIL_NAMES)
    # As the provider of a server is asked to set it.
    for address in (ADDRESS, ADDRESS6):
        sandbox("ptr", address, "mail.vln.test")
    return PHASE1


@pytest.fixture(scope="session")
def listing(on_host: Shell) -> Callable[[], str]:
    """What is on the host: owners, modes, links, checksums."""
    return lambda: on_host(ADDRESS, "bash -s", LISTING).stdout


@pytest.fixture(scope="session")
def converged(request: pytest.FixtureRequest, empty: Platform, listing: Callable[[], str]) -> str:
    """The listing of a converged host; with --killed, its first converge was killed on its way."""
    if request.config.getoption("--killed") and not request.config.getoption("--kept"):
        for task, delay in chosen(seed=3, tasks=TASKS, times=2, longest=4):
            print("killed in", empty.kill_in(task, delay))
    empty.converge()
    return listing()
