# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which timeline a restore follows, which sets lead there, and how far its WAL goes.

Each point-in-time restore begins a timeline. What the one before wrote behind that point, sets too, is on no way to it.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.vise.platform.plugins.module_utils.postgresql.cluster import History, parse_history

from . import repository, tool

LATEST, CURRENT = None, 0
HISTORY = re.compile(r"([0-9A-F]{8})\.history")
FOLDER = re.compile(r"([0-9A-F]{8})[0-9A-F]{8}")
SEGMENT = re.compile(r"([0-9A-F]{24})-[0-9a-f]{40}.*")

# pgBackRest with the configuration and stanza at hand
Ask = t.Callable[..., tool.Answer]


@dataclasses.dataclass(frozen=True)
class Course:
    """The way through a cluster's archives."""

    timeline: int = CURRENT  # the one to follow, or of each set its own
    ends: t.Mapping[int, str] = dataclasses.field(default_factory=dict)  # earlier timeline: LSN where it was left
    trouble: str = ""  # why that is not known

    def history(self, backup: repository.Backup) -> History:
        """Return what a set's recovery is to follow."""
        return History(self.timeline or backup.timeline, self.ends)

    def known(self, backup: repository.Backup) -> bool:
        """Tell whether it is known if a set leads to the timeline. Its own needs no history."""
        return not self.trouble or self.history(backup).timeline == backup.timeline

    def leads(self, backup: repository.Backup) -> bool:
        """Tell whether a set may lead to the timeline; where that is not known, trying tells."""
        return not self.known(backup) or self.history(backup).includes(backup.timeline, backup.lsn_stop)

    def argument(self, backup: repository.Backup) -> str:
        """Return the timeline as pgBackRest and PostgreSQL take it.

        Never `latest`: where a history file is missing, each of them means something else by that.
        """
        timeline = self.history(backup).timeline
        return "current" if timeline == backup.timeline else str(timeline)

    def detour(self, backup: repository.Backup) -> str:
        """Say why a set does not lead to the timeline, and what leads to it."""
        own = backup.timeline
        where = f"was left at {self.ends[own]}" if own in self.ends else "was not on the way"
        return (
            f"timeline {own} {where} for timeline {self.timeline}, set {backup.label} ended at {backup.lsn_stop}: "
            f"it leads to timeline={own}"
        )


def given(text: str) -> int | None:
    """Return a timeline as it is asked for; raise ValueError when it is none."""
    if text in ("", "latest"):
        return LATEST
    if text == "current":
        return CURRENT
    number = int(text, 16 if text.startswith("0x") else 10)
    if number < 1:
        raise ValueError(text)
    return number


def archives_of(repositories: t.Iterable[repository.Repository], system: int) -> list[repository.Archive]:
    """Return a cluster's archives, one or more a repository."""
    return [archive for repo in repositories for archive in repo.archives if archive.system == system]


def courses(
    ask: Ask, stanza: str, repositories: t.Sequence[repository.Repository], timeline: int | None
) -> dict[int, Course]:
    """Return for each cluster of which there are sets the way to the timeline that is asked for."""
    sets: dict[int, set[int]] = {}
    for repo in repositories:
        for backup in repo.backups:
            sets.setdefault(backup.system, set()).add(backup.timeline)
    if timeline == CURRENT:
        return dict.fromkeys(sets, Course())
    return {
        system: _course(ask, stanza, archives_of(repositories, system), timelines, timeline)
        for system, timelines in sets.items()
    }


def _course(
    ask: Ask, stanza: str, archives: t.Sequence[repository.Archive], seen: set[int], timeline: int | None
) -> Course:
    listed = [_names(ask, stanza, archive) for archive in archives]
    seen = seen.union(*(_timelines(names) for names in listed))
    # What has WAL or sets and lost its history is the newest all the same.
    seen |= {int(archive.newest_wal[:8], 16) for archive in archives if archive.newest_wal}
    wanted = max(seen) if timeline is LATEST else timeline
    if wanted == 1 or (wanted not in seen and None not in listed):
        # The first has no history, and to one of which there is nothing no set leads.
        return Course(wanted)
    return _with_history(ask, stanza, archives, wanted)


def _with_history(ask: Ask, stanza: str, archives: t.Iterable[repository.Archive], timeline: int) -> Course:
    """Read where the earlier timelines were left from the first archive that says it."""
    trouble = []
    for archive in archives:
        file = f"archive/{stanza}/{archive.name}/{timeline:08X}.history"
        answer = ask(f"--repo={archive.repository}", "repo-get", file)
        ends = {} if answer.failed else parse_history(answer.out)
        if ends:
            return Course(timeline, ends)
        why = repository.reason(answer.text) if answer.failed else f"{file} names no earlier timeline"
        trouble.append(f"repository {archive.repository}: {why}")
    return Course(timeline, trouble="; ".join(trouble) or "no archive belongs to the sets")


def newest_wal(ask: Ask, stanza: str, archives: t.Sequence[repository.Archive], history: History) -> str:
    """Return the last segment on the way, or nothing when none is known."""
    found = [_newest(ask, stanza, archive, history) for archive in archives]
    # Of an archive that cannot be listed, what `info` has said is left.
    said = [archive.newest_wal for archive, newest in zip(archives, found, strict=True) if newest is None]
    found += [name for name in said if _timelines([name[:16]]) == {history.timeline}]
    return max(filter(None, found), key=repository.segment_start, default="")


def _newest(ask: Ask, stanza: str, archive: repository.Archive, history: History) -> str | None:
    names = _names(ask, stanza, archive)
    if names is None:
        return None
    # A new timeline may have none yet; what was archived behind the point where one was left is not on the way.
    for timeline in sorted({history.timeline, *history.ends}, reverse=True):
        for folder in sorted((name for name in names if _is_folder(name, timeline)), reverse=True):
            files = _names(ask, stanza, archive, folder)
            if files is None:
                return None
            segments = [found[1] for name in files if (found := SEGMENT.fullmatch(name))]
            on_the_way = [name for name in segments if _begins_before(name, history.ends.get(timeline, ""))]
            if on_the_way:
                return max(on_the_way)
    return ""


def _names(ask: Ask, stanza: str, archive: repository.Archive, *folder: str) -> list[str] | None:
    """Return what a directory of an archive holds, or None when it cannot be read."""
    place = "/".join(["archive", stanza, archive.name, *folder])
    answer = ask(f"--repo={archive.repository}", "repo-ls", place)
    return None if answer.failed else answer.out.split()


def _timelines(names: t.Iterable[str] | None) -> set[int]:
    found = (HISTORY.fullmatch(name) or FOLDER.fullmatch(name) for name in names or ())
    return {int(match[1], 16) for match in found if match}


def _is_folder(name: str, timeline: int) -> bool:
    return bool(FOLDER.fullmatch(name)) and int(name[:8], 16) == timeline


def _begins_before(segment: str, end: str) -> bool:
    return not end or repository.segment_start(segment) < repository.lsn(end)
