# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plan the changes of a zone's DNS records. Pure."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Iterator, Sequence

from ansible_collections.vise.platform.plugins.module_utils.cloudflare.records import Found, Record, body, short

# Types with one set of records per name: servers would also return a foreign record of the same name and type.
SINGLE = ("A", "AAAA", "CNAME", "MX", "NS", "SRV", "HTTPS")
# Types that a name with a CNAME cannot have.
EXCLUDED_BY_CNAME = ("A", "AAAA", "CNAME", "NS")
# Types that a name with NS records can have: below the zone's own name, NS delegates the name, and DS signs that.
DELEGATION = ("NS", "DS")
# A name has only one TXT record of each of these versions: SPF, DMARC, DKIM, MTA-STS, TLS-RPT.
VERSIONED = re.compile(r"v=\w+")


class Policy(t.NamedTuple):
    """The records that the platform may change, and how."""

    mark: str
    purge: bool = False
    adopt: bool = False
    # Regular expressions; purge does not remove records whose name matches.
    purge_except: Sequence[str] = ()

    def owns(self, found: Found) -> bool:
        """Return whether a record has the mark."""
        comment = found.record.comment
        return comment == self.mark or comment.startswith(f"{self.mark} ")

    def purges(self, found: Found) -> bool:
        """Return whether a record is removed when it is not wanted."""
        excepted = any(re.search(pattern, found.record.name) for pattern in self.purge_except)
        return self.purge and self.owns(found) and not excepted


class Change(t.NamedTuple):
    """A record before and after the change. A new record has no `before`, a removed one no `after`."""

    before: Found | None
    after: Record | None

    @property
    def record(self) -> Record:
        """Return the record that identifies the change."""
        return self.after or t.cast(Found, self.before).record

    def sign(self) -> str:
        """Return the kind of change as the sign of a diff: + added, ~ changed, - removed."""
        return "+" if not self.before else "~" if self.after else "-"


class Plan(t.NamedTuple):
    """The changes, the number of unchanged records, and the conflicts: a record of another owner and a wanted one.

    `locked` are the conflicts with records that another product of Cloudflare manages. `final` are all records of the
    zone after the changes.
    """

    changes: list[Change]
    unchanged: int
    conflicts: list[tuple[Record, Record]]
    locked: Sequence[tuple[Found, Record]] = ()
    final: Sequence[Record] = ()


def version_of(record: Record) -> str:
    """Return the version of a TXT record; empty if a name can have several such records."""
    match = VERSIONED.match(record.content) if record.type == "TXT" else None
    return match[0].lower() if match else ""


def conflicts_with(other: Record, wanted: Record, zone: str = "") -> bool:
    """Return whether a name cannot have both records, or the other one would change the DNS answer for the wanted."""
    kinds = {other.type, wanted.type}
    if other.key == wanted.key:
        return True
    if "CNAME" in kinds and kinds <= set(EXCLUDED_BY_CNAME):
        return True
    if "NS" in kinds and not kinds <= set(DELEGATION) and wanted.name != zone:
        return True
    if other.type != wanted.type:
        return False
    return other.type in SINGLE or (version_of(other) != "" and version_of(other) == version_of(wanted))


def plan_records(existing: Sequence[Found], wanted: Sequence[Record], policy: Policy, zone: str = "") -> Plan:
    """Return the changes to the wanted records; with purge, they also remove all other records with the mark."""
    by_key = {record.key: record for record in wanted}
    by_name: dict[str, list[Record]] = {}
    for record in wanted:
        by_name.setdefault(record.name, []).append(record)
    changes: list[Change] = []
    obsolete: list[Found] = []
    conflicts: list[tuple[Record, Record]] = []
    locked: list[tuple[Found, Record]] = []
    matched: set[tuple[str, str, str]] = set()
    for found in existing:
        affected = find_affected(found.record, by_name.get(found.record.name, ()), zone)
        if found.manager:
            if affected and (found.record.key, found.record.proxied) == (affected.key, affected.proxied):
                matched.add(affected.key)
            elif affected:
                locked.append((found, affected))
        elif not policy.owns(found) and affected and not policy.adopt:
            conflicts.append((found.record, affected))
        elif found.record.key in by_key and found.record.key not in matched:
            matched.add(found.record.key)
            if found.record != by_key[found.record.key]:
                changes.append(Change(found, by_key[found.record.key]))
        elif affected or policy.purges(found):
            obsolete.append(found)
    unchanged = len(matched) - len(changes)
    missing = [record for record in wanted if record.key not in matched]
    every = sorted([*changes, *pair_changes(obsolete, missing)], key=sort_key)
    return Plan(every, unchanged, conflicts, locked, final_records(existing, every))


def find_affected(other: Record, wanted: Sequence[Record], zone: str) -> Record | None:
    """Return the wanted record of the same name that another record conflicts with; an equal one is preferred."""
    conflicting = [record for record in wanted if conflicts_with(other, record, zone)]
    return next((record for record in conflicting if record.key == other.key), conflicting[0] if conflicting else None)


def final_records(existing: Sequence[Found], changes: Sequence[Change]) -> list[Record]:
    """Return the records of the zone after changes."""
    changed = {change.before.id for change in changes if change.before}
    kept = [found.record for found in existing if found.id not in changed]
    return [*kept, *(change.after for change in changes if change.after)]


def pair_changes(obsolete: Sequence[Found], missing: Sequence[Record]) -> Iterator[Change]:
    """Yield all changes; an obsolete record is changed into a missing one of the same name and type if there is one."""
    left = list(obsolete)
    for record in missing:
        same = next((f for f in left if (f.record.type, f.record.name) == (record.type, record.name)), None)
        if same:
            left.remove(same)
        yield Change(same, record)
    yield from (Change(found, None) for found in left)


def sort_key(change: Change) -> tuple[str, ...]:
    """Return the sort key of a change. The name is first, because all changes of a name are sent in one call."""
    record = change.record
    return (record.name, record.type, record.content, change.sign())


def batches(groups: Sequence[Sequence[Change]], limit: int) -> Iterator[list[Change]]:
    """Yield groups of changes in as few calls as the limit allows, with all changes of a group in one."""
    batch: list[Change] = []
    for group in groups:
        if batch and len(batch) + len(group) > limit:
            yield batch
            batch = []
        batch += group
        while len(batch) > limit:
            yield batch[:limit]
            batch = batch[limit:]
    if batch:
        yield batch


def group_by_name(changes: Sequence[Change]) -> list[list[Change]]:
    """Return the changes of each name."""
    groups: dict[str, list[Change]] = {}
    for change in changes:
        groups.setdefault(change.record.name, []).append(change)
    return list(groups.values())


def request_body(changes: Sequence[Change]) -> dict[str, list[dict[str, t.Any]]]:
    """Return the body of a batch call; the API deletes first, then changes, then adds."""
    parts: dict[str, list[dict[str, t.Any]]] = {
        "deletes": [{"id": c.before.id} for c in changes if c.before and not c.after],
        # A patch keeps fields that it does not contain, so only an empty list removes tags. The list is sent only if
        # the record has tags, because free plans do not accept this field.
        "patches": [
            {"id": c.before.id, **({"tags": []} if c.before.record.tags else {}), **body(c.after)}
            for c in changes
            if c.before and c.after
        ],
        "posts": [body(c.after) for c in changes if c.after and not c.before],
    }
    return {name: part for name, part in parts.items() if part}


def count_changes(plan: Plan) -> dict[str, int]:
    """Return how many records are added, changed, removed and unchanged."""
    signs = [change.sign() for change in plan.changes]
    return {"add": signs.count("+"), "change": signs.count("~"), "remove": signs.count("-"), "keep": plan.unchanged}


def describe_plan(plan: Plan) -> list[str]:
    """Return the plan for an operator, one line per record that changes."""
    width = max((len(change.record.name) for change in plan.changes), default=0)
    return [
        f"{change.sign()} {change.record.type:<5} {change.record.name:<{width}}  {describe_change(change)}"
        for change in plan.changes
    ]


def describe_change(change: Change) -> str:
    """Return the old and new values of a change."""
    before = change.before.record if change.before else None
    if before and change.after and before.content != change.after.content:
        return f"{short(before.content)} -> {short(change.after.content)}"
    text = short(change.record.content)
    if not (before and change.after):
        return f"{text}  proxied" if change.record.proxied else text
    fields = [f for f in ("ttl", "proxied", "comment", "tags") if getattr(before, f) != getattr(change.after, f)]
    return f"{text}  " + ", ".join(f"{f} {getattr(before, f)} -> {getattr(change.after, f)}" for f in fields)


def diff_line(record: Record) -> str:
    """Return a record for a diff."""
    more = [f"ttl={record.ttl}", *(["proxied"] if record.proxied else []), *record.tags, f"; {record.comment}"]
    return f"{record.name} {record.type} {record.content} {' '.join(more)}\n"


def diff(plan: Plan, zone: str) -> dict[str, str]:
    """Return the records that change, before and after."""
    return {
        "before_header": zone,
        "after_header": zone,
        "before": "".join(diff_line(change.before.record) for change in plan.changes if change.before),
        "after": "".join(diff_line(change.after) for change in plan.changes if change.after),
    }


def describe_conflicts(plan: Plan) -> str:
    """Return the conflicts of other owners' records with wanted ones, and the remedies."""
    lines = ["nothing was changed: records of other owners conflict with wanted records"]
    if plan.conflicts:
        lines += [f"- {them} (comment: {them.comment or 'none'}) conflicts with {us}" for them, us in plan.conflicts]
        remedy = "remove them at Cloudflare, or take them over with adopt=true (publish_dns.yml: -e dns_adopt=true)"
        lines.append(remedy)
    if plan.locked:
        lines += [f"- {them.record} (managed by {them.manager}) conflicts with {us}" for them, us in plan.locked]
        lines.append("only the named product can change its records: disable it for the name, or keep its records")
    return "\n".join(lines)
