# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The files that redis.conf includes: the memory limit, and the users with the administrator.

The password of the user `admin` is generated at boot and exists only in memory.
"""

from __future__ import annotations

import os
import secrets
import shutil

from ..host import files
from . import state
from .settings import Settings


def read_host_memory() -> int:
    """Return the host's memory in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def read_secret(settings: Settings) -> str:
    """Return the administrator's password; a new one if none was generated since boot."""
    return files.read_text(os.path.join(settings.run, "admin")) or secrets.token_hex(32)


def make_directory(path: str, group: str | None = None) -> None:
    """Create a directory that a group can read; by default it is the group of this process."""
    files.make_directories(path, 0o700)
    if group:
        shutil.chown(path, group=group)
    # At boot the unit's umask would deny Redis access.
    os.chmod(path, 0o750)  # noqa: S103


def write_run_directory(settings: Settings) -> None:
    """Write the directory with the files that redis.conf includes."""
    make_directory(settings.run, settings.account)
    secret = read_secret(settings)
    files.replace_file(os.path.join(settings.run, "admin"), secret, mode=0o600)
    write_included(settings, settings.run, secret)


def write_included(settings: Settings, directory: str, secret: str) -> None:
    """Write the files to a directory, for Redis to read."""
    users = "\n".join([*settings.read_users(), state.describe_admin(secret)])
    limit = state.compute_limit(settings.memory, read_host_memory())
    for name, text in (("users.acl", users), ("limits.conf", f"maxmemory {limit}")):
        files.replace_file(os.path.join(directory, name), f"{text}\n", mode=0o640, group=settings.account)
