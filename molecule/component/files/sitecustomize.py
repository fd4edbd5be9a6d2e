"""Kill the Python process that loads this at the Nth thing that it does to the machine, seen from outside of its code."""

import os
import signal
import sys

EVENTS = {
    "os.chmod",
    "os.chown",
    "os.fork",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.symlink",
    "subprocess.Popen",
}
remaining = int(os.environ.pop("VISE_KILL_AT", "0"))
os.environ.pop("PYTHONPATH", None)  # children run on undisturbed


def count(event: str, _arguments: object) -> None:
    """Count down at each event of interest."""
    global remaining
    # Ansible's own unpacking is not what is tested.
    if event in EVENTS and "ansible_collections.vise.platform.plugins.module_utils.component.transaction" in sys.modules:
        remaining -= 1
        if remaining == 0:
            os.kill(os.getpid(), signal.SIGKILL)


if remaining:
    sys.addaudithook(count)
