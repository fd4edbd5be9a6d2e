"""Running the playbooks as a user does, killing them as a power cut does, and comparing what is then on a host."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import signal
import subprocess
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.runs import Run

ROOT = Path(__file__).resolve().parents[2]
LOGS = ROOT / ".cache/e2e"
LIMIT = 900
# By which everything that a run has started is found.
MARK = "VISE_KILLED_RUN"

# What changes without a run: clocks, caches, journals, what packages keep for themselves, what containers, databases
# and backup jobs hold.
VOLATILE = (
    "/etc/hostname /etc/hosts /etc/resolv.conf /var/lib/apt /var/lib/chrony /var/lib/containerd /var/lib/dbus "
    "/var/lib/docker /var/lib/letsencrypt /var/lib/logrotate /var/lib/postgresql /var/lib/private /var/lib/prometheus "
    "/var/lib/redis /var/lib/systemd /var/lib/vise/pgbackrest /var/lib/vise/reports /var/lib/vise/restic "
    "/var/lib/vise/components /var/lib/vise/taken-over /var/lib/ucf /var/lib/dpkg/lock /var/lib/dpkg/lock-frontend "
    "/var/lib/dpkg/triggers/Lock /etc/.pwd.lock"
)
LISTING = f"""
prune="-name __pycache__ -prune -o $(for path in {VOLATILE}; do printf -- '-path %s -prune -o ' "$path"; done)"
find /etc /usr/local /srv /var/lib $prune -printf '%M %u:%g %p %l\\n' | sort
find /etc /usr/local /srv /var/lib $prune -type f -print0 | sort -z | xargs -0 sha256sum
"""


class Ended(Exception):
    """A run that was over before it could be killed."""


@dataclass(frozen=True)
class Platform:
    """A topology of the sandbox: its inventory, and the molecule scenario that makes its hosts."""

    inventory: str
    scenario: str
    backups: str

    def command(self, playbook: str, *arguments: str, extra: dict[str, Any] | None = None) -> list[str]:
        """Return the command of a run."""
        variables = ["--extra-vars", json.dumps(extra)] if extra else []
        return ["ansible-playbook", "--inventory", self.inventory, f"playbooks/{playbook}.yml", *arguments, *variables]

    def create(self) -> None:
        """Make the hosts anew: nothing is on them, and they have no backups."""
        self.destroy()
        forget = f"rm -rf /var/lib/world/s3-[ab]/vise-backups/{self.backups}"
        subprocess.run(["docker", "exec", "world", "sh", "-c", forget], check=True)
        self._molecule("create")

    def destroy(self) -> None:
        """Remove the hosts."""
        self._molecule("destroy")

    def _molecule(self, step: str) -> None:
        command = ["molecule", step, "--scenario-name", self.scenario]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def play(self, playbook: str, *arguments: str, extra: dict[str, Any] | None = None) -> Run:
        """Run a playbook to its end, whatever that is."""
        done = subprocess.run(
            self.command(playbook, *arguments, extra=extra),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        LOGS.mkdir(parents=True, exist_ok=True)
        with (LOGS / f"{self.scenario}.log").open("a") as log:
            log.write(f"$ {playbook} {' '.join(arguments)} {extra or ''}\n{done.stdout}{done.stderr}\n")
        return Run(done.returncode, done.stdout + done.stderr)

    def converge(self, playbook: str = "site", *arguments: str, extra: dict[str, Any] | None = None) -> Run:
        """Run a playbook that must pass."""
        run = self.play(playbook, *arguments, extra=extra)
        assert run.code == 0, run.tail
        return run

    def kill_in(self, task: int, delay: float, extra: dict[str, Any] | None = None, playbook: str = "site") -> str:
        """Start a playbook, and kill it some time after its n-th task on the hosts began; return that task's name."""
        mark = uuid.uuid4().hex
        child = self.start(playbook, extra, **{MARK: mark})
        assert child.stdout is not None
        names = (name for line in child.stdout if (name := begun(line)))
        name = next(itertools.islice(names, task - 1, None), "")
        time.sleep(delay)
        if child.poll() is not None:
            raise Ended(f"the run ended before {name} could be killed")
        kill(f"{MARK}={mark}")
        child.wait()
        return name

    def start(self, playbook: str, extra: dict[str, Any] | None = None, **environment: str) -> subprocess.Popen[str]:
        """Start a playbook."""
        return subprocess.Popen(
            self.command(playbook, extra=extra),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
        )


def kill(variable: str) -> None:
    """Kill all processes that have inherited a variable, as NAME=value, until none is left.

    Ansible's workers, and the ssh that they start, have sessions of their own, so that no process group holds all.
    """
    while found := [path for path in Path("/proc").glob("[0-9]*") if variable.encode() in inherited(path)]:
        for path in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(path.name), signal.SIGKILL)


def inherited(process: Path) -> list[bytes]:
    """Return the environment of a process; nothing when it is over, or somebody else's."""
    with contextlib.suppress(OSError):
        return (process / "environ").read_bytes().split(b"\0")
    return []


def begun(line: str) -> str:
    """Return the task that begins on the hosts with this line of output, or nothing."""
    # Checking arguments happens on the controller alone.
    return line.strip(" *\n") if line.startswith("TASK [") and "Validating arguments" not in line else ""


def chosen(seed: int, tasks: int, times: int, longest: float) -> list[tuple[int, float]]:
    """Return at which task and after how many seconds to kill, the same for the same seed."""
    dice = random.Random(seed)  # noqa: S311 - which task is killed is no secret
    return [(number, dice.uniform(0, longest)) for number in sorted(dice.sample(range(1, tasks + 1), times))]


PHASE1 = Platform("inventories/development", "default", "phase1")
PHASE2 = Platform("tests/e2e/inventories/phase2", "phase2", "phase2")
DRILL = Platform("inventories/drill", "drill", "drill")
# The one host of phase 1, and the names that lead to it.
HOST, ADDRESS, ADDRESS6 = "host-1", "172.30.0.10", "fd30::10"
URL = "https://docs.vln.test/"
# The tasks of site.yml that work on a host and come before the smoke test.
TASKS = 60
# Names below the domain that lead to the host with mail.
MAIL_NAMES = ("mail", "autoconfig", "autodiscover", "mta-sts")
# One setting of each component, so that a run that applies them has to touch all.
OTHER = {
    "base_journal_max_use": "333M",
    "ssh_max_auth_tries": 5,
    "nginx_headers": {"Referrer-Policy": "same-origin", "Strict-Transport-Security": "max-age=63072000"},
    "open_ports": {"all": ["4242/tcp"], "edge": ["80/tcp", "443/tcp", "443/udp"]},
    "certificates_renew_days": 20,
}
# Closes the segment that is being written, and waits until it is in the archive.
ARCHIVE = """
ask() { runuser -u postgres -- psql -XAtqc "$1"; }
segment=$(ask 'SELECT pg_walfile_name(pg_switch_wal())')
for _ in $(seq 60); do
  [[ $(ask 'SELECT last_archived_wal FROM pg_stat_archiver') < $segment ]] || exit 0
  sleep 1
done
exit 1
"""
# Independent of the program that the platform itself uses for this.
TABLES = r"""
SELECT format('SELECT %L, count(*), md5(string_agg(md5(r::text), '''' ORDER BY md5(r::text))) FROM %I AS r', name, name)
FROM unnest(ARRAY['users', 'courses', 'lessons', 'progress', 'achievements']) AS name \gexec
"""
MAILS = """
volume=/var/lib/docker/volumes/mailcowdockerized_vmail-vol-1/_data
find "$volume" -path '*/cur/*' -o -path '*/new/*' | xargs -r -d '\\n' sha256sum | cut -d' ' -f1
"""
