"""Let a repository fail while a backup is written to it: faults.py HOST ADDRESS FOLDER FAULT[:SECONDS]...

Runs on the controller, which alone can switch the sandbox's faults; prints what was seen of each as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from sandbox_faults import inside, switch, until

HOST, ADDRESS, FOLDER, *FAULTS = sys.argv[1:]
UNIT = "restic-backup@odd:a"
LOCKS = f"/var/lib/world/s3-a/vise-backups/{FOLDER}/locks"
METRICS = "cat /var/lib/prometheus/node-exporter/vise_restic_backup_odd_a.prom"


def begin_backup() -> None:
    """Start a backup, and halt it when it holds its lock: it has opened the repository and begins to write."""
    inside(HOST, "head -c 8000000 /dev/urandom >/srv/odd/more; systemctl reset-failed")
    # So slow that it is not over before it is halted
    switch(ADDRESS, "slow")
    inside(HOST, f"systemctl start --no-block {UNIT}")
    until("world", f"ls {LOCKS} | grep -q .")
    inside(HOST, f"systemctl kill --signal=STOP {UNIT}; test $(systemctl is-active {UNIT}) = activating")


def under_way() -> bool:
    """Whether the backup has not ended yet."""
    return "activating" in inside(HOST, f"systemctl is-active {UNIT}", must=False).stdout


def tried(fault: str, lasts: float) -> dict[str, Any]:
    """Bring one fault for some seconds or until the backup ends, take it away, and look at what was seen of it."""
    began = time.time()
    begin_backup()
    try:
        switch(ADDRESS, fault)
        inside(HOST, f"systemctl kill --signal=CONT {UNIT}")
        passes = time.monotonic() + lasts
        while (late := under_way()) and time.monotonic() < passes:
            time.sleep(0.1)
    finally:
        switch(ADDRESS, "none")
    until(HOST, f"! systemctl is-active {UNIT} | grep -q activating")
    failed = not inside(HOST, f"systemctl is-failed {UNIT}", must=False).returncode
    journal = inside(HOST, f"journalctl -u {UNIT} -o cat --since=@{began:.0f}").stdout.splitlines()
    metrics = inside(HOST, METRICS).stdout
    complete = not inside(HOST, "vise-restic with a ls latest | grep -qx /srv/odd/more", must=False).returncode
    # Without what was only there to be slow, or the largest pack would be one that no later snapshot needs.
    again = inside(HOST, f"rm /srv/odd/more; systemctl start {UNIT}", must=False).returncode
    return {
        "fault": fault,
        "seconds": round(time.time() - began, 1),
        "status": metrics.partition('last_status{tool="restic",kind="odd",repository="a"} ')[2].split()[0],
        "late": late,
        "failed": failed,
        "complete": complete,
        "said": [line for line in journal if "a: " in line or "Failed with result" in line][-3:],
        "again": not again,
        "locks": inside("world", f"ls {LOCKS}", must=False).stdout.split(),
    }


seen = [tried(fault, float(lasts or "inf")) for fault, _colon, lasts in (entry.partition(":") for entry in FAULTS)]
print(json.dumps(seen, indent=1))
