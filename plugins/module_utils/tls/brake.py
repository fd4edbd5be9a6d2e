# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Limit how often a certificate is issued again: runs whose result is lost must not use up the limits of the authority.

Let's Encrypt issues five certificates for the same domains in seven days. A renewal at its time does not count here,
however short the lifetime is.
"""

from __future__ import annotations

import datetime
import hashlib
import os
import typing as t

from ..host import files

FILE = ".issued.json"
WINDOW = datetime.timedelta(days=7)
MOST = 3
# The pause after a certificate that has no effect; the second one is followed by two.
FIRST_PAUSE = datetime.timedelta(days=1)


class Issued(t.NamedTuple):
    """A certificate that the authority has issued.

    Attributes:
        key: names the domains and the authority.
        time: when it was issued, in seconds.
        due: when it must be renewed, in seconds; 0 if the host never had it.
    """

    key: str
    time: float
    due: float


def make_key(domains: t.Iterable[str], directory: str) -> str:
    """Return a text for a set of domains and an authority."""
    return hashlib.sha256("\n".join([directory, *sorted(domains)]).encode()).hexdigest()


def path(root: str) -> str:
    """Return the path of the list."""
    return os.path.join(root, FILE)


def read(root: str) -> list[Issued]:
    """Return what was issued, oldest first; a damaged list counts as none."""
    try:
        return [Issued(str(key), float(time), float(due)) for key, time, due in files.read_json(path(root), [])]
    except (TypeError, ValueError):
        return []


def add(root: str, issued: Issued) -> None:
    """Record a certificate, and forget those that do not count any more."""
    begin = issued.time - WINDOW.total_seconds()
    kept = [entry for entry in read(root) if begin <= entry.time <= issued.time]
    files.write_json(path(root), [*kept, issued])


def explain_pause(root: str, key: str, now: datetime.datetime) -> str:
    """Return why a certificate is not issued now although it is wanted; empty when it can be."""
    moment = now.timestamp()
    counted = [
        entry
        for entry in read(root)
        if entry.key == key
        and 0 <= moment - entry.time <= WINDOW.total_seconds()
        and (not entry.due or entry.due > moment)
    ]
    until = _find_end(counted)
    if until is None or until <= now:
        return ""
    return (
        f"{len(counted)} issued since {_format(counted[0].time)} did not stay in use, and authorities limit this "
        f"(Let's Encrypt: 5 in 7 days); the next attempt is after {_format(until.timestamp())}. Compare with "
        f"`certbot certificates`; to try earlier, remove {path(root)}"
    )


def _find_end(counted: t.Sequence[Issued]) -> datetime.datetime | None:
    if len(counted) >= MOST:
        return _to_time(counted[-MOST].time) + WINDOW
    futile = sum(not entry.due for entry in counted)
    if futile and not counted[-1].due:
        return _to_time(counted[-1].time) + FIRST_PAUSE * futile
    return None


def _to_time(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def _format(seconds: float) -> str:
    return f"{_to_time(seconds):%Y-%m-%d %H:%M} UTC"
