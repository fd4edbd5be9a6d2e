# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files of the checkout that others have changed, and their merge with another release.

mailcow's web interface writes tracked files (maps of rspamd, global sieve filters), and administrators edit others,
such as sogo.conf.
"""

from __future__ import annotations

import re
import tempfile
import typing as t
from pathlib import Path, PurePath

from ..host import files
from .commands import execute
from .repository import LINK, File, git, head, list_names, read_blob, read_local
from .settings import Problem, Settings

# Files of the role and of this program, and the cache of the web interface.
OWN = ("mailcow.conf", "docker-compose.override.yml", "data/web/inc/app_info.inc.php")
OWN_DIRECTORIES = ("data/assets/ssl/", "data/web/templates/cache/", "update_diffs/")
# Containers write these parts of tracked files at every start: all lines after a mark, and single lines.
GENERATED_AFTER = {"data/conf/postfix/main.cf": re.compile(rb"Overrides")}
GENERATED_LINES = {"data/conf/dovecot/conf.d/fts.conf": re.compile(rb"\s*(vsz_limit|process_limit)\s*=")}


class Change(t.NamedTuple):
    """A file that differs from the release: as the release has it, and as it is now; None for no file."""

    path: str
    base: File | None
    local: File | None


class Conflict(t.NamedTuple):
    """A file with changes that cannot be merged, and the reason."""

    path: str
    reason: str


def remove_generated(path: str, base: File | None, local: File | None) -> File | None:
    """Return the current file without the parts that a container writes."""
    if base is None or local is None:
        return local
    if path in GENERATED_AFTER:
        of_release = base.content.removeprefix(cut_after(base.content, GENERATED_AFTER[path]))
        return local._replace(content=cut_after(local.content, GENERATED_AFTER[path]) + of_release)
    if path in GENERATED_LINES:
        pattern = GENERATED_LINES[path]
        of_base = iter([line for line in base.content.splitlines(keepends=True) if pattern.match(line)])
        lines = local.content.splitlines(keepends=True)
        return local._replace(content=b"".join(next(of_base, line) if pattern.match(line) else line for line in lines))
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
    names = list_names(config, "diff", "--name-only", "--no-renames", "--ignore-submodules=none", "-z", "HEAD", "--")
    changes = []
    for name in sorted({*names, *find_flagged(config)}):
        path, base = config.directory / name, read_blob(config, "HEAD", name)
        local = remove_generated(name, base, read_local(path))
        if local != base or path.is_dir():
            changes.append(Change(name, base, local))
    return changes


def find_flagged(config: Settings) -> list[str]:
    """Return the files whose changes git does not report, because an administrator has set a flag in its index."""
    marked = [entry.partition(" ") for entry in list_names(config, "ls-files", "-v", "-z")]
    return [name for flag, _space, name in marked if flag.islower() or flag == "S"]


def find_untracked(config: Settings) -> list[str]:
    """Return the files that mailcow's repository does not contain, without those of the role."""
    tracked = list_tree(config, "HEAD") if head(config) else set()
    found = [file for name in list_names(config, "ls-files", "--others", "-z") for file in expand(config, name)]
    return [name for name in found if name not in tracked and name not in OWN and not name.startswith(OWN_DIRECTORIES)]


def expand(config: Settings, name: str) -> list[str]:
    """Return the files of a repository inside of the checkout; git returns only its directory."""
    if not name.endswith("/"):
        return [name]
    inside = sorted((config.directory / name).rglob("*"))
    return [str(path.relative_to(config.directory)) for path in inside if path.is_symlink() or path.is_file()]


def list_tree(config: Settings, revision: str) -> set[str]:
    """Return the names of all files of a revision."""
    return set(list_names(config, "ls-tree", "-r", "--name-only", "-z", revision))


def merge(config: Settings, change: Change, revision: str) -> File | Conflict | None:
    """Return a changed file in another release, or the reason for which it cannot be merged."""
    upstream = read_blob(config, revision, change.path)
    if change.local is None and (config.directory / change.path).is_dir():
        return Conflict(change.path, "it is a directory here and a file of the release")
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
    if LINK in (change.base.mode, change.local.mode, upstream.mode):
        return Conflict(change.path, "it is a link here or in a release, and both differ")
    return merge_files(change.path, change.base, change.local, upstream)


def merge_files(path: str, base: File, local: File, upstream: File) -> File | Conflict:
    """Merge the changes here with those of a release, of the content and of the mode."""
    mode = upstream.mode if local.mode == base.mode else local.mode
    if base.content in (local.content, upstream.content):
        return File(mode, upstream.content if local.content == base.content else local.content)
    with tempfile.TemporaryDirectory() as directory:
        paths = [Path(directory) / name for name in ("local", "base", "upstream")]
        for target, file in zip(paths, (local, base, upstream), strict=True):
            files.replace_file(str(target), file.content, mode=0o600)
        result = execute(["git", "merge-file", "--quiet", *map(str, paths)])
        if result.failed:
            return Conflict(path, "the same lines were changed here and by the release")
        return File(mode, paths[0].read_bytes())


def find_collisions(config: Settings, revision: str) -> list[Change]:
    """Return the untracked files that another release contains."""
    if not (config.directory / ".git").exists():
        return []
    names = sorted(set(find_untracked(config)) & list_tree(config, revision))
    return [Change(name, None, read_local(config.directory / name)) for name in names]


def find_obstacles(config: Settings, revision: str) -> list[Conflict]:
    """Return the untracked files in whose place another release has a directory, and those below a file of it."""
    if not (config.directory / ".git").exists():
        return []
    of_release = list_tree(config, revision)
    directories = {str(parent) for name in of_release for parent in PurePath(name).parents}
    return [
        Conflict(name, "a file of the release would replace its directory, or a directory of the release this file")
        for name in sorted(find_untracked(config))
        if name in directories or any(str(parent) in of_release for parent in PurePath(name).parents)
    ]


def merge_all(
    config: Settings, revision: str, changes: t.Sequence[Change], obstacles: t.Sequence[Conflict] = ()
) -> dict[str, File | None]:
    """Return each changed file in a release; fail with all conflicts, also those that were found before."""
    merged = {change.path: merge(config, change, revision) for change in changes}
    conflicts = [*obstacles, *(file for file in merged.values() if isinstance(file, Conflict))]
    if conflicts:
        raise Problem(
            "\n".join(
                [f"{config.directory / one.path} cannot be merged: {one.reason}" for one in conflicts]
                + ["Nothing was changed. Put the content of the release into each file, or move the file away."]
            )
        )
    return {path: file for path, file in merged.items() if not isinstance(file, Conflict)}


def write_tree(config: Settings, revision: str) -> str:
    """Return the tree of a release with the changes of this host; fail with all conflicts before anything changes."""
    differing = find_changes(config) + find_collisions(config, revision)
    merged = merge_all(config, revision, differing, find_obstacles(config, revision))
    with tempfile.TemporaryDirectory() as directory:
        index = f"{directory}/index"
        git(config, "read-tree", revision, index=index)
        for number, (path, content) in enumerate(sorted(merged.items())):
            if content is None:
                git(config, "update-index", "--force-remove", "--", path, index=index)
                continue
            file = Path(directory) / str(number)
            files.replace_file(str(file), content.content, mode=0o600)
            name = git(config, "hash-object", "-w", "--no-filters", str(file)).strip()
            git(config, "update-index", "--add", "--cacheinfo", f"{content.mode},{name},{path}", index=index)
        return git(config, "write-tree", index=index).strip()
