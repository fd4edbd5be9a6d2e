# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Let accounts without a password log in for ever, and prove that PAM and sudo accept them, whoever wrote the rules."""

from __future__ import annotations

import os
import re
import sys
import typing as t

from ..host import accounts, files, programs
from . import sudo

USAGE = """usage: vise-accounts apply    remove the limits by which PAM would refuse accounts or ask for a new password
       vise-accounts verify   report what prevents a login or sudo; print "usable" when there is nothing"""
SETTINGS = "/etc/vise/accounts.json"
# PAM refuses everyone but root. (/run/nologin exists only during a boot and before a shutdown.)
NOLOGIN = "/etc/nologin"
NEVER = "-1"


def read_settings() -> dict[str, t.Any]:
    """Return the settings of the role."""
    return t.cast("dict[str, t.Any]", files.read_json(SETTINGS))


def find_limited(names: t.Iterable[str]) -> dict[str, str]:
    """Return the accounts that PAM refuses or will refuse, and why."""
    aging, today = accounts.read_aging(), accounts.today()
    reasons = {name: aging[name].explain(today) for name in names if name in aging}
    return {name: reason for name, reason in reasons.items() if reason}


def apply() -> int:
    """Remove the limits of the accounts."""
    settings = read_settings()
    names = [*settings["people"], settings["deploy"]]
    aging = accounts.read_aging()
    for name in find_limited(names):
        # A date of 0 demands a new password; without a date there is no such demand.
        fresh = ["--lastday", NEVER] if aging[name].changed == 0 else []
        argv = ["chage", *fresh, "--mindays", "0", "--maxdays", NEVER, "--inactive", NEVER, "--expiredate", NEVER, name]
        programs.call(argv)
    return 0


def find_problems(settings: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    """Yield what prevents a login or sudo of the accounts, or allows too much."""
    names = [*settings["people"], settings["deploy"]]
    if os.path.exists(NOLOGIN):
        yield f"{NOLOGIN} exists, so that only root can log in: remove it"
    for name, reason in find_limited(names).items():
        yield f"{name}: {reason}; run `vise-accounts apply`"
    for name in names:
        reason = accounts.explain_shell(name)
        if reason:
            yield f"{name}: {reason}; run `usermod --shell /bin/bash {name}`"
    for name in settings["people"]:
        text = list_rules(name)
        reason = sudo.explain_administrator(sudo.parse(text))
        if re.search(r"(?<!!)\brequiretty\b", text.partition("may run")[0]):
            reason = "a Defaults line demands a terminal (requiretty)"
        if reason:
            yield f"{name} cannot use sudo as an administrator: {reason}; remove this rule"
    reason = sudo.explain_deployment(sudo.parse(list_rules(settings["deploy"])), settings["commands"])
    if reason:
        yield f"{settings['deploy']}: {reason}; remove this rule, or list the command in admin_users_deploy_commands"


def list_rules(name: str) -> str:
    """Return the rules of sudo that apply to an account."""
    return programs.call(["sudo", "-n", "-ll", "-U", name])


def verify() -> int:
    """Print what prevents the use of the accounts; return 1 when there is anything."""
    problems = list(find_problems(read_settings()))
    print("\n".join(problems) or "usable")
    return int(bool(problems))


def main(arguments: t.Sequence[str]) -> int:
    """Run one of the commands."""
    command = {"apply": apply, "verify": verify}.get(" ".join(arguments))
    if command is None:
        print(USAGE, file=sys.stderr)
        return 2
    try:
        return command()
    except programs.ProgramError as error:
        print(f"vise-accounts: {error}", file=sys.stderr)
        return 1
