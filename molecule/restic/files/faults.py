"""Let a repository fail while a backup is written to it: faults.py HOST ADDRESS FOLDER FAULT...

Runs on the controller, which alone can switch the sandbox's faults; prints what was seen of each as JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

HOST, ADDRESS, FOLDER, *FAULTS = sys.argv[1:]
UNIT = "restic-backup@odd:a"
LOCKS = f"/var/lib/world/s3-a/vise-backups/{FOLDER}/locks"
METRICS = "cat /var/lib/prometheus/node-exporter/vise_restic_backup_odd_a.prom"


def inside(container: str, script: str, must: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a shell script in a container."""
    done = subprocess.run(
        ["docker", "exec", container, "sh", "-c", script], capture_output=True, text=True, check=False
    )
    if must and done.returncode:
        raise SystemExit(f"{script}\n{done.stdout}\n{done.stderr}")
    return done


def switch(fault: str) -> None:
    """Set the fault of the first repository, for this host alone."""
    addresses = [ADDRESS, ADDRESS.replace("172.30.0.", "fd30::")]
    subprocess.run(["sandbox/sandbox.py", "fault", "s3_a", fault, *addresses], check=True, capture_output=True)


def until(condition: str, container: str = HOST, seconds: float = 120) -> None:
    """Wait until a shell's condition holds."""
    deadline = time.monotonic() + seconds
    while inside(container, condition, must=False).returncode:
        if time.monotonic() > deadline:
            raise SystemExit(f"never came: {condition}")
        time.sleep(0.1)


def begin_backup() -> None:
    """Start a backup, and halt it when it holds its lock: it has opened the repository and begins to write."""
    inside(HOST, "head -c 8000000 /dev/urandom >/srv/odd/more; systemctl reset-failed")
    # So slow that it is not over before it is halted
    switch("slow")
    inside(HOST, f"systemctl start --no-block {UNIT}")
    until(f"ls {LOCKS} | grep -q .", "world")
    inside(HOST, f"systemctl kill --signal=STOP {UNIT}; test $(systemctl is-active {UNIT}) = activating")


def tried(fault: str) -> dict[str, Any]:
    """Bring one fault, look at what is seen of it, and let the repository be itself again."""
    began = time.time()
    begin_backup()
    try:
        switch(fault)
        inside(HOST, f"systemctl kill --signal=CONT {UNIT}")
        until(f"! systemctl is-active {UNIT} | grep -q activating")
    finally:
        switch("none")
    failed = not inside(HOST, f"systemctl is-failed {UNIT}", must=False).returncode
    journal = inside(HOST, f"journalctl -u {UNIT} -o cat --since=@{began:.0f}").stdout.splitlines()
    metrics = inside(HOST, METRICS).stdout
    # Without what was only there to be slow, or the largest pack would be one that no later snapshot needs.
    again = inside(HOST, f"rm /srv/odd/more; systemctl start {UNIT}", must=False).returncode
    return {
        "fault": fault,
        "seconds": round(time.time() - began, 1),
        "status": metrics.partition('last_status{tool="restic",kind="odd",repository="a"} ')[2].split()[0],
        "failed": failed,
        "said": [line for line in journal if "a: " in line or "Failed with result" in line][-3:],
        "again": not again,
        "locks": inside("world", f"ls {LOCKS}", must=False).stdout.split(),
    }


print(json.dumps([tried(fault) for fault in FAULTS], indent=1))
