"""Booting hosts again, in order or as when their power is cut, and seeing when all that ran before runs by itself."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

# What runs, waits and listens, a line each; sessions of whoever logs in and ports that are drawn by lot are left out.
ALIVE = r"""
# Such as somebody's question starts, and that end by themselves
PASSING='^(user@|systemd-(hostnamed|localed|timedated)\.)'
list() { systemctl list-units --plain --no-legend --type="$1" --state="$2" | cut -d' ' -f1 | grep -Ev "$PASSING"; }
list service running; list timer active
ss -Hlntu | awk '$5 !~ /^127\.0\.0\.11:|^127\..*:[3-6][0-9][0-9][0-9][0-9]$/ {print $1, $5}'
! command -v docker >/dev/null || docker ps --format '{{.Names}} {{.Ports}}'
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
    """How hosts came back."""

    seconds: float
    missing: list[str]
    ailing: list[str]


def inside(host: str, script: str) -> subprocess.CompletedProcess[str]:
    """Run a script on a host that may be down."""
    argv = ["docker", "exec", "-i", host, "bash"]
    return subprocess.run(argv, input=script, capture_output=True, text=True, timeout=60, check=False)


def lines(hosts: Sequence[str], script: str) -> set[str]:
    """Return what hosts say to a script, a line each after the host's name; of one that cannot be asked, nothing."""
    said = {host: inside(host, script) for host in hosts}
    good = {host: done.stdout.splitlines() for host, done in said.items() if not done.returncode}
    return {f"{host}: {line}" for host, text in good.items() for line in text}


def answers(ways: dict[str, list[str]]) -> list[str]:
    """Return the names of those commands that do not succeed."""
    return [name for name, argv in ways.items() if subprocess.run(argv, capture_output=True, check=False).returncode]


def started(hosts: Sequence[str]) -> list[str]:
    """Return when each host booted; they share their machine's boot id, so that only the engine knows."""
    return subprocess.run([*STARTED, *hosts], capture_output=True, text=True, check=True).stdout.split()


def go_down(hosts: Sequence[str], kind: str) -> None:
    """Take hosts down at once and have them boot again."""
    if kind == CUT:
        for step in ("kill", "start"):
            subprocess.run(["docker", step, *hosts], capture_output=True, check=True)
        return
    before = started(hosts)
    for host in hosts:
        inside(host, "systemctl --no-block reboot")
    end = time.monotonic() + LIMIT
    while set(started(hosts)) & set(before):
        assert time.monotonic() < end, f"not all of {hosts} boot again"
        time.sleep(0.2)


def boot(hosts: Sequence[str], kind: str, ways: dict[str, list[str]]) -> Boot:
    """Boot hosts again at once, and wait until all that ran before runs and everything answers."""
    wanted = lines(hosts, ALIVE)
    assert {line.partition(":")[0] for line in wanted} == set(hosts)
    begun = time.monotonic()
    go_down(hosts, kind)
    missing: list[str] = [*wanted]
    while missing and time.monotonic() - begun < LIMIT:
        time.sleep(0.3)
        missing = sorted(wanted - lines(hosts, ALIVE)) or answers(ways)
    seconds = time.monotonic() - begun
    return Boot(seconds, missing, sorted(lines(hosts, AILING)))
