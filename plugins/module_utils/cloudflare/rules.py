# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Compare the rules of a phase with the wanted list. Pure except for the two calls at the end."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Iterator, Mapping, Sequence

from ansible_collections.vise.platform.plugins.module_utils.cloudflare import plans
from ansible_collections.vise.platform.plugins.module_utils.cloudflare.client import Json, Refusal, Session, Zone
from ansible_collections.vise.platform.plugins.module_utils.cloudflare.rule_limits import (
    RATE_LIMITS,
    name_rule,
    plan_problems,
)

# The phases, each with the permission group that its rules need.
PHASES: Mapping[str, str] = {
    "http_request_firewall_managed": "Zone / Zone WAF",
    "http_request_firewall_custom": "Zone / Zone WAF",
    "http_ratelimit": "Zone / Zone WAF",
    "http_request_cache_settings": "Zone / Cache Rules",
    "http_request_dynamic_redirect": "Zone / Single Redirect",
}
# Fields that the server sets.
SERVER_FIELDS = ("id", "version", "last_updated", "categories")
# Values that the server sets when the rule has none.
DEFAULTS: Mapping[str, t.Any] = {"enabled": True, "description": ""}
OPTIONAL = ("ref", "logging")
# Nested fields that the server sets: the version of a managed ruleset, whether the zone's plan respects the origin's
# headers, options that are off, the timeout of a challenge, and empty values. Any other field is a difference: a user
# added it, for example an override that disables managed rules.
SERVER_DEFAULTS = ("version", "origin_cache_control")
SERVER_DEFAULTS_OFF = ("requests_to_origin", "preserve_query_string")
SERVER_DEFAULTS_ZERO = ("mitigation_timeout",)
EMPTY: tuple[t.Any, ...] = (None, "", [], {})
# An error points to a rule: /rules/3/expression.
POINTER = re.compile(r"/rules/(\d+)")


def problems(phase: str, rules: Sequence[Json]) -> list[str]:
    """Return the problems of each rule of a phase."""
    return [
        f"{phase}: {name_rule(number, rule)}: {text}"
        for number, rule in enumerate(rules, 1)
        for text in rule_problems(phase, rule)
    ]


def rule_problems(phase: str, rule: Json) -> Iterator[str]:
    """Yield the problems of one rule that no plan allows."""
    needed = ("expression", "action", *(["ratelimit"] if phase == RATE_LIMITS else []))
    yield from (f"{key} is missing" for key in needed if not rule.get(key))
    yield from (f"remove {key}; only Cloudflare sets this field" for key in SERVER_FIELDS if key in rule)
    if rule.get("logging") and rule.get("action") != "skip":
        yield "remove logging; only rules with the action skip have it"
    counter = rule.get("ratelimit")
    if counter and plans.COLO not in (counter.get("characteristics") or ()):
        yield f"add {plans.COLO} to the characteristics; Cloudflare counts in each of its data centers"


def comparable(rule: Json, wanted: Json) -> Json:
    """Return a rule of the server without the fields that the server has set, to compare it with a wanted rule."""
    kept = {
        key: value
        for key, value in rule.items()
        if key not in SERVER_FIELDS and not (key in OPTIONAL and key not in wanted)
    }
    return {**DEFAULTS, **{key: without_defaults(value, wanted.get(key, value)) for key, value in kept.items()}}


def without_defaults(value: t.Any, wanted: t.Any) -> t.Any:
    """Return a mapping without the defaults that the server has set."""
    if isinstance(value, Mapping) and isinstance(wanted, Mapping):
        kept = {key: inner for key, inner in value.items() if key in wanted or not is_default(key, inner)}
        return {key: without_defaults(inner, wanted.get(key, inner)) for key, inner in kept.items()}
    return value


def is_default(key: str, value: t.Any) -> bool:
    """Return whether the server may have set this value itself."""
    off = (key in SERVER_DEFAULTS_OFF and value is False) or (key in SERVER_DEFAULTS_ZERO and value == 0)
    return key in SERVER_DEFAULTS or off or value in EMPTY


def same(current: Sequence[Json], wanted: Sequence[Json]) -> bool:
    """Return whether the rules are as wanted, in the same order."""
    return len(current) == len(wanted) and all(
        comparable(one, other) == {**DEFAULTS, **other} for one, other in zip(current, wanted, strict=True)
    )


def describe_rule(rule: Json) -> str:
    """Return a rule as one line."""
    state = "" if rule.get("enabled", True) else " (off)"
    return f"{rule.get('action')}{state}: {rule.get('description') or 'no description'} [{rule.get('expression')}]"


def describe_change(phase: str, current: Sequence[Json], wanted: Sequence[Json]) -> list[str]:
    """Return the change of a phase for an operator: a summary, then each rule that is removed or added."""
    before, after = [describe_rule(rule) for rule in current], [describe_rule(rule) for rule in wanted]
    removed = [f"  - {line}" for line in before if line not in after]
    added = [f"  + {line}" for line in after if line not in before]
    return [f"~ rules of {phase}: {len(before)} -> {len(after)}", *removed, *added]


def diff(phase: str, current: Sequence[Json], wanted: Sequence[Json]) -> dict[str, t.Any]:
    """Return the rules of a phase before and after."""
    others = [*wanted, *({} for _rule in current[len(wanted) :])]
    before = [comparable(rule, other) for rule, other in zip(current, others, strict=False)]
    after = [{**DEFAULTS, **rule} for rule in wanted]
    return {"before_header": phase, "after_header": phase, "before": {"rules": before}, "after": {"rules": after}}


def read(session: Session, zone: Zone, phase: str) -> list[Json]:
    """Return the current rules of a phase; a phase without any is not an error."""
    call = session.api.rulesets.phases.with_raw_response.get
    try:
        answer = session.call_with_retry(f"{PHASES[phase]} / Read", call, ruleset_phase=phase, zone_id=zone.id)
    except Refusal as refusal:
        if refusal.missing:
            return []
        raise
    return t.cast("list[Json]", answer["result"].get("rules") or [])


def validate(session: Session, zone: Zone, phase: str, rules: Sequence[Json]) -> None:
    """Let Cloudflare validate the rules of a phase, with the plan and the contract of the zone; nothing is changed."""
    call = session.api.rulesets.phases.with_raw_response.update
    permission, every = f"{PHASES[phase]} / Edit", list(rules)
    session.call_with_retry(permission, call, ruleset_phase=phase, zone_id=zone.id, rules=every, dry_run=True)


def describe_refusal(zone: Zone, phase: str, rules: Sequence[Json], refusal: Refusal) -> str:
    """Return the text of a refusal, with the rules that caused it and the limits of the plan."""
    places = [POINTER.search(str((error.get("source") or {}).get("pointer") or "")) for error in refusal.errors]
    numbers = [int(place[1]) for place in places if place and int(place[1]) < len(rules)]
    named = [name_rule(number + 1, rules[number]) for number in dict.fromkeys(numbers)]
    limits = [f"- {text}" for text in plan_problems(phase, rules, plans.find_limits(zone.plan))]
    return "\n".join([f"rules of {phase}: {'; '.join([str(refusal), *named])}", *limits])


def apply(session: Session, zone: Zone, phase: str, rules: Sequence[Json]) -> None:
    """Replace the rules of a phase in one call, which may be repeated."""
    call = session.api.rulesets.phases.with_raw_response.update
    session.call_with_retry(f"{PHASES[phase]} / Edit", call, ruleset_phase=phase, zone_id=zone.id, rules=list(rules))
