# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Decide which settings of other files are refused: those that weaken a login, and those that close an account."""

from __future__ import annotations

import dataclasses
import typing as t

from . import config
from .config import Setting

Effective = t.Mapping[str, tuple[str, ...]]

# Settings that neither weaken nor close a login.
IGNORED_NAMES = """
acceptenv addressfamily banner channeltimeout clientalivecountmax clientaliveinterval debianbanner exposeauthinfo
fingerprinthash gssapicleanupcredentials gssapistorecredentialsonrekey hostkey hostkeyagent ignoreuserknownhosts ipqos
kerberosorlocalpasswd kerberosticketcleanup listenaddress loglevel logverbose maxstartups modulifile permituserrc
persourcemaxstartups persourcenetblocksize persourcepenalties persourcepenaltyexemptlist pidfile printlastlog printmotd
rdomain rekeylimit streamlocalbindmask streamlocalbindunlink subsystem syslogfacility tcpkeepalive
unusedconnectiontimeout usedns versionaddendum x11displayoffset x11uselocalhost xauthlocation
"""
IGNORED = frozenset(IGNORED_NAMES.split())
# Lists of accounts; `find_exclusion` decides about them.
ADMISSION = ("denyusers", "allowusers", "denygroups", "allowgroups")
# Settings that restrict an account. For an account that must be able to log in, they are refused.
RESTRICTIONS = frozenset(
    ("chrootdirectory", "forcecommand", "maxsessions", "permitlisten", "permitopen", "permittty", "refuseconnection")
)
# `no` is stricter than every other value.
FORWARDING_NAMES = """
allowagentforwarding allowstreamlocalforwarding allowtcpforwarding compression gatewayports permittunnel
permituserenvironment x11forwarding
"""
FORWARDING = frozenset(FORWARDING_NAMES.split())
ALGORITHM_NAMES = """
casignaturealgorithms ciphers gssapikexalgorithms hostbasedacceptedalgorithms hostkeyalgorithms kexalgorithms macs
pubkeyacceptedalgorithms
"""
ALGORITHMS = frozenset(ALGORITHM_NAMES.split())
ROOT_LOGIN = ("no", "forced-commands-only", "without-password", "yes")
NO_VALUE = ("", "none", "any")


@dataclasses.dataclass(frozen=True)
class Account:
    """An account of the host."""

    name: str
    groups: tuple[str, ...] = ()
    required: bool = False  # whether it must be able to log in


@dataclasses.dataclass(frozen=True)
class Finding:
    """A setting that is refused: the line that decides, if it is known, and the reason."""

    keyword: str
    reason: str
    setting: Setting | None = None

    def __str__(self) -> str:
        return f"{self.setting}: {self.reason}" if self.setting else self.reason


def is_weaker(keyword: str, value: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    """Return whether a value differs from the wanted one and is not clearly stricter."""
    if keyword in IGNORED or keyword in ADMISSION or keyword in RESTRICTIONS:
        return False
    if [one.lower() for one in value] == [one.lower() for one in wanted]:
        return False
    return not _is_stricter(keyword, value[0] if value else "", wanted[0] if wanted else "")


def _is_stricter(keyword: str, value: str, wanted: str) -> bool:
    if keyword in ALGORITHMS:
        return set(value.split(",")) <= set(wanted.split(","))
    if keyword in FORWARDING:
        return value == "no"
    stricter = {
        "authenticationmethods": all("publickey" in method.split(",") for method in value.split()) and value != "",
        "disableforwarding": value == "yes",
        "logingracetime": 0 < _number(value) <= _number(wanted),
        "maxauthtries": 0 < _number(value) <= _number(wanted),
        "permitrootlogin": _rank(value) <= _rank(wanted),
        # It closes the account.
        "pubkeyauthentication": True,
        "requiredrsasize": _number(value) >= _number(wanted),
    }
    return stricter.get(keyword, False)


def _rank(value: str) -> int:
    value = {"prohibit-password": "without-password"}.get(value, value)
    return ROOT_LOGIN.index(value) if value in ROOT_LOGIN else len(ROOT_LOGIN)


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else -1


def closes(keyword: str, value: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    """Return whether a value restricts an account more than the wanted one, so that it may not be able to work."""
    if value == wanted or keyword in ADMISSION:
        return False
    if keyword == "authenticationmethods":
        # A second factor that the account does not have.
        return "publickey" not in (value[0] if value else "").split()
    if keyword == "permitrootlogin":
        return value[:1] in (("no",), ("forced-commands-only",)) and _rank(value[0]) < _rank(wanted[0])
    if keyword == "pubkeyauthentication":
        return value[:1] == ("no",)
    return keyword in RESTRICTIONS


def find_exclusion(account: Account, effective: Effective) -> str:
    """Return the keyword by which sshd refuses an account, in the order of sshd; empty when it admits the account."""
    users, groups = [account.name], account.groups
    for keyword in ADMISSION:
        patterns = [part for value in effective.get(keyword, ()) for part in value.split()]
        if not patterns:
            continue
        values = users if keyword.endswith("users") else groups
        # A pattern with an address depends on the client: it does not surely admit the account.
        if keyword.startswith("deny"):
            found = any(config.match_list(values, pattern.partition("@")[0]) for pattern in patterns)
        else:
            found = not any(config.match_list(values, pattern) for pattern in patterns if "@" not in pattern)
        if found:
            return keyword
    return ""


def find_decider(
    keyword: str, account: Account, settings: t.Iterable[Setting], own: t.Collection[str]
) -> Setting | None:
    """Return the line of another file that decides about a keyword for an account; None when it is not found.

    Settings of matching blocks come before all others, and the first one counts. Lists of accounts add up.
    """
    candidates = [one for one in settings if one.keyword == keyword and one.applies(account.name, account.groups)]
    candidates.sort(key=lambda one: not one.blocks)
    foreign = [one for one in candidates if one.file not in own]
    if keyword in ADMISSION or keyword == "port":
        return foreign[0] if foreign else None
    return candidates[0] if candidates and candidates[0] in foreign else next(iter(foreign), None)


def compare(
    account: Account, effective: Effective, wanted: Effective, settings: t.Sequence[Setting], own: t.Collection[str]
) -> t.Iterator[Finding]:
    """Yield what is refused in the configuration that is in force for an account, without the lists of accounts."""
    for keyword in sorted({*effective, *wanted}):
        value, expected = _values(effective, keyword), _values(wanted, keyword)
        shown = " ".join(value) or "none"
        if is_weaker(keyword, value, expected):
            wants = " ".join(expected) or "none"
            reason = f"{keyword} is `{shown}` for {account.name}; the role wants `{wants}`"
        elif account.required and closes(keyword, value, expected):
            reason = f"{keyword} is `{shown}` for {account.name}, who must be able to log in"
        else:
            continue
        yield Finding(keyword, reason, find_decider(keyword, account, settings, own))


def explain_exclusion(
    account: Account, effective: Effective, settings: t.Sequence[Setting], own: t.Collection[str]
) -> Finding | None:
    """Return which list of accounts refuses a required account; None when sshd admits it."""
    keyword = find_exclusion(account, effective) if account.required else ""
    if not keyword:
        return None
    reason = f"{keyword} is `{' '.join(effective[keyword])}`, but {account.name} must be able to log in"
    return Finding(keyword, reason, find_decider(keyword, account, settings, own))


def _values(effective: Effective, keyword: str) -> tuple[str, ...]:
    values = tuple(effective.get(keyword, ()))
    return () if len(values) == 1 and values[0] in NO_VALUE else values


def check_block(setting: Setting, wanted: Effective, accounts: t.Iterable[Account]) -> Finding | None:
    """Return why a line of a Match block is refused although no account shows its effect; None when it is accepted.

    The client decides about the effect, or an account that does not exist yet.

    Args:
        setting: a line of another file, in a Match block.
        wanted: the wanted configuration.
        accounts: all accounts of the host.
    """
    if setting.known and any(setting.applies(account.name, account.groups) for account in accounts):
        return None
    value = () if setting.value in NO_VALUE else (setting.value,)
    expected = _values(wanted, setting.keyword)
    if is_weaker(setting.keyword, value, expected):
        return Finding(setting.keyword, f"the role wants `{' '.join(expected) or 'none'}`", setting)
    if not setting.known and (setting.keyword in ADMISSION or closes(setting.keyword, value, expected)):
        return Finding(setting.keyword, "it can refuse people, depending on their client", setting)
    return None


def group_accounts(accounts: t.Iterable[Account], settings: t.Iterable[Setting]) -> list[list[Account]]:
    """Return the accounts in groups to which the same Match blocks apply, so that they have the same configuration."""
    blocks = list(dict.fromkeys(block for setting in settings for block in setting.blocks))
    groups: dict[tuple[object, ...], list[Account]] = {}
    for account in accounts:
        matching = tuple(block.applies(account.name, account.groups) for block in blocks)
        groups.setdefault((account.name == "root", account.required, matching), []).append(account)
    return list(groups.values())
