# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The git repository of mailcow's checkout."""

from __future__ import annotations

import os
import stat
import tempfile
import typing as t
from pathlib import Path

from ..host import files
from .commands import execute, run, save_output
from .settings import Problem, Settings


def git(config: Settings, *arguments: str, stdin: str = "", index: str = "") -> str:
    """Run git in the checkout and return its output; with a path, that file is git's index."""
    argv = ["git", "-C", str(config.directory), *arguments]
    return run(argv, stdin=stdin, GIT_INDEX_FILE=index) if index else run(argv, stdin=stdin)


def list_names(config: Settings, *arguments: str) -> list[str]:
    """Run git with an output of names that end with zero bytes, and return them; a name can have any encoding."""
    with tempfile.NamedTemporaryFile() as target:
        save_output(["git", "-C", str(config.directory), *arguments], Path(target.name))
        return [os.fsdecode(name) for name in Path(target.name).read_bytes().split(b"\0") if name]


def resolve(config: Settings, name: str) -> str:
    """Return the commit of a name; an empty text if there is none."""
    argv = ["git", "-C", str(config.directory), "rev-parse", "--quiet", "--verify", f"{name}^{{commit}}"]
    result = execute(argv)
    return "" if result.failed else result.out.strip()


def head(config: Settings) -> str:
    """Return the commit that is checked out; an empty text before the first checkout."""
    # Not always a directory: in a worktree and in a submodule it is a file
    if not (config.directory / ".git").exists():
        return ""
    return resolve(config, "HEAD")


def release(config: Settings) -> str:
    """Return the tag that is checked out; an empty text before the first checkout."""
    if not head(config):
        return ""
    try:
        return git(config, "describe", "--tags", "--exact-match", "HEAD").strip()
    except Problem:
        return ""


def nearest_release(config: Settings) -> str:
    """Return the newest tag that HEAD contains: after mailcow's own update, HEAD is a merge of it."""
    try:
        return git(config, "describe", "--tags", "--abbrev=0", "HEAD").strip()
    except Problem:
        return ""


def fetch(config: Settings, tag: str) -> str:
    """Fetch a release and return its commit. The directory can contain the configuration, so git cannot clone."""
    name = f"refs/tags/{tag}"
    run(["git", "init", "--quiet", str(config.directory)])
    remove_locks(config)
    git(config, "fetch", "--quiet", "--depth", "1", config.repository, f"+{name}:{name}")
    return resolve(config, name)


def remove_locks(config: Settings) -> None:
    """Remove the locks of references that a killed git has left; only one run at a time changes the checkout."""
    place = config.directory / ".git"
    for path in [*place.glob("*.lock"), *place.glob("refs/**/*.lock")]:
        if path.name != "index.lock":
            files.remove_file(str(path))


class File(t.NamedTuple):
    """A file as git stores it: its mode, and its content. The content of a link is its target."""

    mode: str
    content: bytes


FILE, EXECUTABLE, LINK = "100644", "100755", "120000"


def read_blob(config: Settings, revision: str, path: str) -> File | None:
    """Return a file of a revision; None if the revision does not have it."""
    if not revision:
        return None
    # Without wildcards: a name can contain them
    entry = list_names(config, "--literal-pathspecs", "ls-tree", "-z", revision, "--", path)
    mode, kind, name = entry[0].partition("\t")[0].split() if entry else ("", "", "")
    if kind != "blob":
        return None
    with tempfile.NamedTemporaryFile() as target:
        save_output(["git", "-C", str(config.directory), "cat-file", "blob", name], Path(target.name))
        return File(mode, Path(target.name).read_bytes())


def read_local(path: Path) -> File | None:
    """Return a file of this host; None if there is none."""
    if path.is_symlink():
        return File(LINK, os.fsencode(os.readlink(path)))
    if not path.is_file():
        return None
    return File(EXECUTABLE if path.stat().st_mode & stat.S_IXUSR else FILE, path.read_bytes())


def set_executable(mode: int, executable: bool) -> int:
    """Return permissions with or without those to execute; those who may read may execute."""
    return mode | (mode & 0o444) >> 2 if executable else mode & ~0o111
