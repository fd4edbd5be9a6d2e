# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where certificates lie on a host: a directory each, switched as a whole, so that chain and key belong together.

C(/etc/vise/tls/<name>) is a symbolic link to C(/etc/vise/tls/.versions/<name>/<version>). A version that the services
have loaded holds the file C(.live); without it, services have yet to be reloaded, also after a run that was killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import grp
import os
import re
import secrets
import shutil
import stat
import typing as t

ROOT = "/etc/vise/tls"
CHAIN = "fullchain.pem"
KEY = "privkey.pem"
LIVE = ".live"

# A command's exit code and what it said.
Command = t.Callable[[list[str]], tuple[int, str]]

# systemctl's answer for a unit that does not exist (yet).
NOT_LOADED = 5


@contextlib.contextmanager
def locked(root: str = ROOT) -> t.Iterator[None]:
    """Let one run at a time work; the kernel drops the lock of a killed one."""
    os.makedirs(root, mode=0o755, exist_ok=True)
    with open(os.path.join(root, ".lock"), "w", encoding="utf-8") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def read(path: str) -> str:
    """Return a file's text; nothing for an absent one."""
    try:
        with open(path, encoding="ascii", errors="replace") as handle:
            return handle.read()
    except (FileNotFoundError, NotADirectoryError):
        return ""


class Store:
    """The versions of one name."""

    def __init__(self, name: str, root: str = ROOT, group: str = "root") -> None:
        self.link = os.path.join(root, name)
        self.versions = os.path.join(root, ".versions", name)
        self.group = group

    def read(self, file: str) -> str:
        """Return a file of the current version."""
        return read(os.path.join(self.link, file))

    def live(self) -> bool:
        """Whether the services have loaded the current version."""
        return os.path.exists(os.path.join(self.link, LIVE))

    def set_live(self) -> None:
        """Remember that they have."""
        with open(os.path.join(self.link, LIVE), "w", encoding="utf-8"):
            pass

    def guarded(self) -> bool:
        """Whether the key is readable by those alone who should."""
        try:
            found = os.stat(os.path.join(self.link, KEY))
            return (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (os.getuid(), *self._access())
        except (FileNotFoundError, KeyError):
            return False

    def _access(self) -> tuple[int, int]:
        if self.group == "root":
            return os.getgid(), 0o600
        return grp.getgrnam(self.group).gr_gid, 0o640

    def _current(self) -> str:
        return os.path.basename(os.readlink(self.link)) if os.path.islink(self.link) else ""

    def stage(self, key: str) -> str:
        """Begin a version with its key; versions before the current one, and half-made ones, go away."""
        os.makedirs(self.versions, mode=0o755, exist_ok=True)
        for old in set(os.listdir(self.versions)) - {self._current()}:
            shutil.rmtree(os.path.join(self.versions, old))
        version = secrets.token_hex(6)
        os.mkdir(os.path.join(self.versions, version), mode=0o755)
        gid, mode = self._access()
        self._write(version, KEY, key, mode)
        os.chown(os.path.join(self.versions, version, KEY), -1, gid)
        return version

    def staged_key(self, version: str) -> str:
        """Return the key of a version that was begun."""
        return read(os.path.join(self.versions, version, KEY))

    def switch(self, version: str, files: dict[str, str]) -> None:
        """Complete a version and make it the current one, in one step for whoever reads."""
        for file, text in files.items():
            self._write(version, file, text, 0o644)
        fresh = f"{self.link}.new"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(fresh)
        os.symlink(os.path.join(".versions", os.path.basename(self.link), version), fresh)
        os.replace(fresh, self.link)

    def remove(self) -> None:
        """Remove all versions; the link goes first, so that a killed run leaves what the next one finds."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.link)
        shutil.rmtree(self.versions)

    def _write(self, version: str, file: str, text: str, mode: int) -> None:
        path = os.path.join(self.versions, version, file)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as handle:
            handle.write(text)
            os.fchmod(handle.fileno(), mode)
            handle.flush()
            os.fsync(handle.fileno())


def names(root: str = ROOT) -> list[str]:
    """Return the names of which there are versions."""
    try:
        return sorted(os.listdir(os.path.join(root, ".versions")))
    except FileNotFoundError:
        return []


def mentioned(text: str, places: t.Iterable[str]) -> bool:
    """Whether a file below these directories holds a path, as itself or as the beginning of a longer one."""
    wanted = re.compile(re.escape(text).encode() + rb"(?![\w.-])")
    for place in places:
        for directory, _directories, files in os.walk(place):
            for path in [os.path.join(directory, file) for file in files]:
                if os.path.isfile(path) and wanted.search(_content(path)):
                    return True
    return False


def _content(path: str) -> bytes:
    with contextlib.suppress(FileNotFoundError), open(path, "rb") as handle:
        return handle.read()
    return b""


def activate(stores: t.Iterable[Store], units: t.Iterable[str], command: Command) -> tuple[list[str], list[str]]:
    """Reload the units that run when a version is not live yet; return what was done, and what failed."""
    waiting = [store for store in stores if not store.live()]
    done: list[str] = []
    failed: list[str] = []
    for unit in units if waiting else []:
        code, said = command(["systemctl", "try-reload-or-restart", unit])
        if code == 0:
            done.append(f"reload {unit}")
        elif code != NOT_LOADED:
            failed.append(f"{unit} does not reload and serves the old certificate: {said.strip()}")
    for store in [] if failed else waiting:
        store.set_live()
    return done, failed
