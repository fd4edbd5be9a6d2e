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
       vise-accounts check    report what other files prevent or allow, which `apply` does not change
       vise-accounts verify   report everything that prevents a login or sudo; print "usable" when there is nothing"""
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


def find_foreign(settings: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    """Yield what other files prevent or allow."""
    if os.path.exists(NOLOGIN):
        yield f"{NOLOGIN} exists, so that only root can log in: remove it"
    for name in [*settings["people"], settings["deploy"]]:
        reason = accounts.explain_shell(name)
        if reason:
            yield f"{name}: {reason}; run `usermod --shell /bin/bash {name}`"
    for name in settings["people"]:
        text, reason = list_rules(name)
        reason = reason or sudo.explain_administrator(sudo.parse(text))
        if reason:
            yield f"{name} cannot use sudo as an administrator: {reason}; remove this rule"
    text, reason = list_rules(settings["deploy"])
    reason = reason or sudo.explain_deployment(sudo.parse(text), settings["commands"])
    if reason:
        yield f"{settings['deploy']}: {reason}; remove this rule, or list the command in admin_users_deploy_commands"


def list_rules(name: str) -> tuple[str, str]:
    """Return the rules of sudo that apply to an account, and why sudo cannot list them."""
    result = programs.run(["sudo", "-n", "-ll", "-U", name])
    if re.search(r"(?<!!)\brequiretty\b", result.out.partition("may run")[0]) or "must have a tty" in result.err:
        return "", "a Defaults line of sudoers contains requiretty, so that it needs a terminal"
    return result.out, result.text if result.failed else ""


def check() -> int:
    """Report what other files prevent or allow; return 1 when there is anything."""
    return _report(list(find_foreign(read_settings())))


def verify() -> int:
    """Report everything that prevents the use of the accounts; return 1 when there is anything."""
    settings = read_settings()
    limited = find_limited([*settings["people"], settings["deploy"]])
    limits = [f"{name}: {reason}; run `vise-accounts apply`" for name, reason in limited.items()]
    return _report([*limits, *find_foreign(settings)])


def _report(problems: t.Sequence[str]) -> int:
    print("\n".join(problems) or "usable")
    return int(bool(problems))


def main(arguments: t.Sequence[str]) -> int:
    """Run one of the commands."""
    command = {"apply": apply, "check": check, "verify": verify}.get(" ".join(arguments))
    if command is None:
        print(USAGE, file=sys.stderr)
        return 2
    try:
        return command()
    except programs.ProgramError as error:
        print(f"vise-accounts: {error}", file=sys.stderr)
        return 1
