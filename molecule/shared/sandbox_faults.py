"""What programs share that let the sandbox's S3 fail: shells in containers, and the switch for one host's faults.

They run on the controller, from the project's directory, with this one in PYTHONPATH.
"""

from __future__ import annotations

import subprocess
import time


def inside(container: str, script: str, must: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a shell script in a container."""
    done = subprocess.run(
        ["docker", "exec", container, "sh", "-c", script], capture_output=True, text=True, check=False
    )
    if must and done.returncode:
        raise SystemExit(f"{script}\n{done.stdout}\n{done.stderr}")
    return done


def switch(address: str, fault: str) -> None:
    """Set the fault of the first repository, for the host at this address alone."""
    addresses = [address, address.replace("172.30.0.", "fd30::")]
    subprocess.run(["sandbox/sandbox.py", "fault", "s3_a", fault, *addresses], check=True, capture_output=True)


def until(container: str, condition: str, seconds: float = 150) -> float:
    """Wait until a shell's condition holds in a container; return how many seconds that took."""
    began = time.monotonic()
    while inside(container, condition, must=False).returncode:
        if time.monotonic() - began > seconds:
            raise SystemExit(f"never came: {condition}")
        time.sleep(0.1)
    return round(time.monotonic() - began, 1)
