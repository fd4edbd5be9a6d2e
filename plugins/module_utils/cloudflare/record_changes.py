# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read the records of a zone and apply their plan, despite network faults and changes by others at the same time.

What Cloudflare is known to refuse is an error before anything is sent. If it refuses a record for another reason, all
records that do not depend on it are published, and the error names it.
"""

from __future__ import annotations

import itertools
import re
import typing as t
from collections.abc import Iterator, Sequence

from ansible_collections.vise.platform.plugins.module_utils.cloudflare import plans, record_parts, record_plan
from ansible_collections.vise.platform.plugins.module_utils.cloudflare.client import (
    DNS_EDIT,
    DNS_READ,
    PAGE,
    ApiError,
    Backoff,
    Refusal,
    Session,
    Transient,
    Zone,
)
from ansible_collections.vise.platform.plugins.module_utils.cloudflare.records import Record, from_api, length_problems

# The records that a zone may have, by its plan; a free zone that was created earlier than this may have more.
QUOTAS = {"free": 200}
LARGER_QUOTA = 3500
LARGER_FREE_QUOTA, LARGER_BEFORE = 1000, "2024-09-01"
# Some errors contain a pointer into the request: /posts/3/content.
POINTER = re.compile(r"/?(deletes|patches|posts)[/\[](\d+)")


class Wanted(t.NamedTuple):
    """All records that a zone must have, and the policy for its other records."""

    records: Sequence[Record]
    policy: record_plan.Policy


class Refused(t.NamedTuple):
    """Changes that Cloudflare refused, one of which is the cause, and changes that depend on them."""

    refusal: Refusal
    suspects: Sequence[record_plan.Change]
    held: Sequence[record_plan.Change]


def read_plan(session: Session, zone: Zone, wanted: Wanted, page: int = PAGE) -> record_plan.Plan:
    """Read the zone and return the changes; a conflict with other owners' records is an error."""
    if zone.type == "secondary":
        raise ApiError(f"zone {zone.name} is secondary: change its records on its primary server")
    existing = [from_api(row) for row in session.records(zone, page)]
    plan = record_plan.plan_records(existing, wanted.records, wanted.policy, zone.name)
    if plan.conflicts or plan.locked:
        raise ApiError(record_plan.describe_conflicts(plan))
    changed = {change.record.name for change in plan.changes}
    texts = length_problems([record for record in plan.final if record.name in changed])
    if texts:
        raise ApiError(
            "\n".join(["nothing was changed: texts are too long together with those of other owners", *texts])
        )
    if len(plan.final) > max(len(existing), documented_quota(zone)):
        check_quota(session, zone, len(plan.final))
    return plan


def documented_quota(zone: Zone) -> int:
    """Return how many records a zone may have at least."""
    plan = zone.plan.removeprefix(plans.PARTNERS)
    if plan == "free" and zone.created[:10] < LARGER_BEFORE:
        return LARGER_FREE_QUOTA
    return QUOTAS.get(plan, LARGER_QUOTA)


def check_quota(session: Session, zone: Zone, number: int) -> None:
    """Raise an error if a zone cannot have so many records; Cloudflare can have permitted more than it documents."""
    try:
        usage = session.call_with_retry(DNS_READ, session.api.dns.usage.with_raw_response.zone.get, zone_id=zone.id)
    except Refusal:
        return
    quota = usage["result"].get("record_quota")
    if quota and number > quota:
        raise ApiError(
            f"nothing was changed: the zone would have {number} records, and its quota is {quota}; remove records that "
            "are not needed, or choose a larger plan for the zone"
        )


def apply(session: Session, zone: Zone, wanted: Wanted, plan: record_plan.Plan) -> None:
    """Apply a plan.

    After a call without an answer, the zone is read again, and only the remaining changes are sent. So no change is
    made twice.
    """
    backoff = Backoff(session.sleep)
    while plan.changes:
        batch: list[record_plan.Change] = []
        try:
            for batch in record_parts.make_batches(plan.changes, zone.batch):
                send(session, zone, batch)
            return
        except Transient as problem:
            backoff.wait(problem)
            plan = read_plan(session, zone, wanted)
        except Refusal as refusal:
            plan = read_plan(session, zone, wanted)
            # If a refused change is no longer planned, a parallel run has made it.
            if all(change in plan.changes for change in batch):
                publish_independent(session, zone, wanted, plan.changes, backoff)
                plan = read_plan(session, zone, wanted)
            backoff.wait(Transient(str(refusal), 0))


def publish_independent(
    session: Session, zone: Zone, wanted: Wanted, changes: Sequence[record_plan.Change], backoff: Backoff
) -> None:
    """Make the changes that do not depend on a refused one, and raise an error that names the refused ones."""
    relations = record_parts.find_relations(changes)
    position = {change: number for number, change in enumerate(changes)}
    parts = [[position[change] for change in batch] for batch in record_parts.make_batches(changes, zone.batch)]
    refused: list[Refused] = []
    held: set[int] = set()
    while parts:
        part = [number for number in parts.pop(0) if number not in held]
        if not part:
            continue
        batch = [changes[number] for number in part]
        try:
            send(session, zone, batch)
        except Transient as problem:
            backoff.wait(problem)
            planned = set(read_plan(session, zone, wanted).changes)
            parts.insert(0, [number for number in part if changes[number] in planned])
        except Refusal as refusal:
            suspects = find_suspects(refusal, batch)
            independent = record_parts.find_groups(part, relations[:3])
            if len(suspects) > 1 and len(independent) > 1:
                half = len(independent) // 2
                parts[:0] = [[*itertools.chain(*independent[:half])], [*itertools.chain(*independent[half:])]]
                continue
            depending = record_parts.depending_on([position[change] for change in suspects], relations) - held
            held |= depending
            others = [changes[number] for number in sorted(depending) if changes[number] not in suspects]
            refused.append(Refused(refusal, suspects, others))
            parts.insert(0, part)
    planned = set(read_plan(session, zone, wanted).changes)
    remaining = [one for one in refused if any(change in planned for change in one.suspects)]
    if remaining:
        raise ApiError("\n".join(line for one in remaining for line in describe_refused(one)))


def send(session: Session, zone: Zone, batch: Sequence[record_plan.Change]) -> None:
    """Send changes in one call; the API applies all of them or none."""
    call = session.api.dns.records.with_raw_response.batch
    session.call_once(DNS_EDIT, call, zone_id=zone.id, **t.cast(t.Any, record_plan.request_body(batch)))


def describe_refused(one: Refused) -> Iterator[str]:
    """Yield the lines of a refusal: the records that may have caused it, and those that depend on them."""
    cause = "This record was not changed" if len(one.suspects) == 1 else "One of these records is the cause"
    yield f"{one.refusal}. {cause}:"
    yield from (f"- {change.record}" for change in one.suspects)
    if one.held:
        yield "These records depend on it and were not changed either:"
        yield from (f"- {change.record}" for change in one.held)


def find_suspects(refusal: Refusal, batch: Sequence[record_plan.Change]) -> list[record_plan.Change]:
    """Return the changes that an error may be about."""
    found: list[record_plan.Change] = []
    for error in refusal.errors:
        found += find_by_pointer(error, batch) or find_by_text(str(error), batch)
    return list(dict.fromkeys(found)) or list(batch)


def find_by_pointer(error: dict[str, t.Any], batch: Sequence[record_plan.Change]) -> list[record_plan.Change]:
    """Return the change that the pointer of an error refers to."""
    match = POINTER.search(str((error.get("source") or {}).get("pointer") or ""))
    if not match:
        return []
    signs = {"deletes": "-", "patches": "~", "posts": "+"}
    part = [change for change in batch if change.sign() == signs[match[1]]]
    return part[int(match[2]) : int(match[2]) + 1]


def find_by_text(text: str, batch: Sequence[record_plan.Change]) -> list[record_plan.Change]:
    """Return the changes that the text of an error describes by name, content and type; all if it describes none."""
    tests: list[t.Callable[[Record], bool]] = [
        lambda record: contains(text, record.name),
        lambda record: contains(text, record.content),
        lambda record: contains(text, record.type),
    ]
    found = list(batch)
    for test in tests:
        found = [change for change in found if change.after and test(change.after)] or found
    return found


def contains(text: str, part: str) -> bool:
    """Return whether a text contains another one that is not the end or the beginning of a longer name."""
    return re.search(rf"(?<![\w.-]){re.escape(part)}(?!\w|[.-]\w)", text) is not None
