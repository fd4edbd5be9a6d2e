# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What restic gets for the paths of a set. Of a path that is a symbolic link, restic itself saves only the link."""

from __future__ import annotations

import dataclasses
import os
import stat
import typing as t


@dataclasses.dataclass(frozen=True)
class Selection:
    """The paths and excludes for restic, and the reasons why a configured path is not saved."""

    paths: tuple[str, ...]
    excludes: tuple[str, ...]
    problems: tuple[str, ...]


def select(paths: t.Iterable[str], excludes: t.Iterable[str]) -> Selection:
    """Return the paths to save: links with all that they point to, so that a restore has both."""
    links: dict[str, str] = {}
    chains: list[list[str]] = []
    problems: list[str] = []
    for path in paths:
        chain = follow_links(path)
        problem = find_problem(path, chain)
        problems += [problem] if problem else []
        chains.append([step for step in chain if _can_be_saved(step)])
        links.update(dict.fromkeys(chain[:-1], chain[-1]))
    # A link and a directory of the same name cannot be in one snapshot.
    saved = [_leave_links(step, links) for chain in chains for step in chain]
    translated = [pattern for given in excludes for pattern in _translate_exclude(given, links)]
    return Selection(tuple(dict.fromkeys(saved)), tuple(dict.fromkeys(translated)), tuple(problems))


def follow_links(path: str) -> list[str]:
    """Return a path, and each place that it leads to in turn when it is a symbolic link; a loop ends the list."""
    found = [path]
    while os.path.islink(found[-1]):
        target = os.path.join(os.path.dirname(found[-1]), os.readlink(found[-1])).rstrip("/") or "/"
        folder, name = os.path.split(target)
        step = os.path.realpath(target) if name in (".", "..", "") else os.path.join(os.path.realpath(folder), name)
        if step in found:
            break
        found.append(step)
    return found


def find_problem(path: str, chain: t.Sequence[str]) -> str:
    """Return why the data of a path cannot be saved, or an empty string."""
    end = chain[-1]
    if not os.path.lexists(path):
        return f"{path} does not exist"
    if os.path.islink(end):
        return f"{path} is a symbolic link that leads to itself"
    if not os.path.lexists(end):
        return f"{path} is a symbolic link to {end}, which does not exist"
    if stat.S_ISSOCK(os.lstat(end).st_mode):
        return f"{path} is a socket, which has no data: remove it from the set"
    return ""


def _can_be_saved(path: str) -> bool:
    return os.path.lexists(path) and not stat.S_ISSOCK(os.lstat(path).st_mode)


def _leave_links(path: str, links: t.Mapping[str, str]) -> str:
    if any(path.startswith(f"{link}/") for link in links):
        return os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    return path


def _translate_exclude(pattern: str, links: t.Mapping[str, str]) -> list[str]:
    """Return a pattern, and the same one for the place that a link leads to."""
    mark, path = ("!", pattern[1:]) if pattern.startswith("!") else ("", pattern)
    covering = [(link, end) for link, end in links.items() if f"{path}/".startswith(f"{link}/")]
    return [pattern, *(f"{mark}{end}{path[len(link) :]}" for link, end in covering)]
