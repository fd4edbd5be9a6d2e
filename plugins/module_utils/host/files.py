# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files on a host: each one is replaced atomically and durably, and its access never depends on the umask."""

from __future__ import annotations

import contextlib
import grp
import json
import os
import pwd
import re
import typing as t

# The leading dot and the unknown suffix make programs that read a drop-in directory ignore a staged file.
STAGED = ".{}.vise-new"


def replace_file(path: str, text: str | bytes, *, mode: int = 0o600, owner: str = "", group: str = "") -> None:
    """Replace or create a file; a reader sees the old content or the new one, also after a power loss.

    One process at a time may write a file; hold a lock where there could be two.

    Args:
        path: the file; a link at this path is replaced, not followed.
        text: the new content.
        mode: permissions, whatever the umask is.
        owner: name of the owner; by default the user of this process.
        group: name of the group; by default the group of this process.

    Raises:
        KeyError: the owner or the group does not exist on this host.
        OSError: the directory is missing, is not writable, or its file system is full.
    """
    staged = staged_path(path)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(staged)
    try:
        create_file(staged, text, mode=mode, owner=owner, group=group)
        os.rename(staged, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(staged)
        raise
    sync_directory(os.path.dirname(path))


def create_file(path: str, text: str | bytes, *, mode: int = 0o600, owner: str = "", group: str = "") -> None:
    """Create a file that must not exist yet; the content is on the disk when this returns.

    Nobody else can open it before its owner and its permissions are set, which is done by descriptor: the owner of the
    directory could replace the path by a link to a file of root.
    """
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as handle:
        set_access(handle.fileno(), mode, owner, group)
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())


def set_access(descriptor: int, mode: int, owner: str = "", group: str = "") -> None:
    """Set owner, group and permissions of an open file; raises KeyError when the owner or the group does not exist."""
    uid = pwd.getpwnam(owner).pw_uid if owner else -1
    gid = grp.getgrnam(group).gr_gid if group else -1
    if (uid, gid) != (-1, -1):
        os.fchown(descriptor, uid, gid)
    # After chown, because chown clears the set-user-id bits.
    os.fchmod(descriptor, mode)


def make_directories(path: str, mode: int = 0o755) -> None:
    """Create a directory with these permissions, and those above it that are missing, which all users can enter.

    The umask has no effect. A directory that exists keeps its permissions.

    Raises:
        FileExistsError: another file has this path.
    """
    if os.path.isdir(path):
        return
    parent = os.path.dirname(path)
    if parent and parent != path:
        make_directories(parent)
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        if not os.path.isdir(path):
            raise
        # Another process was faster, and sets them.
        return
    os.chmod(path, mode)


def remove_file(path: str) -> None:
    """Remove a file durably; nothing happens when it does not exist."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    sync_directory(os.path.dirname(path))


def read_text(path: str) -> str:
    """Return the text of a file; empty when the file does not exist."""
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return handle.read()
    except (FileNotFoundError, NotADirectoryError):
        return ""


def write_json(path: str, data: t.Any, *, mode: int = 0o600, owner: str = "", group: str = "") -> None:
    """Replace a JSON file."""
    text = json.dumps(data, indent=1, sort_keys=True) + "\n"
    replace_file(path, text, mode=mode, owner=owner, group=group)


def read_json(path: str, missing: t.Any = None) -> t.Any:
    """Return the content of a JSON file, or `missing` when it does not exist; raises ValueError for other content."""
    try:
        with open(path, encoding="utf-8") as handle:
            return json.load(handle)
    except FileNotFoundError:
        return missing


def staged_path(path: str) -> str:
    """Return where the new content of a file is written before it gets its name."""
    return os.path.join(os.path.dirname(path), STAGED.format(os.path.basename(path)))


def is_staged(name: str) -> bool:
    """Return whether a name in a directory is that of staged content, which a killed process has left there."""
    begin, end = STAGED.split("{}")
    return name.startswith(begin) and name.endswith(end)


def sync_directory(path: str) -> None:
    """Flush a directory to disk, so that its renames and removals survive a power loss."""
    descriptor = os.open(path or ".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_referenced(text: str, places: t.Iterable[str]) -> bool:
    """Return whether a file in these directories contains a path, or a path below it."""
    wanted = re.compile(re.escape(text).encode() + rb"(?![\w.-])")
    for place in places:
        for directory, _directories, names in os.walk(place):
            for path in [os.path.join(directory, name) for name in names]:
                if os.path.isfile(path) and wanted.search(_read_bytes(path)):
                    return True
    return False


def _read_bytes(path: str) -> bytes:
    with contextlib.suppress(FileNotFoundError), open(path, "rb") as handle:
        return handle.read()
    return b""
