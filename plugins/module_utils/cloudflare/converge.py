# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Bring a zone's records to what is wanted, whatever the network and others do meanwhile."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Sequence

from ansible_collections.vise.platform.plugins.module_utils.cloudflare import plan as planning
from ansible_collections.vise.platform.plugins.module_utils.cloudflare.client import (
    DNS_EDIT,
    PAGE,
    ApiError,
    Refusal,
    Session,
    Transient,
    Waits,
    Zone,
)
from ansible_collections.vise.platform.plugins.module_utils.cloudflare.records import Record, from_api

# A pointer into the request, where the API gives one: /posts/3/content.
POINTER = re.compile(r"/?(deletes|patches|posts)[/\[](\d+)")


def read(session: Session, zone: Zone, wanted: Sequence[Record], policy: planning.Policy, page: int) -> planning.Plan:
    """Return what has to happen, from what is there."""
    plan = planning.plan([from_api(row) for row in session.records(zone, page)], wanted, policy)
    if plan.in_the_way:
        raise ApiError(planning.obstacles(plan))
    return plan


def converge(
    session: Session,
    zone: Zone,
    wanted: Sequence[Record],
    policy: planning.Policy,
    check_mode: bool = False,
    page: int = PAGE,
) -> planning.Plan:
    """Do what is missing, and return the plan that it began with.

    A change is never sent twice on suspicion: after a call without an answer the zone is read, and shows what is left.
    """
    first = plan = read(session, zone, wanted, policy, page)
    waits = Waits(session.sleep)
    while plan.changes and not check_mode:
        batch: list[planning.Change] = []
        try:
            for batch in planning.batches(plan.changes, zone.batch):
                send(session, zone, batch)
            break
        except Transient as problem:
            waits.wait(problem)
            plan = read(session, zone, wanted, policy, page)
        except Refusal as refusal:
            plan = read(session, zone, wanted, policy, page)
            # Somebody else was there first, who does as we do, when what was refused is no longer left to do.
            if all(change in plan.changes for change in batch):
                raise ApiError(blame(refusal, batch)) from refusal
            waits.wait(Transient(str(refusal), 0))
    return first


def send(session: Session, zone: Zone, batch: Sequence[planning.Change]) -> None:
    """Send changes in one call, which does all of them or none."""
    call = session.api.dns.records.with_raw_response.batch
    session.once(DNS_EDIT, call, zone_id=zone.id, **t.cast(t.Any, planning.request(batch)))


def blame(refusal: Refusal, batch: Sequence[planning.Change]) -> str:
    """Return a refusal with the record that it is about; without a hint, with those that it may be about."""
    lines = []
    for error in refusal.errors:
        meant = pointed(error, batch) or named(str(error), batch)
        lines += [f"- {change.record}" for change in meant[:5]]
    return "\n".join([f"{refusal}; none of this call's changes was made. It is about:", *dict.fromkeys(lines)])


def pointed(error: dict[str, t.Any], batch: Sequence[planning.Change]) -> list[planning.Change]:
    """Return the change that an error points at."""
    match = POINTER.search(str((error.get("source") or {}).get("pointer") or ""))
    if not match:
        return []
    signs = {"deletes": "-", "patches": "~", "posts": "+"}
    part = [change for change in batch if change.sign() == signs[match[1]]]
    return part[int(match[2]) : int(match[2]) + 1]


def named(text: str, batch: Sequence[planning.Change]) -> list[planning.Change]:
    """Return the changes whose record an error may be about: by name, by content, by type, or any."""
    tests: list[t.Callable[[Record], bool]] = [
        lambda record: record.name in text or record.content in text,
        lambda record: re.search(rf"\b{record.type}\b", text) is not None,
    ]
    found = [[change for change in batch if change.after and test(change.after)] for test in tests]
    return next((changes for changes in found if changes), list(batch))
