"""Kill the Python process that loads this at the Nth thing that it does to the machine: a fault from outside."""

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
module = "ansible_collections.vise.platform.plugins.module_utils." + os.environ.pop("VISE_KILL_IN", "")
os.environ.pop("PYTHONPATH", None)  # children run on undisturbed


def count(event: str, _arguments: object) -> None:
    """Count down at each event of interest."""
    global remaining
    # Ansible's own unpacking is not what is tested.
    if event in EVENTS and module in sys.modules:
        remaining -= 1
        if remaining == 0:
            os.kill(os.getpid(), signal.SIGKILL)


if remaining:
    sys.addaudithook(count)
