# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files of the checkout that others have changed, and their merge with another release.

mailcow's web interface writes tracked files (maps of rspamd, global sieve filters), and administrators edit others,
such as sogo.conf.
"""

from __future__ import annotations

import re
import stat
import tempfile
import typing as t
from pathlib import Path

from ..host import files
from .commands import execute
from .repository import git, head, read_blob, read_local
from .settings import Problem, Settings

# Files of the role and of this program, and the cache of the web interface.
OWN = ("mailcow.conf", "docker-compose.override.yml", "data/web/inc/app_info.inc.php")
OWN_DIRECTORIES = ("data/assets/ssl/", "data/web/templates/cache/", "update_diffs/")
# Containers write these parts of tracked files at every start: all lines after a mark, and single lines.
GENERATED_AFTER = {"data/conf/postfix/main.cf": re.compile(rb"Overrides")}
GENERATED_LINES = {"data/conf/dovecot/conf.d/fts.conf": re.compile(rb"\s*(vsz_limit|process_limit)\s*=")}


class Change(t.NamedTuple):
    """A file that differs from the release: the content of the release and the current content; None for no file."""

    path: str
    base: bytes | None
    local: bytes | None
    executable: bool = False


class Conflict(t.NamedTuple):
    """A file with changes that cannot be merged, and the reason."""

    path: str
    reason: str


def remove_generated(path: str, base: bytes | None, local: bytes | None) -> bytes | None:
    """Return the current content without the parts that a container writes."""
    if base is None or local is None:
        return local
    if path in GENERATED_AFTER:
        return cut_after(local, GENERATED_AFTER[path]) + (base.removeprefix(cut_after(base, GENERATED_AFTER[path])))
    if path in GENERATED_LINES:
        pattern = GENERATED_LINES[path]
        of_release = iter([line for line in base.splitlines(keepends=True) if pattern.match(line)])
        lines = local.splitlines(keepends=True)
        return b"".join(next(of_release, line) if pattern.match(line) else line for line in lines)
    return local


def cut_after(text: bytes, pattern: re.Pattern[bytes]) -> bytes:
    """Return a text up to the first line with a pattern."""
    lines = text.splitlines(keepends=True)
    last = next((number for number, line in enumerate(lines) if pattern.search(line)), len(lines))
    return b"".join(lines[: last + 1])


def find_changes(config: Settings) -> list[Change]:
    """Return the tracked files that differ from the release."""
    if not head(config):
        return []
    names = git(config, "diff", "--name-only", "--no-renames", "-z", "HEAD", "--").split("\0")
    changes = []
    for name in filter(None, names):
        path, base = config.directory / name, read_blob(config, "HEAD", name)
        local = remove_generated(name, base, read_local(path))
        executable = path.is_file() and bool(path.stat().st_mode & stat.S_IXUSR)
        if local != base or (path.exists() and local is None):
            changes.append(Change(name, base, local, executable))
    return changes


def find_untracked(config: Settings) -> list[str]:
    """Return the files that mailcow's repository does not contain, without those of the role."""
    names = git(config, "ls-files", "--others", "-z").split("\0")
    return [name for name in names if name and name not in OWN and not name.startswith(OWN_DIRECTORIES)]


def merge(config: Settings, change: Change, revision: str) -> bytes | Conflict | None:
    """Return the content of a changed file in another release, or the reason for which it cannot be merged."""
    upstream = read_blob(config, revision, change.path)
    if change.local in (change.base, upstream):
        return upstream
    if upstream == change.base:
        return change.local
    if change.base is None:
        return Conflict(change.path, "the release contains this file too, with other content")
    if upstream is None:
        return Conflict(change.path, "the release does not contain this file any more")
    if change.local is None:
        return Conflict(change.path, "it was removed here, and the release changes it")
    return merge_texts(change, upstream)


def merge_texts(change: Change, upstream: bytes) -> bytes | Conflict:
    """Merge the changes here with those of a release."""
    with tempfile.TemporaryDirectory() as directory:
        paths = [Path(directory) / name for name in ("local", "base", "upstream")]
        for path, content in zip(paths, (change.local, change.base, upstream), strict=True):
            files.replace_file(str(path), content or b"", mode=0o600)
        result = execute(["git", "merge-file", "--quiet", *map(str, paths)])
        if result.failed:
            return Conflict(change.path, "the same lines were changed here and by the release")
        return paths[0].read_bytes()


def find_collisions(config: Settings, revision: str) -> list[Change]:
    """Return the untracked files that another release contains."""
    if not (config.directory / ".git").is_dir():
        return []
    tracked = set(git(config, "ls-tree", "-r", "--name-only", "-z", revision).split("\0"))
    names = sorted(set(find_untracked(config)) & tracked)
    return [Change(name, None, read_local(config.directory / name)) for name in names]


def merge_all(config: Settings, revision: str, changes: t.Sequence[Change]) -> dict[str, tuple[bytes | None, bool]]:
    """Return the content of each changed file in a release, and whether it is executable; fail with all conflicts."""
    merged = {change.path: (merge(config, change, revision), change.executable) for change in changes}
    conflicts = [content for content, _mode in merged.values() if isinstance(content, Conflict)]
    if conflicts:
        raise Problem(
            "\n".join(
                [f"{config.directory / one.path} cannot be merged: {one.reason}" for one in conflicts]
                + ["Nothing was changed. Put the content of the release into each file, or move the file away."]
            )
        )
    return {path: (t.cast("bytes | None", content), mode) for path, (content, mode) in merged.items()}


def write_tree(config: Settings, revision: str) -> str:
    """Return the tree of a release with the changes of this host; fail with all conflicts before anything changes."""
    merged = merge_all(config, revision, find_changes(config) + find_collisions(config, revision))
    with tempfile.TemporaryDirectory() as directory:
        index = f"{directory}/index"
        git(config, "read-tree", revision, index=index)
        for number, (path, (content, executable)) in enumerate(sorted(merged.items())):
            if content is None:
                git(config, "update-index", "--force-remove", "--", path, index=index)
                continue
            file = Path(directory) / str(number)
            files.replace_file(str(file), content, mode=0o600)
            name = git(config, "hash-object", "-w", "--no-filters", str(file)).strip()
            mode = "100755" if executable else "100644"
            git(config, "update-index", "--add", "--cacheinfo", f"{mode},{name},{path}", index=index)
        return git(config, "write-tree", index=index).strip()
