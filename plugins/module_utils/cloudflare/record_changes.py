# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read the records of a zone and apply their plan, despite network faults and changes by others at the same time."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Sequence

from ansible_collections.vise.platform.plugins.module_utils.cloudflare import record_plan
from ansible_collections.vise.platform.plugins.module_utils.cloudflare.client import (
    DNS_EDIT,
    PAGE,
    ApiError,
    Backoff,
    Refusal,
    Session,
    Transient,
    Zone,
)
from ansible_collections.vise.platform.plugins.module_utils.cloudflare.records import Record, from_api

# Some errors contain a pointer into the request: /posts/3/content.
POINTER = re.compile(r"/?(deletes|patches|posts)[/\[](\d+)")


class Wanted(t.NamedTuple):
    """All records that a zone must have, and the policy for its other records."""

    records: Sequence[Record]
    policy: record_plan.Policy


def read_plan(session: Session, zone: Zone, wanted: Wanted, page: int = PAGE) -> record_plan.Plan:
    """Read the zone and return the changes; a conflict with other owners' records is an error."""
    existing = [from_api(row) for row in session.records(zone, page)]
    plan = record_plan.plan_records(existing, wanted.records, wanted.policy)
    if plan.conflicts:
        raise ApiError(record_plan.describe_conflicts(plan))
    return plan


def apply(session: Session, zone: Zone, wanted: Wanted, plan: record_plan.Plan) -> None:
    """Apply a plan.

    After a call without an answer, the zone is read again, and only the remaining changes are sent. So no change is
    made twice.
    """
    backoff = Backoff(session.sleep)
    while plan.changes:
        batch: list[record_plan.Change] = []
        try:
            for batch in record_plan.batches(plan.changes, zone.batch):
                send(session, zone, batch)
            return
        except Transient as problem:
            backoff.wait(problem)
            plan = read_plan(session, zone, wanted)
        except Refusal as refusal:
            plan = read_plan(session, zone, wanted)
            # If a refused change is no longer planned, a parallel run has made it.
            if all(change in plan.changes for change in batch):
                raise ApiError(describe_refusal(refusal, batch)) from refusal
            backoff.wait(Transient(str(refusal), 0))


def send(session: Session, zone: Zone, batch: Sequence[record_plan.Change]) -> None:
    """Send changes in one call; the API applies all of them or none."""
    call = session.api.dns.records.with_raw_response.batch
    session.call_once(DNS_EDIT, call, zone_id=zone.id, **t.cast(t.Any, record_plan.request_body(batch)))


def describe_refusal(refusal: Refusal, batch: Sequence[record_plan.Change]) -> str:
    """Return the text of a refusal, with the records that may have caused it."""
    lines = []
    for error in refusal.errors:
        suspects = find_by_pointer(error, batch) or find_by_text(str(error), batch)
        lines += [f"- {change.record}" for change in suspects[:5]]
    return "\n".join(
        [f"{refusal}; no change of this call was made. The cause is one of these records:", *dict.fromkeys(lines)]
    )


def find_by_pointer(error: dict[str, t.Any], batch: Sequence[record_plan.Change]) -> list[record_plan.Change]:
    """Return the change that the pointer of an error refers to."""
    match = POINTER.search(str((error.get("source") or {}).get("pointer") or ""))
    if not match:
        return []
    signs = {"deletes": "-", "patches": "~", "posts": "+"}
    part = [change for change in batch if change.sign() == signs[match[1]]]
    return part[int(match[2]) : int(match[2]) + 1]


def find_by_text(text: str, batch: Sequence[record_plan.Change]) -> list[record_plan.Change]:
    """Return the changes that the text of an error names: by name or content, else by type, else all of them."""
    tests: list[t.Callable[[Record], bool]] = [
        lambda record: record.name in text or record.content in text,
        lambda record: re.search(rf"\b{record.type}\b", text) is not None,
    ]
    found = [[change for change in batch if change.after and test(change.after)] for test in tests]
    return next((changes for changes in found if changes), list(batch))
