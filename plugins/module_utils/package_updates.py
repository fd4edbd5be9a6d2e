# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Update the packages of a host: what apt would change, what prevents it, and whether it has changed.

`apt-get upgrade --with-new-pkgs` installs new kernels, but removes nothing. What it keeps back is reported.
"""

from __future__ import annotations

import os
import re
import time
import typing as t

from .base import reboot
from .component import packages
from .component.host import HostError
from .host import programs

LISTS = "/var/lib/apt/lists"
# Without the caches of apt and its lock, because a plan changes nothing
SIMULATE = [
    *("apt-get", "--quiet", "-o", "Debug::NoLocking=true", "-o", "Dir::Cache::pkgcache="),
    *("-o", "Dir::Cache::srcpkgcache="),
]
# A configuration file that was changed on the host stays; the one of the package is located next to it.
UPGRADE = [
    *("apt-get", "--quiet", "--assume-yes", "--with-new-pkgs", "--no-install-recommends"),
    *("-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Options::=--force-confdef"),
    *("-o", "Dpkg::Options::=--force-confold", "upgrade"),
]
# needrestart would restart services by itself, and apt-listchanges would show pages.
ENVIRONMENT = {
    "DEBIAN_FRONTEND": "noninteractive",
    "APT_LISTCHANGES_FRONTEND": "none",
    "NEEDRESTART_SUSPEND": "1",
}
UPGRADE_TIMEOUT = 3600
INSTALL = re.compile(
    r"^Inst (?P<name>\S+)(?: \[(?P<old>[^]]*)\])? \((?P<new>\S+) (?P<origin>[^[]*?) ?\[[^]]*\]\)", re.MULTILINE
)
KEPT = re.compile(r"^The following packages have been kept back:\n((?: .*\n)+)", re.MULTILINE)
DOWNLOAD = re.compile(r"^Need to get ([\d.,]+ ?[kMGT]?B)", re.MULTILINE)
GROWTH = re.compile(r"^After this operation, ([\d.,]+ ?[kMGT]?B) of additional", re.MULTILINE)
KERNEL = re.compile(r"linux-image-\d")
NAMELESS = "an archive without a name"
UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
# Free space that must stay, because services write meanwhile
RESERVE = 200 * 10**6
KERNEL_SIZE = 150 * 10**6  # a kernel with its initramfs

Data = dict[str, t.Any]


def parse_size(text: str) -> int:
    """Return the bytes of a size as apt prints it, such as `1,234 kB`."""
    number, unit = re.fullmatch(r"([\d.,]+) ?([kMGT]?B)", text).groups()  # type: ignore[union-attr]
    return int(float(number.replace(",", "")) * UNITS[unit])


def parse_upgrade(text: str) -> list[Data]:
    """Return the packages that a simulation of apt would install."""
    return [
        {
            "name": one["name"],
            "from": one["old"] or "",
            "to": one["new"],
            "security": "Debian-Security" in one["origin"],
            # A package that several archives have comes from the first one.
            "foreign": "" if one["origin"].startswith("Debian") else one["origin"] or NAMELESS,
        }
        for one in INSTALL.finditer(text)
    ]


def parse_kept(text: str) -> list[str]:
    """Return the packages that apt keeps back."""
    return sorted({name for block in KEPT.findall(text) for name in block.split()})


def parse_needs(text: str) -> tuple[int, int]:
    """Return how many bytes apt downloads, and how many it needs afterwards."""
    download, growth = DOWNLOAD.search(text), GROWTH.search(text)
    return parse_size(download[1]) if download else 0, parse_size(growth[1]) if growth else 0


def find_space_problems(download: int, growth: int, kernel: bool, free: t.Callable[[str], int]) -> list[str]:
    """Return the file systems on which the update does not have enough space."""
    needs = {"/": download + growth + RESERVE, "/var/cache/apt": download + RESERVE, "/usr": growth + RESERVE}
    if kernel:
        needs["/boot"] = KERNEL_SIZE
    return [
        f"{path} has {free(path) // 10**6} MB free, and the update needs {need // 10**6} MB: remove files, for example "
        "by `apt-get clean`, `apt-get autoremove` or `journalctl --vacuum-size=200M`"
        for path, need in needs.items()
        if free(path) < need and (path == "/" or os.path.ismount(path))
    ]


def measure_free(path: str) -> int:
    """Return the bytes that root can write to the file system of a path."""
    space = os.statvfs(path if os.path.exists(path) else "/")
    return space.f_bavail * space.f_frsize


def read_held() -> list[str]:
    """Return the packages that an administrator holds."""
    text = programs.call(["dpkg-query", "--show", "--showformat", r"${Package} ${db:Status-Want}\n"], timeout=60)
    return sorted(line.split()[0] for line in text.splitlines() if line.endswith(" hold"))


def refresh() -> str:
    """Download the lists of packages; return why that failed, or an empty string."""
    argv = [*("apt-get", "--quiet", "-o", "APT::Update::Error-Mode=any", "-o", "DPkg::Lock::Timeout=300"), "update"]
    result = programs.run(argv, timeout=600)
    errors = re.findall(r"^E: (.*)", result.err, re.MULTILINE)
    return "; ".join(errors) or result.text[-500:] if result.failed else ""


def read_plan() -> Data:
    """Return what an update would change, what it keeps, and what prevents it; changes nothing."""
    text = programs.run([*SIMULATE, "--simulate", "--with-new-pkgs", "upgrade"], timeout=120).text
    size = programs.run([*SIMULATE, "--assume-no", "--with-new-pkgs", "upgrade"], timeout=120).text
    updates, held = parse_upgrade(text), read_held()
    kernel = any(KERNEL.match(one["name"]) for one in updates)
    problems = find_space_problems(*parse_needs(size), kernel, measure_free)
    unfinished = packages.find_unfinished(packages.read_packages())
    errors = [line[3:] for line in text.splitlines() if line.startswith("E: ")]
    # dpkg completes what a killed run left; other errors need a person.
    if errors and not unfinished:
        problems.append(
            f"apt cannot plan an update: {'; '.join(errors)}; correct it on the host by `apt-get -f install`"
        )
    return {
        "updates": updates,
        "held": [name for name in parse_kept(text) if name in held],
        "kept": [name for name in parse_kept(text) if name not in held],
        "unfinished": unfinished,
        "lock_holder": packages.find_lock_holder(),
        "kernel": kernel,
        "reboot": reboot.find_reasons(),
        "list_hours": int((time.time() - os.stat(LISTS).st_mtime) / 3600) if os.path.isdir(LISTS) else -1,
        "problems": problems,
    }


def update(plan: Data) -> list[str]:
    """Complete what dpkg left, and install the updates; return the actions.

    Raises:
        HostError: apt fails, or it reports success and a planned update is not installed.
    """
    actions = []
    if plan["unfinished"]:
        packages.complete_unfinished()
        actions.append(f"complete the interrupted installation of {', '.join(plan['unfinished'])}")
        plan = read_plan()
    if plan["problems"]:
        raise HostError("; ".join(plan["problems"]))
    if not plan["updates"]:
        return actions
    result = programs.run(UPGRADE, environment=ENVIRONMENT, timeout=UPGRADE_TIMEOUT)
    if result.failed:
        raise HostError(
            f"apt failed (exit {result.code}): {result.text[-1500:]}\nCorrect the package that it names and run this "
            "again: it completes the rest"
        )
    after = read_plan()
    wanted = {one["name"]: one["to"] for one in plan["updates"]}
    left = [one["name"] for one in after["updates"] if wanted.get(one["name"]) == one["to"]]
    if left or after["unfinished"]:
        names = ", ".join([*left, *after["unfinished"]])
        raise HostError(f"apt reported success, but {names} is not installed completely: {result.text[-1500:]}")
    return actions + [describe(one) for one in plan["updates"]]


def describe(one: Data) -> str:
    """Return an update as one line."""
    marks = ["security"] * one["security"] + [f"from {one['foreign']}"] * bool(one["foreign"])
    versions = f"{one['from']} -> {one['to']}" if one["from"] else f"new, {one['to']}"
    return f"{one['name']} {versions}" + (f" ({', '.join(marks)})" if marks else "")


def write_rollback(plan: Data) -> str:
    """Return the command that installs the previous versions; empty when nothing is upgraded."""
    previous = [f"{one['name']}={one['from']}" for one in plan["updates"] if one["from"]]
    return f"apt-get install --allow-downgrades {' '.join(previous)}" if previous else ""
