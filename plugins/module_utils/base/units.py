# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Timers and services of systemd as they are loaded, whatever drop-ins exist."""

from __future__ import annotations

import re
import typing as t

from ..host import files, programs

PROPERTIES = "Id,LoadState,TimersCalendar,DropInPaths"
SERVICES = ("apt-daily.service", "apt-daily-upgrade.service")


def parse_units(text: str) -> dict[str, dict[str, str]]:
    """Return the properties of units in the output of `systemctl show`, by name."""
    blocks = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in text.split("\n\n")]
    # A property with several values has a line for each one; the last must not hide the others.
    calendars = [re.findall(r"OnCalendar=(.*?) ;", block) for block in text.split("\n\n")]
    return {
        block["Id"]: {**block, "calendars": "\n".join(found)}
        for block, found in zip(blocks, calendars, strict=True)
        if "Id" in block
    }


def find_live_problems(timers: t.Mapping[str, str]) -> list[str]:
    """Return how units differ from the wanted ones: timers by their moments, services of apt by their existence."""
    text = programs.call(["systemctl", "show", "--property", PROPERTIES, *timers, *SERVICES], timeout=30)
    units = parse_units(text)
    problems = [
        f"{name} is {units[name]['LoadState']}, so that its timer does nothing: run `systemctl unmask {name}`"
        for name in SERVICES
        if units[name]["LoadState"] != "loaded"
    ]
    for name, calendar in timers.items():
        expected = normalize_calendar(calendar)
        if units[name]["calendars"] != expected:
            found = ", ".join(units[name]["calendars"].splitlines()) or "never"
            problems.append(
                f"{name} runs at {found}, not at {expected}; {_find_place(units[name]['DropInPaths'])} decides: "
                "remove that line"
            )
    return problems


def normalize_calendar(text: str) -> str:
    """Return a calendar event as systemd writes it."""
    out = programs.call(["systemd-analyze", "calendar", text], timeout=30)
    found = re.search(r"Normalized form: (.*)", out)
    return found[1] if found else text


def _find_place(drop_ins: str) -> str:
    places = [
        f"{path}:{number}"
        for path in drop_ins.split()
        for number, line in enumerate(files.read_text(path).splitlines(), 1)
        if re.match(r"\s*On\w+\s*=\s*\S", line)
    ]
    return places[-1] if places else "a file that `systemctl cat` shows"
