# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Become another user of the host: directories of a user may contain links to any file, which root must not follow."""

from __future__ import annotations

import contextlib
import os
import pwd
import typing as t


def become(user: str) -> None:
    """Give up the rights of root for good; nothing happens in a process that is not root's.

    Raises:
        KeyError: the user does not exist on this host.
    """
    if os.geteuid() == 0:
        entry = pwd.getpwnam(user)
        os.setgroups(os.getgrouplist(user, entry.pw_gid))
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)


@contextlib.contextmanager
def acting_as(user: str) -> t.Iterator[None]:
    """Give up the rights of root for the time of a context; nothing happens in a process that is not root's.

    Raises:
        KeyError: the user does not exist on this host.
    """
    if os.geteuid():
        yield
        return
    entry, groups = pwd.getpwnam(user), os.getgroups()
    os.setgroups(os.getgrouplist(user, entry.pw_gid))
    os.setegid(entry.pw_gid)
    os.seteuid(entry.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)
