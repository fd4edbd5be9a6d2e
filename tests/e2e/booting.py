"""Booting a host again, in order or as when its power is cut, and seeing when all that ran before runs by itself."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass

# What runs, waits and listens, a line each; sessions of whoever logs in and ports that are drawn by lot are left out.
ALIVE = r"""
list() { systemctl list-units --plain --no-legend --type="$1" --state="$2" | cut -d' ' -f1 | grep -v '^user@'; }
list service running; list timer active
ss -Hlntu | awk '$5 !~ /^127\.0\.0\.11:|^127\..*:[3-6][0-9][0-9][0-9][0-9]$/ {print $1, $5}'
docker ps --format '{{.Names}} {{.Ports}}'
"""
# What is not as it should be on a host that runs: units that failed, and such as had to be started again.
AILING = """
systemctl list-units --all --plain --no-legend --state=failed,auto-restart | cut -d' ' -f1-4
for unit in $(systemctl list-units --plain --no-legend --type=service | cut -d' ' -f1); do
  restarts=$(systemctl show -P NRestarts "$unit")
  [ "$restarts" = 0 ] || echo "$unit was restarted $restarts times"
done
"""
# How the one host of phase 1 is asked: as its visitors, as those who send and fetch mail, and by its own programs.
IMAPS = "sleep 1 | openssl s_client -quiet -no_ign_eof -connect mail.vln.test:993 | grep -q OK"
OUTSIDE, HOST = ["docker", "exec", "world"], ["docker", "exec", "host-1"]
WAYS = {
    "site": [*OUTSIDE, "curl", "-fsS", "-o", "/dev/null", "https://docs.vln.test/"],
    "smtp": [*OUTSIDE, "swaks", "--silent", "3", "--quit-after", "EHLO", "--tls", "--server", "mail.vln.test"],
    "imaps": [*OUTSIDE, "sh", "-c", IMAPS],
    "database": [*HOST, "runuser", "-u", "postgres", "--", "psql", "-XAtqc", "SELECT 1"],
    "pool": [*HOST, "vise-pgbouncer", "console", "SHOW POOLS"],
    "cache": [*HOST, "vise-redis", "cli", "PING"],
}
STARTED = ["docker", "inspect", "--format", "{{.State.StartedAt}}"]
ORDERLY, CUT = "reboot", "power cut"
LIMIT = 120


@dataclass(frozen=True)
class Boot:
    """How a host came back."""

    seconds: float
    missing: list[str]
    ailing: list[str]


def inside(host: str, script: str) -> subprocess.CompletedProcess[str]:
    """Run a script on a host that may be down."""
    argv = ["docker", "exec", "-i", host, "bash"]
    return subprocess.run(argv, input=script, capture_output=True, text=True, timeout=60, check=False)


def alive(host: str) -> set[str]:
    """Return what runs, waits and listens on a host; nothing where it cannot be asked."""
    done = inside(host, ALIVE)
    return set() if done.returncode else set(filter(None, done.stdout.splitlines()))


def answers(ways: dict[str, list[str]]) -> list[str]:
    """Return the names of those commands that do not succeed."""
    return [name for name, argv in ways.items() if subprocess.run(argv, capture_output=True, check=False).returncode]


def started(host: str) -> str:
    """Return when a host booted; it shares its machine's boot id, so that only the engine knows."""
    return subprocess.run([*STARTED, host], capture_output=True, text=True, check=True).stdout


def go_down(host: str, kind: str) -> None:
    """Take a host down and have it boot again."""
    if kind == CUT:
        for step in ("kill", "start"):
            subprocess.run(["docker", step, host], capture_output=True, check=True)
        return
    before = started(host)
    inside(host, "systemctl --no-block reboot")
    end = time.monotonic() + LIMIT
    while started(host) == before:
        assert time.monotonic() < end, f"{host} does not boot again"
        time.sleep(0.2)


def boot(host: str, kind: str, ways: dict[str, list[str]]) -> Boot:
    """Boot a host again, and wait until all that ran before runs and everything answers."""
    wanted = alive(host)
    assert wanted, f"{host} does not answer"
    begun = time.monotonic()
    go_down(host, kind)
    missing: list[str] = [*wanted]
    while missing and time.monotonic() - begun < LIMIT:
        time.sleep(0.3)
        missing = sorted(wanted - alive(host)) or answers(ways)
    seconds = time.monotonic() - begun
    return Boot(seconds, missing, inside(host, AILING).stdout.splitlines())
