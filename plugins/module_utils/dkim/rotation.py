# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plan the rotation of a domain's DKIM keys at a point in time. Pure except for random selectors."""

from __future__ import annotations

import datetime
import secrets
import typing as t

from . import keys, store

FORMAT = "%Y-%m-%dT%H:%M:%SZ"
PENDING = (store.SWITCHING, store.PUBLISHED, store.MADE)
Entry = dict[str, t.Any]


class Times(t.NamedTuple):
    """The durations of a rotation."""

    # Days that a key signs
    lifetime: int = 180
    # Days that a key stays in the DNS after its last signature
    overlap: int = 7
    # Seconds between the publication of a key and its first signature
    settle: int = 1800


def parse(text: str) -> datetime.datetime:
    """Return a time of the store."""
    return datetime.datetime.strptime(text, FORMAT).replace(tzinfo=datetime.UTC)


def newest(found: list[Entry], states: t.Sequence[str]) -> Entry | None:
    """Take the first of these states that a key has, and return the key that reached it last."""
    for state in states:
        here = sorted((one for one in found if one["state"] == state), key=lambda one: str(one["since"][state]))
        if here:
            return here[-1]
    return None


def fresh_selector(at: datetime.datetime) -> str:
    """Return a random selector: no resolver can have cached a negative answer for its name."""
    return f"s{at:%Y%m%d}-{secrets.token_hex(3)}"


def plan(every: list[Entry], domain: str, at: datetime.datetime, times: Times, force: bool) -> dict[str, t.Any]:
    """Return the plan of one domain."""
    found = [one for one in every if one["domain"] == domain]
    active = newest(found, [store.ACTIVE])
    pending = newest([one for one in found if one["type"] == keys.RSA], PENDING)
    until = {
        one["selector"]: parse(one["since"][store.RETIRING]) + datetime.timedelta(days=times.overlap)
        for one in found
        if one["state"] == store.RETIRING
    }
    retire = sorted(selector for selector, end in until.items() if end <= at)
    due = parse(active["since"][store.ACTIVE]) + datetime.timedelta(days=times.lifetime) if active else at
    selector = pending["selector"] if pending else fresh_selector(at) if force or due <= at else ""
    steps = [f"retire {name}, which no longer signs" for name in retire]
    if selector:
        steps += [] if pending else [f"create {selector}"]
        steps += [f"publish {selector}, wait for all authoritative servers, sign with it, verify a message"]
        steps += [f"keep {active['selector']} in the DNS for {times.overlap} days after that"] if active else []
    waiting = {name: end.strftime(FORMAT) for name, end in sorted(until.items()) if end > at}
    return {
        "domain": domain,
        "active": active["selector"] if active else "",
        "selector": selector,
        "state": pending["state"] if pending else "",
        "retire": retire,
        "retired": sorted([one["selector"] for one in found if one["state"] == store.RETIRED] + retire),
        # Verifiers query names below _domainkey only for signatures, so before the first one no resolver has cached a
        # negative answer.
        "settle": remaining_settle(pending, at, times) if active or until else 0,
        "steps": steps or ["nothing is due"],
        "next": describe_next(active, waiting, due),
    }


def remaining_settle(pending: Entry | None, at: datetime.datetime, times: Times) -> int:
    """Return the seconds until a published key may sign."""
    published = pending["since"].get(store.PUBLISHED) if pending else None
    return max(0, times.settle - int((at - parse(published)).total_seconds())) if published else times.settle


def describe_next(active: Entry | None, waiting: dict[str, str], due: datetime.datetime) -> str:
    """Return the next step and its time in words."""
    steps = [(end, f"{end[:16].replace('T', ' ')} UTC to retire {name}") for name, end in waiting.items()]
    if active:
        steps.append((due.strftime(FORMAT), f"{due:%Y-%m-%d %H:%M} UTC to rotate {active['selector']}"))
    return f"Run this again after {min(steps)[1]}." if steps else "No key signs yet: complete this run."


def plan_all(every: list[Entry], domains: t.Sequence[str], at: datetime.datetime, times: Times, force: bool) -> Entry:
    """Return the plan of all domains, in the form of the modules' options."""
    plans = [plan(every, domain, at, times, force) for domain in domains]
    pending = [one for one in plans if one["selector"]]

    def entries(state: str, *reached: str) -> list[Entry]:
        """Return the keys whose new state must be recorded; an interrupted run may have recorded some states."""
        return [
            {"domain": one["domain"], "selector": one["selector"], "state": state}
            for one in pending
            if one["state"] not in reached
        ]

    retire = [
        {"domain": one["domain"], "selector": selector, "state": store.RETIRED}
        for one in plans
        for selector in one["retire"]
    ]
    signing = [(one, one["selector"] or one["active"]) for one in plans]
    return {
        "begin": entries(store.PRESENT) + retire,
        "published": entries(store.PUBLISHED, store.PUBLISHED, store.SWITCHING),
        "switching": entries(store.SWITCHING, store.SWITCHING),
        "active": entries(store.ACTIVE),
        "sign": [
            {"domain": one["domain"], "selector": selector, "forget": one["retired"]} for one, selector in signing
        ],
        "back": [{"domain": one["domain"], "selector": one["active"]} for one in pending if one["active"]],
        "settle": max([one["settle"] for one in pending], default=0),
        "steps": [f"{one['domain']}: {step}" for one in plans for step in one["steps"]],
        "next": [f"{one['domain']}: {one['next']}" for one in plans],
    }
