# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The git repository of mailcow's checkout."""

from __future__ import annotations

import tempfile
from pathlib import Path

from .commands import execute, run, save_output
from .settings import Problem, Settings


def git(config: Settings, *arguments: str, stdin: str = "", index: str = "") -> str:
    """Run git in the checkout and return its output; with a path, that file is git's index."""
    argv = ["git", "-C", str(config.directory), *arguments]
    return run(argv, stdin=stdin, GIT_INDEX_FILE=index) if index else run(argv, stdin=stdin)


def resolve(config: Settings, name: str) -> str:
    """Return the commit of a name; an empty text if there is none."""
    argv = ["git", "-C", str(config.directory), "rev-parse", "--quiet", "--verify", f"{name}^{{commit}}"]
    result = execute(argv)
    return "" if result.failed else result.out.strip()


def head(config: Settings) -> str:
    """Return the commit that is checked out; an empty text before the first checkout."""
    if not (config.directory / ".git").is_dir():
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
    git(config, "fetch", "--quiet", "--depth", "1", config.repository, f"+{name}:{name}")
    return resolve(config, name)


def read_blob(config: Settings, revision: str, path: str) -> bytes | None:
    """Return the content of a file in a revision; None if the revision does not have it."""
    if not revision or execute(["git", "-C", str(config.directory), "cat-file", "-e", f"{revision}:{path}"]).failed:
        return None
    with tempfile.NamedTemporaryFile() as target:
        save_output(["git", "-C", str(config.directory), "cat-file", "blob", f"{revision}:{path}"], Path(target.name))
        return Path(target.name).read_bytes()


def read_local(path: Path) -> bytes | None:
    """Return the content of a file; None if there is none."""
    return path.read_bytes() if path.is_file() and not path.is_symlink() else None
