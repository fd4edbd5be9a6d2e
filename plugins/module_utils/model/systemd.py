# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Values in the formats of systemd, as systemd reads them. Pure."""

from __future__ import annotations

import re

UNITS = {"E": 6, "P": 5, "T": 4, "G": 3, "M": 2, "K": 1, "B": 0, "": 0}
PART = re.compile(r"\s*(?P<number>\d+(?:\.\d*)?)\s*(?P<unit>[EPTGMKB]?)", re.ASCII)
SPAN = re.compile(
    r"\s*(?:\d+(?:\.\d*)?\s*(?:us|usec|ms|msec|s|sec|seconds?|m|min|minutes?|hr?|hours?|d|days?|w|weeks?|M|months?|y|years?)?\s*)+",
    re.ASCII,
)
TIME = re.compile(r"([01]?\d|2[0-3]):[0-5]\d", re.ASCII)


def parse_size(text: str) -> int:
    """Return a size in bytes: of `500M`, `1.5G`, `1G 512M`, or a number of bytes; the units descend.

    Raises:
        ValueError: systemd would ignore the text.
    """
    total, rest, last = 0.0, text, len(UNITS)
    while rest.strip():
        found = PART.match(rest)
        rank = UNITS[found["unit"]] if found else last
        if not found or rank >= last:
            break
        total += float(found["number"]) * 1024**rank
        rest, last = rest[found.end() :], rank
    if rest.strip() or not text.strip():
        raise ValueError(f"{text!r} is not a size; write a number and one of the units K, M, G and T, such as 500M")
    return int(total)


def is_time_span(text: str) -> bool:
    """Return whether systemd reads a text as a time span, such as `30day` or `1month 2w`."""
    return bool(SPAN.fullmatch(text))


def is_time_of_day(text: str) -> bool:
    """Return whether a text is a time of day such as `02:00`."""
    return bool(TIME.fullmatch(text))
