# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Certificates on a host: a directory for each, replaced atomically, so that chain and key always match.

C(/etc/vise/tls/<name>) is a symbolic link to C(/etc/vise/tls/.versions/<name>/<version>). A version that the services
have loaded contains the file C(.live). Without this file the services must be reloaded, also after a killed run.
"""

from __future__ import annotations

import contextlib
import grp
import os
import secrets
import shutil
import stat
import typing as t

from ..host import files, locks

ROOT = "/etc/vise/tls"
CHAIN = "fullchain.pem"
KEY = "privkey.pem"
CA = "ca.pem"
LIVE = ".live"
PUBLIC = (CHAIN, CA)

# Runs a command and returns its exit code and output.
Command = t.Callable[[list[str]], tuple[int, str]]

# Exit code of systemctl for a unit that does not exist (yet).
NOT_LOADED = 5


def lock(root: str = ROOT) -> contextlib.AbstractContextManager[None]:
    """Wait for the lock of the store and hold it."""
    return locks.lock(os.path.join(root, ".lock"))


class Store:
    """The versions of one certificate."""

    def __init__(self, name: str, root: str = ROOT, group: str = "root") -> None:
        self.root = root
        self.link = os.path.join(root, name)
        self.versions = os.path.join(root, ".versions", name)
        self.group = group

    def read(self, file: str) -> str:
        """Return a file of the current version."""
        return files.read_text(os.path.join(self.link, file))

    def is_live(self) -> bool:
        """Return whether the services have loaded the current version."""
        return os.path.exists(os.path.join(self.link, LIVE))

    def mark_live(self) -> None:
        """Record that the services have loaded the current version."""
        files.replace_file(os.path.join(self.link, LIVE), "", mode=0o644)

    def key_is_protected(self) -> bool:
        """Return whether owner, group and mode of the key allow only the wanted readers."""
        try:
            found = os.stat(os.path.join(self.link, KEY))
            return (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (os.getuid(), *self._access())
        except (FileNotFoundError, KeyError):
            return False

    def find_closed(self) -> list[str]:
        """Return the paths of the current version, except the key, that readers cannot open or others could write."""
        modes = {self.link: 0o755, **{os.path.join(self.link, file): 0o644 for file in PUBLIC}}
        return [path for path, mode in modes.items() if os.path.exists(path) and _read_mode(path) != mode]

    def open_to_readers(self) -> None:
        """Set the permissions of what `find_closed` returns."""
        for path in self.find_closed():
            os.chmod(path, 0o755 if path == self.link else 0o644)  # certificates are public

    def _access(self) -> tuple[int, int]:
        if self.group == "root":
            return os.getgid(), 0o600
        return grp.getgrnam(self.group).gr_gid, 0o640

    def _current(self) -> str:
        return os.path.basename(os.readlink(self.link)) if os.path.islink(self.link) else ""

    def stage(self, key: str) -> str:
        """Begin a new version with its key, and remove all versions except the current one; return its name."""
        files.make_directories(self.versions)
        for old in set(os.listdir(self.versions)) - {self._current()}:
            shutil.rmtree(os.path.join(self.versions, old))
        version = secrets.token_hex(6)
        files.make_directories(os.path.join(self.versions, version))
        group = "" if self.group == "root" else self.group
        files.create_file(self._path(version, KEY), key, mode=self._access()[1], group=group)
        return version

    def read_staged_key(self, version: str) -> str:
        """Return the key of a staged version."""
        return files.read_text(self._path(version, KEY))

    def switch(self, version: str, others: dict[str, str]) -> None:
        """Complete a version with the other files, and make it the current one atomically."""
        for file, text in others.items():
            files.create_file(self._path(version, file), text, mode=0o644)
        new_link = f"{self.link}.new"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new_link)
        os.symlink(os.path.join(".versions", os.path.basename(self.link), version), new_link)
        os.replace(new_link, self.link)

    def remove(self) -> None:
        """Remove all versions; the link first, so that the next run finds the rest of a killed one."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.link)
        shutil.rmtree(self.versions)

    def _path(self, version: str, file: str) -> str:
        return os.path.join(self.versions, version, file)


def _read_mode(path: str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def list_names(root: str = ROOT) -> list[str]:
    """Return the names of all certificates in the store."""
    try:
        return sorted(os.listdir(os.path.join(root, ".versions")))
    except FileNotFoundError:
        return []


def activate(stores: t.Iterable[Store], units: t.Iterable[str], command: Command) -> tuple[list[str], list[str]]:
    """Reload the running units when a version is not live yet; return the actions and the failures."""
    pending = [store for store in stores if not store.is_live()]
    actions: list[str] = []
    failures: list[str] = []
    for unit in units if pending else []:
        code, output = command(["systemctl", "try-reload-or-restart", unit])
        if code == 0:
            actions.append(f"reload {unit}")
        elif code != NOT_LOADED:
            failures.append(f"{unit} serves the old certificate, because its reload failed: {output.strip()}")
    for store in [] if failures else pending:
        store.mark_live()
    return actions, failures
