# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Find the timeline that a restore follows, the sets that lead to it, and the end of its WAL.

Each point-in-time restore starts a new timeline. WAL and sets that the old timeline wrote after the restored point do
not lead to the new timeline.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ..host import programs
from ..postgresql.cluster import History, parse_history
from . import repository

LATEST, CURRENT = None, 0
HISTORY = re.compile(r"([0-9A-F]{8})\.history")
FOLDER = re.compile(r"([0-9A-F]{8})[0-9A-F]{8}")
SEGMENT = re.compile(r"([0-9A-F]{24})-[0-9a-f]{40}.*")

# Runs pgBackRest with the configuration and the stanza of the restore
RunPgbackrest = t.Callable[..., programs.Result]


@dataclasses.dataclass(frozen=True)
class TimelinePath:
    """The timelines that recovery of a cluster follows."""

    timeline: int = CURRENT  # the timeline to follow; CURRENT: each set's own
    ends: t.Mapping[int, str] = dataclasses.field(default_factory=dict)  # earlier timeline: LSN where it was left
    error: str = ""  # why the history is unknown; empty: it is known

    def history(self, backup: repository.Backup) -> History:
        """Return the history that recovery from a set follows."""
        return History(self.timeline or backup.timeline, self.ends)

    def is_known_for(self, backup: repository.Backup) -> bool:
        """Return whether it is known if a set leads to the timeline; a set's own timeline needs no history."""
        return not self.error or self.history(backup).timeline == backup.timeline

    def may_lead_from(self, backup: repository.Backup) -> bool:
        """Return whether a set leads to the timeline, or whether this is unknown and must be tried."""
        return not self.is_known_for(backup) or self.history(backup).includes(backup.timeline, backup.lsn_stop)

    def argument_for(self, backup: repository.Backup) -> str:
        """Return the timeline as an argument for pgBackRest and PostgreSQL.

        Never `latest`, because the two programs interpret it differently when a history file is missing.
        """
        timeline = self.history(backup).timeline
        return "current" if timeline == backup.timeline else str(timeline)

    def explain_mismatch(self, backup: repository.Backup) -> str:
        """Explain why a set does not lead to the timeline, and which timeline it leads to."""
        own = backup.timeline
        relation = f"was left at {self.ends[own]} for" if own in self.ends else "is not an ancestor of"
        return (
            f"timeline {own} {relation} timeline {self.timeline}, set {backup.label} ended at {backup.lsn_stop}: "
            f"use timeline={own} for this set"
        )


def parse_timeline(text: str) -> int | None:
    """Parse a requested timeline; raise ValueError for an invalid one."""
    if text in ("", "latest"):
        return LATEST
    if text == "current":
        return CURRENT
    number = int(text, 16 if text.startswith("0x") else 10)
    if number < 1:
        raise ValueError(text)
    return number


def select_archives(repositories: t.Iterable[repository.Repository], system: int) -> list[repository.Archive]:
    """Return the archives of a cluster by its system identifier, one or more for each repository."""
    return [archive for repo in repositories for archive in repo.archives if archive.system == system]


def find_paths(
    run_pgbackrest: RunPgbackrest, stanza: str, repositories: t.Sequence[repository.Repository], timeline: int | None
) -> dict[int, TimelinePath]:
    """Return, for each cluster that has sets, the path to the requested timeline, by system identifier."""
    sets: dict[int, set[int]] = {}
    for repo in repositories:
        for backup in repo.backups:
            sets.setdefault(backup.system, set()).add(backup.timeline)
    if timeline == CURRENT:
        return dict.fromkeys(sets, TimelinePath())
    return {
        system: _find_path(run_pgbackrest, stanza, select_archives(repositories, system), timelines, timeline)
        for system, timelines in sets.items()
    }


def _find_path(
    run_pgbackrest: RunPgbackrest,
    stanza: str,
    archives: t.Sequence[repository.Archive],
    seen: set[int],
    timeline: int | None,
) -> TimelinePath:
    listed = [_list_names(run_pgbackrest, stanza, archive) for archive in archives]
    seen = seen.union(*(_parse_timelines(names) for names in listed))
    # A timeline that has WAL or sets counts as the newest, also when its history file is lost.
    seen |= {int(archive.newest_wal[:8], 16) for archive in archives if archive.newest_wal}
    followed = max(seen) if timeline is LATEST else timeline
    if followed == 1 or (followed not in seen and None not in listed):
        # Timeline 1 has no history, and no set leads to a timeline that does not exist.
        return TimelinePath(followed)
    return _read_path(run_pgbackrest, stanza, archives, followed)


def _read_path(
    run_pgbackrest: RunPgbackrest, stanza: str, archives: t.Iterable[repository.Archive], timeline: int
) -> TimelinePath:
    """Read the history of a timeline from the first archive that has it."""
    error = []
    for archive in archives:
        file = f"archive/{stanza}/{archive.name}/{timeline:08X}.history"
        result = run_pgbackrest(f"--repo={archive.repository}", "repo-get", file)
        ends = {} if result.failed else parse_history(result.out)
        if ends:
            return TimelinePath(timeline, ends)
        reason = repository.extract_error(result.text) if result.failed else f"{file} contains no earlier timeline"
        error.append(f"repository {archive.repository}: {reason}")
    return TimelinePath(timeline, error="; ".join(error) or "no archive belongs to the sets")


def find_newest_wal(
    run_pgbackrest: RunPgbackrest, stanza: str, archives: t.Sequence[repository.Archive], history: History
) -> str:
    """Return the newest WAL segment of a history, or an empty string when none is known."""
    found = [_find_newest_in(run_pgbackrest, stanza, archive, history) for archive in archives]
    # If an archive cannot be listed, use its newest segment from `info`.
    reported = [archive.newest_wal for archive, newest in zip(archives, found, strict=True) if newest is None]
    found += [name for name in reported if _parse_timelines([name[:16]]) == {history.timeline}]
    return max(filter(None, found), key=repository.segment_start, default="")


def _find_newest_in(
    run_pgbackrest: RunPgbackrest, stanza: str, archive: repository.Archive, history: History
) -> str | None:
    names = _list_names(run_pgbackrest, stanza, archive)
    if names is None:
        return None
    # A new timeline may have no segment yet; segments of an old timeline after the LSN where it was left do not count.
    for timeline in sorted({history.timeline, *history.ends}, reverse=True):
        for folder in sorted((name for name in names if _is_folder(name, timeline)), reverse=True):
            files = _list_names(run_pgbackrest, stanza, archive, folder)
            if files is None:
                return None
            segments = [found[1] for name in files if (found := SEGMENT.fullmatch(name))]
            on_the_way = [name for name in segments if _begins_before(name, history.ends.get(timeline, ""))]
            if on_the_way:
                return max(on_the_way)
    return ""


def _list_names(
    run_pgbackrest: RunPgbackrest, stanza: str, archive: repository.Archive, *folder: str
) -> list[str] | None:
    """Return the names in a directory of an archive, or None when it cannot be read."""
    place = "/".join(["archive", stanza, archive.name, *folder])
    result = run_pgbackrest(f"--repo={archive.repository}", "repo-ls", place)
    return None if result.failed else result.out.split()


def _parse_timelines(names: t.Iterable[str] | None) -> set[int]:
    found = (HISTORY.fullmatch(name) or FOLDER.fullmatch(name) for name in names or ())
    return {int(match[1], 16) for match in found if match}


def _is_folder(name: str, timeline: int) -> bool:
    return bool(FOLDER.fullmatch(name)) and int(name[:8], 16) == timeline


def _begins_before(segment: str, end: str) -> bool:
    return not end or repository.segment_start(segment) < repository.parse_lsn(end)
