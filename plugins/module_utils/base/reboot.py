# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Print why the host needs a reboot; exit with status 1 when it does not need one."""

from __future__ import annotations

import os
import re
import sys
import typing as t

from ..host import files

REQUIRED = "/run/reboot-required"
LIBRARY = re.compile(r" /usr/lib/\S*\.so\S* \(deleted\)$", re.MULTILINE)
KERNEL = re.compile(r"vmlinuz-(?P<version>\d+\.\d+\S*?)-(?P<flavor>[a-z]\S*)")


class Process(t.NamedTuple):
    """A process with what decides whether it is one of the host itself or one of a container."""

    name: str
    maps: str
    pid_namespace: str
    mount_namespace: str
    device: int  # of its root directory


def runs_in_container(process: Process, init: Process) -> bool:
    """Return whether a process is part of a container: the host's reboot does not replace its libraries.

    Services may have a mount namespace (PrivateTmp) or another root directory (chroot), but not another root file
    system in another mount namespace.
    """
    if process.pid_namespace != init.pid_namespace:
        return True
    return process.mount_namespace != init.mount_namespace and process.device != init.device


def find_stale(processes: t.Iterable[Process], init: Process) -> list[str]:
    """Return the host's own programs that run with a library that an upgrade has replaced."""
    stale = [one for one in processes if LIBRARY.search(one.maps) and not runs_in_container(one, init)]
    return sorted({process.name for process in stale})


def find_newer_kernel(running: str, names: t.Iterable[str]) -> str:
    """Return the file of the newest installed kernel when it is newer than the running one of the same flavor."""
    current = KERNEL.fullmatch(f"vmlinuz-{running}")
    kernels = [found for name in names if (found := KERNEL.fullmatch(name))]
    # Without its own kernel in /boot, such as a container, the host does not boot the kernels in /boot.
    if not current or current[0] not in [kernel[0] for kernel in kernels]:
        return ""
    same = [kernel for kernel in kernels if kernel["flavor"] == current["flavor"]]
    newest = max(same, key=lambda kernel: _version_key(kernel["version"]))
    return newest[0] if _version_key(newest["version"]) > _version_key(current["version"]) else ""


def find_reasons() -> list[str]:
    """Return why the host needs a reboot."""
    reasons = []
    if os.path.exists(REQUIRED):
        packages = ", ".join(dict.fromkeys(files.read_text(f"{REQUIRED}.pkgs").split()))
        reasons.append("an upgrade requires a reboot" + (f": {packages}" if packages else ""))
    kernel = find_newer_kernel(os.uname().release, os.listdir("/boot") if os.path.isdir("/boot") else [])
    # A kernel that was there before the boot was not chosen by the boot loader, and would not be chosen again.
    if kernel and os.stat(f"/boot/{kernel}").st_ctime > _read_boot_time():
        reasons.append(f"kernel {kernel.partition('-')[2]} is installed, and {os.uname().release} runs")
    init = _read_process("1")
    if init:
        processes = [found for entry in os.listdir("/proc") if entry.isdigit() and (found := _read_process(entry))]
        reasons += [
            f"{name} runs with a library that was replaced after its start" for name in find_stale(processes, init)
        ]
    return reasons


def _read_process(number: str) -> Process | None:
    path = f"/proc/{number}"
    try:
        with open(f"{path}/maps", encoding="utf-8", errors="replace") as handle:
            maps = handle.read()
        pid, mount = (os.readlink(f"{path}/ns/{kind}") for kind in ("pid", "mnt"))
        return Process(files.read_text(f"{path}/comm").strip(), maps, pid, mount, os.stat(f"{path}/root/").st_dev)
    except OSError:
        # It has ended, or is a part of the kernel.
        return None


def _version_key(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", text)]


def _read_boot_time() -> float:
    found = re.search(r"^btime (\d+)$", files.read_text("/proc/stat"), re.MULTILINE)
    return float(found[1]) if found else 0.0


def main(arguments: t.Sequence[str]) -> int:
    """Print the reasons."""
    if arguments:
        print("usage: vise-reboot-needed", file=sys.stderr)
        return 2
    reasons = find_reasons()
    print("".join(f"{reason}\n" for reason in reasons), end="")
    return 0 if reasons else 1
