# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""journald's effective configuration, and the limit that the running journald reports."""

from __future__ import annotations

import json
import os
import re
import typing as t

from ..host import files, programs
from ..model import systemd

FOLDER = "/var/log/journal"
# journald logs this message with its limit when it opens the journal.
SPACE_USED = "ec387f577b844b8fa948f33cad9a75e6"
ASSIGNMENT = re.compile(r"^\s*(?P<key>[A-Za-z]+)\s*=\s*(?P<value>.*?)\s*$")
HEADER = re.compile(r"^# (?P<path>/\S+\.conf)$", re.MULTILINE)
PAGE = 4096
SMALLEST = 1024 * 1024  # journald enlarges a smaller limit
VOLATILE = ("tmpfs", "ramfs")


class Setting(t.NamedTuple):
    """A value and the line that sets it."""

    value: str
    place: str


def limit_of(size: int) -> int:
    """Return the limit that journald uses for a size."""
    return max(-(-size // PAGE) * PAGE, SMALLEST)


def read_settings() -> dict[str, Setting]:
    """Return journald's settings with the lines that decide them; systemd finds and orders the files."""
    text = programs.call(["systemd-analyze", "--no-pager", "cat-config", "systemd/journald.conf"], timeout=30)
    settings: dict[str, Setting] = {}
    for path in HEADER.findall(text):
        for number, line in enumerate(files.read_text(path).splitlines(), 1):
            if found := ASSIGNMENT.match(line):
                settings[found["key"]] = Setting(found["value"], f"{path}:{number}")
    return settings


def find_problems(wanted: t.Mapping[str, str]) -> list[str]:
    """Return which settings are not those that journald reads, and why its journal would not be persistent."""
    settings = read_settings()
    problems = []
    for key, value in wanted.items():
        found = settings.get(key, Setting("", "no file"))
        if found.value != value:
            problems.append(
                f"journald's setting {key} is {found.value or 'not set'}, not {value}; {found.place} decides: "
                "remove that line"
            )
    filesystem = find_filesystem(FOLDER, files.read_text("/proc/self/mountinfo"))
    if filesystem in VOLATILE or filesystem.startswith("/dev/zram"):
        problems.append(
            f"{FOLDER} is located in memory ({filesystem}), so that the journal is lost at a reboot: disable the "
            "service that mounts it, such as armbian-ramlog or log2ram, and reboot"
        )
    return problems


def find_live_problems(wanted: t.Mapping[str, str]) -> list[str]:
    """Return how the limit of the running journald differs."""
    found = read_live_limit()
    if found is None:
        # The message was removed with the oldest entries.
        return []
    expected = limit_of(systemd.parse_size(wanted["SystemMaxUse"]))
    name, limit = found
    if name != "System Journal":
        return [f"journald keeps only the {name} in memory, not the persistent one in {FOLDER}"]
    if limit != expected:
        return [f"the limit of the running journald is {limit} bytes, not {expected}"]
    return []


def read_live_limit() -> tuple[str, int] | None:
    """Return name and limit of the journal that journald opened last; None when it reports none."""
    argv = ["journalctl", "--boot", "--quiet", "--no-pager", "--lines=1", "--output=json"]
    result = programs.run([*argv, f"MESSAGE_ID={SPACE_USED}", "_COMM=systemd-journal"], timeout=60)
    if result.failed or not result.out.strip():
        return None
    entry = json.loads(result.out.splitlines()[-1])
    return entry["JOURNAL_NAME"], int(entry["MAX_USE"])


def find_filesystem(path: str, mounts: str) -> str:
    """Return the type of the file system that holds a path, or its device when that is in memory too."""
    found, longest = "", -1
    while not os.path.exists(path):
        path = os.path.dirname(path)
    for line in mounts.splitlines():
        before, _separator, after = line.partition(" - ")
        point = before.split()[4].replace("\\040", " ")
        if (path + "/").startswith(point.rstrip("/") + "/") and len(point) >= longest:
            kind, device = after.split()[:2]
            found, longest = device if device.startswith("/dev/zram") else kind, len(point)
    return found
