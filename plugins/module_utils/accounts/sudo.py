# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What sudo allows an account, from all files of sudoers, as `sudo -ll -U` prints it."""

from __future__ import annotations

import dataclasses
import re
import typing as t

ENTRY = re.compile(r"^(?:LDAP Role|Sudoers entry|SSSD Role): ?(.*)$")


@dataclasses.dataclass(frozen=True)
class Entry:
    """One rule that applies to an account."""

    source: str  # the file of the rule
    users: str  # as whom the commands run
    options: tuple[str, ...]
    commands: tuple[str, ...]

    @property
    def free(self) -> bool:
        """Whether the commands need no password."""
        return "!authenticate" in self.options


def parse(text: str) -> list[Entry]:
    """Return the rules in their order; the last one that matches a command decides."""
    found: list[dict[str, t.Any]] = []
    commands = False
    for line in text.splitlines():
        start, stripped = ENTRY.match(line.strip()), line.strip()
        if start:
            found.append({"source": start[1], "users": "root", "options": (), "commands": []})
            commands = False
        elif not found or not stripped:
            continue
        elif stripped.startswith("RunAsUsers:"):
            found[-1]["users"] = stripped.partition(":")[2].strip()
        elif stripped.startswith("Options:"):
            found[-1]["options"] = tuple(part.strip() for part in stripped.partition(":")[2].split(","))
        elif stripped == "Commands:":
            commands = True
        elif commands:
            found[-1]["commands"].append(stripped)
    return [Entry(**{**one, "commands": tuple(one["commands"])}) for one in found]


def explain_administrator(entries: t.Sequence[Entry]) -> str:
    """Return why an account may not run every command as root without a password, or an empty string."""
    granted = [number for number, one in enumerate(entries) if "ALL" in one.commands and one.free]
    for one in entries[granted[-1] + 1 :] if granted else entries:
        limits = [command for command in one.commands if command.startswith("!")]
        if not one.free or limits:
            return f"{one.source or 'sudoers'} limits it by `{(limits or list(one.commands))[0]}`"
    return "" if granted else "no rule allows every command without a password"


def explain_deployment(entries: t.Iterable[Entry], allowed: t.Collection[str]) -> str:
    """Return which command the account may run besides the allowed ones, or cannot run; empty when there is none."""
    wanted = {_normalize(command) for command in allowed}
    given: set[str] = set()
    for one in entries:
        for command in one.commands:
            if _normalize(command) not in wanted or one.users != "root":
                return f"{one.source or 'sudoers'} allows it `{command}` as {one.users}"
            if one.free:
                given.add(_normalize(command))
    missing = sorted(wanted - given)
    return f"sudo does not allow it `{missing[0]}` without a password" if missing else ""


def _normalize(command: str) -> str:
    return re.sub(r"\\(.)", r"\1", command)
