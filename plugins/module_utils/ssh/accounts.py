# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Accounts as sshd sees them: their groups, whether they have keys, and what prevents the use of these keys."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import stat
import typing as t

from ..host import users
from ..host.accounts import NO_LOGIN
from .policy import Account

KEYS = "/etc/ssh/authorized_keys.d"


def read_accounts(home_keys_for: t.Collection[str]) -> list[Account]:
    """Return all accounts; required are those with a key file of the platform, or with keys at home that sshd reads."""
    return [Account(entry.pw_name, _read_groups(entry), has_keys(entry, home_keys_for)) for entry in pwd.getpwall()]


def has_login_shell(name: str) -> bool:
    """Return whether an account can start a shell."""
    return pwd.getpwnam(name).pw_shell not in NO_LOGIN


def has_keys(entry: pwd.struct_passwd, home_keys_for: t.Collection[str]) -> bool:
    """Return whether an account has keys by which the role lets it log in."""
    paths = [f"{KEYS}/{entry.pw_name}"]
    if entry.pw_name in home_keys_for:
        paths.append(f"{entry.pw_dir}/.ssh/authorized_keys")
    return any(contains_key(path) for path in paths)


def contains_key(path: str) -> bool:
    """Return whether a file has a line that is not empty or a comment; it is read with the rights of this process."""
    try:
        with open(path, "rb") as handle:
            return any(line.strip() and not line.lstrip().startswith(b"#") for line in handle)
    except OSError:
        return False


def explain_unusable_keys(name: str, patterns: t.Iterable[str], strict: bool) -> str:
    """Return why sshd cannot use any key of an account, or an empty string.

    Args:
        name: the account.
        patterns: AuthorizedKeysFile as `sshd -T` prints it.
        strict: whether StrictModes is in force.
    """
    entry = pwd.getpwnam(name)
    reasons = []
    for pattern in patterns:
        path = _expand(pattern, entry)
        reason = _explain_file(path, entry, strict)
        if not reason:
            return ""
        reasons.append(reason)
    return "; ".join(reasons)


def _explain_file(path: str, entry: pwd.struct_passwd, strict: bool) -> str:
    # sshd reads the file with the rights of the account.
    try:
        with users.acting_as(entry.pw_name):
            readable = contains_key(path)
    except OSError as error:
        return f"{path}: {error.strerror}"
    if not readable:
        return f"{path} has no key, or {entry.pw_name} cannot read it"
    return _explain_modes(path, entry) if strict else ""


def _explain_modes(path: str, entry: pwd.struct_passwd) -> str:
    path, home = os.path.realpath(path), os.path.realpath(entry.pw_dir)
    while True:
        with contextlib.suppress(OSError):
            status = os.stat(path)
            if status.st_uid not in (0, entry.pw_uid) or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                return f"another user can write to {path}: sshd ignores the keys there (StrictModes)"
        if path in ("/", home):
            return ""
        path = os.path.dirname(path)


def _expand(pattern: str, entry: pwd.struct_passwd) -> str:
    marks = {"%%": "%", "%u": entry.pw_name, "%h": entry.pw_dir, "%U": str(entry.pw_uid)}
    path = pattern
    for mark, value in marks.items():
        path = path.replace(mark, value)
    return path if path.startswith("/") else os.path.join(entry.pw_dir, path)


def _read_groups(entry: pwd.struct_passwd) -> tuple[str, ...]:
    names = []
    for gid in os.getgrouplist(entry.pw_name, entry.pw_gid):
        with contextlib.suppress(KeyError):
            names.append(grp.getgrgid(gid).gr_name)
    return tuple(names)
