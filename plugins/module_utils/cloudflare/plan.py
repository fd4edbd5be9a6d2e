# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What has to happen to a zone's records. Pure."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Iterator, Sequence

from ansible_collections.vise.platform.plugins.module_utils.cloudflare.records import Found, Record, body, short

# One value set a name: whatever else stands there would be answered beside, or in place of, what is wanted.
SINGLE = ("A", "AAAA", "CNAME", "MX", "NS", "SRV", "HTTPS")
# A CNAME has no such neighbours.
EXCLUDED_BY_CNAME = ("A", "AAAA", "CNAME", "NS")
# Of which texts there is one a name: SPF, DMARC, DKIM, MTA-STS, TLS-RPT.
VERSIONED = re.compile(r"v=\w+")


class Policy(t.NamedTuple):
    """Whose records may be touched, and how far."""

    mark: str
    purge: bool = False
    adopt: bool = False
    # Regular expressions of names that purge leaves alone.
    purge_except: Sequence[str] = ()

    def owns(self, found: Found) -> bool:
        """Return whether a record carries the mark."""
        comment = found.record.comment
        return comment == self.mark or comment.startswith(f"{self.mark} ")

    def purges(self, found: Found) -> bool:
        """Return whether a record goes when it is not wanted."""
        spared = any(re.search(pattern, found.record.name) for pattern in self.purge_except)
        return self.purge and self.owns(found) and not spared


class Change(t.NamedTuple):
    """A record that becomes another one; either may be missing."""

    before: Found | None
    after: Record | None

    @property
    def record(self) -> Record:
        """Return the record that names it."""
        return self.after or t.cast(Found, self.before).record

    def sign(self) -> str:
        """Return what happens to it, as in a diff."""
        return "+" if not self.before else "~" if self.after else "-"


class Plan(t.NamedTuple):
    """What has to happen, what stays, and which records of others are in the way."""

    changes: list[Change]
    kept: int
    in_the_way: list[tuple[Record, Record]]


def version_of(record: Record) -> str:
    """Return the kind of a text of which there is one a name."""
    match = VERSIONED.match(record.content) if record.type == "TXT" else None
    return match[0].lower() if match else ""


def is_in_the_way(other: Record, wanted: Record) -> bool:
    """Return whether a record keeps another one, of the same name, from being what is answered."""
    kinds = {other.type, wanted.type}
    if other.key == wanted.key:
        return True
    if "CNAME" in kinds and kinds <= set(EXCLUDED_BY_CNAME):
        return True
    if other.type != wanted.type:
        return False
    return other.type in SINGLE or (version_of(other) != "" and version_of(other) == version_of(wanted))


def differs(found: Record, wanted: Record) -> bool:
    """Return whether a record has to be changed."""
    return found != wanted


def plan(existing: Sequence[Found], wanted: Sequence[Record], policy: Policy) -> Plan:
    """Return what has to happen so that the wanted records are there, and are all that carries the mark."""
    by_key = {record.key: record for record in wanted}
    by_name: dict[str, list[Record]] = {}
    for record in wanted:
        by_name.setdefault(record.name, []).append(record)
    changes: list[Change] = []
    free: list[Found] = []
    blocked: list[tuple[Record, Record]] = []
    met: set[tuple[str, str, str]] = set()
    for found in existing:
        blocking = next((r for r in by_name.get(found.record.name, ()) if is_in_the_way(found.record, r)), None)
        if not policy.owns(found) and blocking and not policy.adopt:
            blocked.append((found.record, blocking))
        elif found.record.key in by_key and found.record.key not in met:
            met.add(found.record.key)
            if differs(found.record, by_key[found.record.key]):
                changes.append(Change(found, by_key[found.record.key]))
        elif blocking or policy.purges(found):
            free.append(found)
    kept = len(met) - len(changes)
    missing = [record for record in wanted if record.key not in met]
    return Plan(sorted([*changes, *paired(free, missing)], key=order), kept, blocked)


def paired(free: Sequence[Found], missing: Sequence[Record]) -> Iterator[Change]:
    """Yield the changes by which records that are no longer wanted become those that are missing."""
    left = list(free)
    for record in missing:
        same = next((f for f in left if (f.record.type, f.record.name) == (record.type, record.name)), None)
        if same:
            left.remove(same)
        yield Change(same, record)
    yield from (Change(found, None) for found in left)


def order(change: Change) -> tuple[str, ...]:
    """Return the place of a change: by name, so that what belongs together is sent together."""
    record = change.record
    return (record.name, record.type, record.content, change.sign())


def batches(changes: Sequence[Change], limit: int) -> Iterator[list[Change]]:
    """Yield the changes in as few calls as the limit allows, with all changes of a name in one."""
    batch: list[Change] = []
    for group in groups(changes):
        if batch and len(batch) + len(group) > limit:
            yield batch
            batch = []
        batch += group
        while len(batch) > limit:
            yield batch[:limit]
            batch = batch[limit:]
    if batch:
        yield batch


def groups(changes: Sequence[Change]) -> list[list[Change]]:
    """Return the changes of each name."""
    found: dict[str, list[Change]] = {}
    for change in changes:
        found.setdefault(change.record.name, []).append(change)
    return list(found.values())


def request(changes: Sequence[Change]) -> dict[str, list[dict[str, t.Any]]]:
    """Return the body of a batch call; the API deletes first, then changes, then adds."""
    parts: dict[str, list[dict[str, t.Any]]] = {
        "deletes": [{"id": c.before.id} for c in changes if c.before and not c.after],
        # What is not named stays: tags that are to go are named as none. Without any, plans that know none are content.
        "patches": [
            {"id": c.before.id, **({"tags": []} if c.before.record.tags else {}), **body(c.after)}
            for c in changes
            if c.before and c.after
        ],
        "posts": [body(c.after) for c in changes if c.after and not c.before],
    }
    return {name: part for name, part in parts.items() if part}


def counts(wanted: Plan) -> dict[str, int]:
    """Return how many records are added, changed, removed and left."""
    signs = [change.sign() for change in wanted.changes]
    return {"add": signs.count("+"), "change": signs.count("~"), "remove": signs.count("-"), "keep": wanted.kept}


def table(wanted: Plan) -> list[str]:
    """Return the plan for a reader, a line a record and the counts at the end."""
    width = max((len(change.record.name) for change in wanted.changes), default=0)
    lines = [
        f"{change.sign()} {change.record.type:<5} {change.record.name:<{width}}  {told(change)}"
        for change in wanted.changes
    ]
    number = counts(wanted)
    total = (
        f"{number['add']} to add, {number['change']} to change, {number['remove']} to remove, "
        f"{number['keep']} as wanted"
    )
    return [*lines, total]


def told(change: Change) -> str:
    """Return what a change is about."""
    before = change.before.record if change.before else None
    if before and change.after and before.content != change.after.content:
        return f"{short(before.content)} -> {short(change.after.content)}"
    text = short(change.record.content)
    if not (before and change.after):
        return f"{text}  proxied" if change.record.proxied else text
    fields = [f for f in ("ttl", "proxied", "comment", "tags") if getattr(before, f) != getattr(change.after, f)]
    return f"{text}  " + ", ".join(f"{f} {getattr(before, f)} -> {getattr(change.after, f)}" for f in fields)


def line(record: Record) -> str:
    """Return a record for a diff."""
    more = [f"ttl={record.ttl}", *(["proxied"] if record.proxied else []), *record.tags, f"; {record.comment}"]
    return f"{record.name} {record.type} {record.content} {' '.join(more)}\n"


def diff(wanted: Plan, zone: str) -> dict[str, str]:
    """Return the records that change, before and after."""
    return {
        "before_header": zone,
        "after_header": zone,
        "before": "".join(line(change.before.record) for change in wanted.changes if change.before),
        "after": "".join(line(change.after) for change in wanted.changes if change.after),
    }


def obstacles(wanted: Plan) -> str:
    """Return which records of others are in the way, and what to do about it."""
    lines = [f"- {theirs} (comment: {theirs.comment or 'none'}) for {ours}" for theirs, ours in wanted.in_the_way]
    return "\n".join(
        [
            "nothing was changed: records that are not ours are in the way",
            *lines,
            "remove them, or take them over with adopt=true",
        ]
    )
