# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The rules of a phase as one list, and what differs. Pure but for the calls at the end."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping, Sequence

from ansible_collections.vise.platform.plugins.module_utils.cloudflare.client import Json, Refusal, Session, Zone

# The phases by what they are for, each with the permission that they need.
PHASES: Mapping[str, str] = {
    "http_request_firewall_managed": "Zone / Zone WAF",
    "http_request_firewall_custom": "Zone / Zone WAF",
    "http_ratelimit": "Zone / Zone WAF",
    "http_request_cache_settings": "Zone / Cache Rules",
    "http_request_dynamic_redirect": "Zone / Single Redirect",
}
# What the server adds to a rule.
SERVERS_OWN = ("id", "version", "last_updated", "categories")
# What it adds where nothing is said.
DEFAULTS: Mapping[str, t.Any] = {"enabled": True, "description": ""}
OPTIONAL = ("ref", "logging")
# What it adds further in: the version that a managed ruleset is at, and whether the zone's plan heeds the origin's
# headers; what nobody has switched on; what says nothing. Whatever else is there somebody has added, and it is a
# difference, such as overrides that switch managed rules off.
FILLED = ("version", "origin_cache_control")
FILLED_OFF = ("requests_to_origin", "preserve_query_string")
EMPTY: tuple[t.Any, ...] = (None, "", [], {})


def problems(rules: Sequence[Json]) -> list[str]:
    """Return what is wrong with each rule."""
    found = []
    for number, rule in enumerate(rules, 1):
        missing = [key for key in ("expression", "action") if not rule.get(key)]
        found += [f"rule {number} ({rule.get('description') or 'no description'}): it has no {key}" for key in missing]
        own = [key for key in SERVERS_OWN if key in rule]
        found += [f"rule {number}: {key} is the server's to give" for key in own]
    return found


def shown(rule: Json, wanted: Json) -> Json:
    """Return a rule of the server beside a wanted one, without what the server has added."""
    kept = {
        key: value
        for key, value in rule.items()
        if key not in SERVERS_OWN and not (key in OPTIONAL and key not in wanted)
    }
    return {**DEFAULTS, **{key: part_of(value, wanted.get(key, value)) for key, value in kept.items()}}


def part_of(value: t.Any, wanted: t.Any) -> t.Any:
    """Return a mapping without the defaults that the server fills in."""
    if isinstance(value, Mapping) and isinstance(wanted, Mapping):
        kept = {key: inner for key, inner in value.items() if key in wanted or not filled(key, inner)}
        return {key: part_of(inner, wanted.get(key, inner)) for key, inner in kept.items()}
    return value


def filled(key: str, value: t.Any) -> bool:
    """Return whether the server may have added this by itself."""
    return key in FILLED or (key in FILLED_OFF and value is False) or value in EMPTY


def same(found: Sequence[Json], wanted: Sequence[Json]) -> bool:
    """Return whether the rules are as wanted, in the same order."""
    return len(found) == len(wanted) and all(
        shown(one, other) == {**DEFAULTS, **other} for one, other in zip(found, wanted, strict=True)
    )


def line(rule: Json) -> str:
    """Return a rule for a reader."""
    state = "" if rule.get("enabled", True) else " (off)"
    return f"{rule.get('action')}{state}: {rule.get('description') or 'no description'} [{rule.get('expression')}]"


def diff(found: Sequence[Json], wanted: Sequence[Json]) -> dict[str, t.Any]:
    """Return the rules before and after."""
    beside = [*wanted, *({} for _rule in found[len(wanted) :])]
    before = [shown(rule, other) for rule, other in zip(found, beside, strict=False)]
    return {"before": {"rules": before}, "after": {"rules": [{**DEFAULTS, **rule} for rule in wanted]}}


def find(session: Session, zone: Zone, phase: str) -> list[Json]:
    """Return the rules of a phase; nobody may have written any."""
    call = session.api.rulesets.phases.with_raw_response.get
    try:
        answer = session.patiently(f"{PHASES[phase]} / Read", call, ruleset_phase=phase, zone_id=zone.id)
    except Refusal as refusal:
        if refusal.missing:
            return []
        raise
    return t.cast("list[Json]", answer["result"].get("rules") or [])


def apply(session: Session, zone: Zone, phase: str, rules: Sequence[Json]) -> None:
    """Replace the rules of a phase in one call; doing so twice does no harm."""
    call = session.api.rulesets.phases.with_raw_response.update
    session.patiently(f"{PHASES[phase]} / Edit", call, ruleset_phase=phase, zone_id=zone.id, rules=list(rules))
