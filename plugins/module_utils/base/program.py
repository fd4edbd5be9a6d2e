# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Prove that the host's upgrades, journal, time and locales are those of its description, whoever configures them."""

from __future__ import annotations

import sys
import typing as t

from ..host import files, programs
from . import apt, clock, journald, units

SETTINGS = "/etc/vise/base.json"
USAGE = """usage: vise-base check    print why the files would not have the wanted effect; the exit code is then 1
       vise-base verify   print how the effects differ, or "live"; the exit code is 1 when they do"""


def find_problems(settings: dict[str, t.Any]) -> list[str]:
    """Return what the files of this host configure differently, or what cannot be configured."""
    return [
        *clock.find_zone_problems(settings["timezone"]),
        *clock.find_locale_problems(settings["locale"], settings["locales"]),
        *journald.find_problems(settings["journal"]),
        *apt.find_problems(apt.Settings(**settings["upgrades"])),
    ]


def find_live_problems(settings: dict[str, t.Any]) -> list[str]:
    """Return which effects differ."""
    return [
        *clock.find_live_locale_problems(settings["locale"], settings["locales"]),
        *clock.find_live_clock_problems(settings["time_servers"], settings["clock_adjust"]),
        *journald.find_live_problems(settings["journal"]),
        *units.find_live_problems(settings["timers"]),
    ]


def main(arguments: t.Sequence[str]) -> int:
    """Run one of the commands."""
    command = " ".join(arguments)
    if command not in ("check", "verify"):
        print(USAGE, file=sys.stderr)
        return 2
    settings = files.read_json(SETTINGS)
    try:
        problems = find_problems(settings)
        if command == "verify":
            problems += find_live_problems(settings)
    except programs.ProgramError as error:
        problems = [str(error)]
    print("\n".join(problems) if problems else "live")
    return int(bool(problems))
