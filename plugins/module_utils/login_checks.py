# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Find why the login of a run would be refused after it: which accounts and keys the description accepts. Pure."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Collection, Iterable, Iterator, Mapping

from ansible_collections.vise.platform.plugins.module_utils.description import Problem

# The account of role admin_users that may run only some commands as root
DEPLOY = "deploy"
KEY = re.compile(r"\b((?:sk-)?(?:ssh|ecdsa)-[a-z0-9@.-]+) +([A-Za-z0-9+/]+=*)")
# Settings of sshd that accept other keys, which nobody can read here
OTHER_KEYS = {"authorizedkeyscommand", "authorizedkeysfile", "trustedusercakeys"}
PERSON = "list yourself in `people`; from the second run on, write `ansible_user: <your name>`, `ansible_become: true`"


class Login(t.NamedTuple):
    """How Ansible logged in to a host. Keys are public; those of the controller are None if they are not known."""

    user: str
    is_root: bool
    home_keys: frozenset[str]
    controller_keys: frozenset[str] | None
    uses_password: bool


class Accepted(t.NamedTuple):
    """What sshd accepts after the run: the keys of people, the accounts with keys in their home, settings of sshd."""

    people: Mapping[str, frozenset[str]]
    home_accounts: Collection[str]
    settings: Mapping[str, t.Any]
    deploys: bool = False


def read_keys(lines: str | Iterable[str]) -> frozenset[str]:
    """Return the public keys of lines of authorized_keys or of a file *.pub, without options and comments."""
    text = lines if isinstance(lines, str) else "\n".join(lines)
    return frozenset(f"{kind} {key}" for kind, key in KEY.findall(text))


def find_login_problems(login: Login, accepted: Accepted) -> Iterator[Problem]:
    """Yield why the next run could not log in, or could not become root."""
    user = login.user
    if user == DEPLOY and accepted.deploys and user not in accepted.people:
        yield Problem("ansible_user", "is `deploy`, which may run only admin_users_deploy_commands as root", PERSON)
        return
    if not login.is_root:
        fault = f"is not true, and the login `{user}` is not root"
        yield Problem("ansible_become", fault, "write `ansible_become: true`")
    if user == "root" and (setting := permit_root_login(accepted)) in ("no", "forced-commands-only"):
        yield Problem("ansible_user", f"is root, and ssh_permit_root_login is `{setting}`", PERSON)
    elif user in accepted.people or user in accepted.home_accounts:
        yield from find_key_problems(login, accepted)
    else:
        accounts = ", ".join([*accepted.home_accounts, user])
        fault = f"is `{user}`, which sshd refuses after the run: it is neither in people nor in ssh_home_keys_for"
        yield Problem("ansible_user", fault, f"write `ssh_home_keys_for: [{accounts}]` to keep its key; {PERSON}")


def find_key_problems(login: Login, accepted: Accepted) -> Iterator[Problem]:
    """Yield why the account will not accept a key of the controller."""
    keys = accepted.people.get(login.user, frozenset())
    place = f"the keys of {login.user} in people"
    if login.user in accepted.home_accounts:
        keys |= login.home_keys
        place = f"~{login.user}/.ssh/authorized_keys on the host"
    offered = login.controller_keys or frozenset()
    if keys & offered or OTHER_KEYS & {name.lower() for name in accepted.settings}:
        return
    advice = f"add the public key of the controller to {place}"
    if login.uses_password:
        fault = f"sshd refuses passwords after the run, and no key of the controller is in {place}"
        yield Problem("ansible_password", fault, advice)
    elif offered:
        yield Problem("ansible_user", f"is `{login.user}`, and no key of the controller is in {place}", advice)


def permit_root_login(accepted: Accepted) -> str:
    """Return the value of PermitRootLogin."""
    given = {name.lower(): value for name, value in accepted.settings.items()}
    value = given.get("permitrootlogin", "prohibit-password")
    return {True: "yes", False: "no"}.get(value, str(value))
