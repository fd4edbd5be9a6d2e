# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rate limits of domains and mailboxes. Each object has a limit; zero messages means that it is removed."""

from __future__ import annotations

import typing as t

from ansible_collections.vise.platform.plugins.module_utils.mailcow import sync
from ansible_collections.vise.platform.plugins.module_utils.mailcow.client import Row

FRAMES = ["second", "minute", "hour", "day"]
LIMIT = {"name": sync.NAME, "messages": sync.NUMBER, "per": {"type": "str", "choices": FRAMES, "default": "hour"}}


def is_mailbox(entry: Row) -> bool:
    """Return whether a limit belongs to a mailbox."""
    return "@" in entry["name"]


def is_domain(entry: Row) -> bool:
    """Return whether a limit belongs to a domain."""
    return not is_mailbox(entry)


def normalize(entry: Row) -> Row:
    """Return an entry with its name as mailcow stores it."""
    return {**entry, "name": sync.normalize_address(entry["name"])}


def update(changes: Row, current: sync.Current) -> Row:
    """Return the API's attributes: always both the number and the period."""
    both = {**current.values, **changes}
    return {"rl_value": both["messages"], "rl_frame": both["per"][:1] or "h"}


def current_limit(name: str, messages: int = 0, per: str = "") -> sync.Current:
    """Return the limit of an object; by default it has none."""
    return sync.Current(name, {"name": name, "messages": messages, "per": per})


def read(path: str, key: str) -> t.Callable[[sync.Rows], dict[str, sync.Current]]:
    """Return the function that reads mailcow's limits, of domains or of mailboxes."""
    frames = {frame[:1]: frame for frame in FRAMES}

    def read_rows(rows: sync.Rows) -> dict[str, sync.Current]:
        return {
            row[key]: current_limit(row[key], sync.to_number(row.get("value")), frames[row["frame"]])
            for row in rows[path]
        }

    return read_rows


def find_problems(wanted: t.Sequence[Row], _current: t.Mapping[str, sync.Current]) -> list[str]:
    """Return the limits that allow no message."""
    present = [entry for entry in wanted if entry["state"] == "present"]
    return [f"limit {e['name']}: messages must be 1 or more" for e in present if (e["messages"] or 0) < 1]


DOMAINS = sync.Kind(
    "rl-domain",
    "name",
    lambda options: options,
    update,
    option="limits",
    selects=is_domain,
    normalize=normalize,
    read=read("rl-domain", "domain"),
    default=current_limit,
    problems=find_problems,
    needs=lambda entry: [("domain", entry["name"])],
)
MAILBOXES = DOMAINS._replace(
    path="rl-mbox",
    selects=is_mailbox,
    read=read("rl-mbox", "mailbox"),
    needs=lambda entry: [("mailbox", entry["name"])],
)
