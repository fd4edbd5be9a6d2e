# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The changed and the added files of the checkout in a backup, and their restore."""

from __future__ import annotations

import os
import shutil
import stat
import typing as t
from pathlib import Path

from ..host import files
from .changes import Change, find_changes, find_untracked, merge_all
from .repository import EXECUTABLE, LINK, File, nearest_release, read_local, release, set_executable
from .settings import Problem, Settings


def export(config: Settings, target: Path) -> None:
    """Write the changed and the added files to a directory, with the release's content of the changed ones."""
    shutil.rmtree(target, ignore_errors=True)
    changes = find_changes(config)
    for change in changes:
        if change.base is not None:
            write_file(target / "base" / change.path, change.base)
        if change.local is not None:
            write_file(target / "local" / change.path, change.local, config.directory / change.path)
    for name in find_untracked(config):
        content = read_local(config.directory / name)
        if content is not None:
            write_file(target / "added" / name, content, config.directory / name)
    note = {"release": nearest_release(config), "changed": [change.path for change in changes]}
    files.write_json(str(target / "checkout.json"), note)


def write_file(path: Path, file: File, like: Path | None = None) -> None:
    """Write a file, with the owner and the permissions of another one."""
    files.make_directories(str(path.parent))
    if file.mode == LINK:
        path.unlink(missing_ok=True)
        path.symlink_to(os.fsdecode(file.content))
    else:
        default = 0o700 if file.mode == EXECUTABLE else 0o600
        mode = set_executable(stat.S_IMODE(like.stat().st_mode), file.mode == EXECUTABLE) if like else default
        if path.is_symlink():
            path.unlink()
        files.replace_file(str(path), file.content, mode=mode)
    if like:
        os.chown(path, like.lstat().st_uid, like.lstat().st_gid, follow_symlinks=False)


def plan_import(config: Settings, source: Path) -> dict[str, File | None]:
    """Return the exported files, merged with the release of this host; fail with all conflicts."""
    note = files.read_json(str(source / "checkout.json"), {})
    found = [path for path in sorted(source.glob("added/**/*")) if path.is_symlink() or path.is_file()]
    added = [str(path.relative_to(source / "added")) for path in found]
    changes = [
        Change(name, read_local(source / "base" / name), read_local(source / "local" / name))
        for name in note.get("changed", [])
    ] + [Change(name, None, read_local(source / "added" / name)) for name in added]
    try:
        return merge_all(config, "HEAD", changes)
    except Problem as error:
        raise Problem(
            f"the backup was made with release {note.get('release')}, and this host runs {release(config)}. {error}\n"
            f"To restore without a conflict, run mail.yml with mail_release={note.get('release')} on a fresh host first"
        ) from error


def apply_import(config: Settings, source: Path, contents: t.Mapping[str, File | None]) -> None:
    """Write the merged files into the checkout."""
    for name, content in contents.items():
        path = config.directory / name
        exported = next(
            (p for p in (source / "local" / name, source / "added" / name) if p.is_symlink() or p.is_file()), None
        )
        if content is None:
            path.unlink(missing_ok=True)
        elif read_local(path) != content:
            write_file(path, content, exported)
