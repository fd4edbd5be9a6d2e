# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""apt's effective configuration: what apt evaluates from all of its files, and which line decides a setting."""

from __future__ import annotations

import datetime
import glob
import os
import re
import typing as t

from ..host import files, programs

PARTS = "/etc/apt/apt.conf.d"
LAST = "/etc/apt/apt.conf"  # apt reads it after the files in PARTS
OWN = f"{PARTS}/zz-vise-upgrades"
UNKNOWN = "a file that APT_CONFIG names"
LISTS = "/var/lib/apt/lists"
BLACKLIST = "Unattended-Upgrade::Package-Blacklist"
LINE = re.compile(r'^(?P<key>\S+) "(?P<value>.*)";$', re.MULTILINE)
SECURITY = re.compile(r"\bl=Debian-Security\b")
RELEASE = re.compile(r"\bo=Debian,.*\bl=Debian\b(?!-)")
SOURCE = "/etc/apt/sources.list.d/debian-security.sources"


class Settings(t.NamedTuple):
    """The wanted values of apt's settings."""

    values: dict[str, str]
    lists: dict[str, list[str]]
    excluded: list[str]  # packages that unattended-upgrades does not upgrade


class Effective(t.NamedTuple):
    """apt's settings by name in lower case: apt does not distinguish cases."""

    values: dict[str, str]
    lists: dict[str, list[str]]


def parse_dump(text: str) -> Effective:
    """Return the settings in the output of `apt-config dump`."""
    values: dict[str, str] = {}
    lists: dict[str, list[str]] = {}
    for found in LINE.finditer(text):
        key = found["key"].lower()
        if key.endswith("::"):
            lists.setdefault(key[:-2], []).append(found["value"])
        else:
            values[key] = found["value"]
    return Effective(values, lists)


def find_problems(wanted: Settings) -> list[str]:
    """Return why security upgrades would not be installed as wanted; an empty list when they are."""
    effective = parse_dump(programs.call(["apt-config", "dump"], timeout=30))
    problems = []
    for key, value in wanted.values.items():
        found = effective.values.get(key.lower(), "")
        if found != value:
            problems.append(_describe(key, f'"{found}", not "{value}"'))
    for key, entries in wanted.lists.items():
        found_entries = effective.lists.get(key.lower(), [])
        if found_entries != entries:
            extra = next((entry for entry in found_entries if entry not in entries), "")
            problems.append(_describe(key, f"{found_entries}, not {entries}", extra))
    problems += [
        f"unattended-upgrades does not upgrade packages that match {entry!r} ({find_line(BLACKLIST, entry)}): "
        f"remove the line, or add the entry to base_upgrade_excluded"
        for entry in effective.lists.get(BLACKLIST.lower(), [])
        if entry not in wanted.excluded
    ]
    return problems + find_held(wanted.excluded) + find_archive_problems(datetime.datetime.now(datetime.UTC))


def find_held(excluded: t.Iterable[str]) -> list[str]:
    """Return a problem for each package that is held and therefore never upgraded."""
    text = programs.call(["dpkg-query", "--show", "--showformat", r"${Package} ${db:Status-Want}\n"], timeout=30)
    held = [line.split()[0] for line in text.splitlines() if line.endswith(" hold")]
    return [
        f"package {name} is on hold and gets no security upgrades: run `apt-mark unhold {name}` on the host, "
        f"or add it to base_upgrade_excluded"
        for name in sorted(set(held) - set(excluded))
    ]


def find_archive_problems(now: datetime.datetime) -> list[str]:
    """Return why apt does not know current packages of Debian's security archive."""
    priorities, others = parse_policy(programs.call(["apt-cache", "policy"], timeout=60))
    if not priorities:
        return [
            f"apt has no packages of Debian's security archive: add it to the sources of apt, for example in {SOURCE}, "
            "and run `apt-get update`"
        ]
    # A lower one than of the release itself excludes each package of which the release has any version.
    least = max([500, *others])
    if max(priorities) < least:
        return [
            f"apt gives Debian's security archive the priority {max(priorities)}, less than {least}, and does not "
            f"use it: correct {_find_priority_places()}"
        ]
    expired = [end for path in glob.glob(f"{LISTS}/*InRelease") if (end := parse_expiry(files.read_text(path)))]
    if expired and max(expired) < now:
        return [
            f"apt's list of Debian's security archive expired on {max(expired):%Y-%m-%d}: run `apt-get update` on the "
            "host and correct what it reports"
        ]
    return []


def parse_policy(text: str) -> tuple[list[int], list[int]]:
    """Return the priorities of Debian's security archive and of its release in the output of `apt-cache policy`."""
    security: list[int] = []
    release: list[int] = []
    priority = 0
    for line in text.splitlines():
        if found := re.match(r" *(-?\d+) \S", line):
            priority = int(found[1])
        elif SECURITY.search(line):
            security.append(priority)
        elif RELEASE.search(line):
            release.append(priority)
    return security, release


def parse_expiry(release: str) -> datetime.datetime | None:
    """Return when a Release file of the security archive expires; None for other files."""
    fields = dict(line.split(": ", 1) for line in release.splitlines()[:30] if ": " in line)
    if fields.get("Label") != "Debian-Security" or "Valid-Until" not in fields:
        return None
    end = datetime.datetime.strptime(fields["Valid-Until"], "%a, %d %b %Y %H:%M:%S %Z")
    return end.replace(tzinfo=datetime.UTC)


def find_line(key: str, value: str = "", paths: t.Sequence[str] | None = None) -> str:
    """Return file and number of the last line that sets a key, or that adds a value to its list; not the own file."""
    if paths is None:
        paths = [*sorted(glob.glob(f"{PARTS}/*")), LAST]
    place = UNKNOWN
    for path in paths:
        numbers = _find_numbers(files.read_text(path), key, value) if path != OWN else []
        place = f"{path}:{numbers[-1]}" if numbers else place
    return place


def _find_numbers(text: str, key: str, value: str) -> list[int]:
    wanted = re.compile(rf"\b{re.escape(key.rpartition('::')[2])}\b", re.IGNORECASE)
    numbers = []
    inside = False  # in a block of this key
    for number, line in enumerate(text.splitlines(), 1):
        # Braces in a value are not those of a block.
        code = re.sub(r'"[^"]*"|//.*', "", line)
        found = bool(wanted.search(code))
        if value in line and (found or (inside and value)):
            numbers.append(number)
        inside = code.count("{") > code.count("}") if found else inside and "}" not in code
    return numbers


def _describe(key: str, difference: str, entry: str = "") -> str:
    return f"apt's setting {key} is {difference}; {find_line(key, entry)} decides: remove that line"


def _find_priority_places() -> str:
    line = find_line("APT::Default-Release")
    default = [f"APT::Default-Release ({line})"] if line != UNKNOWN else []
    pins = [*sorted(glob.glob("/etc/apt/preferences.d/*")), "/etc/apt/preferences"]
    return ", ".join([*default, *(f"the pins in {path}" for path in pins if os.path.isfile(path))]) or "the pin"
