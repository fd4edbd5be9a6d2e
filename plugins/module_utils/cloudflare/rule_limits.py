# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Compare rules with the plan of their zone. Pure."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Iterator, Sequence

from ansible_collections.vise.platform.plugins.module_utils.cloudflare import plans
from ansible_collections.vise.platform.plugins.module_utils.cloudflare.client import Json
from ansible_collections.vise.platform.plugins.module_utils.cloudflare.plans import Limits

RATE_LIMITS, MANAGED = "http_ratelimit", "http_request_firewall_managed"
CHALLENGES = ("challenge", "managed_challenge", "js_challenge")
FREE_RULESET = "77454fe2d30c4220b5701f6fdfb893ba"
# The managed rulesets of paid plans; other ids are left to Cloudflare.
PAID_RULESETS = {
    "efb7b8c949ac4650a09736fc376e9aee": "Cloudflare Managed Ruleset",
    "4814384a9e5d4991b9815dcfc25d2f1f": "Cloudflare OWASP Core Ruleset",
    "c2e184081120413c86c3ab7e14069605": "Cloudflare Exposed Credentials Check",
}
# A text in an expression; a raw text has no escapes, and ends with as many # as it begins with.
TEXT = re.compile(r'\br(#*)".*?"\1|"(?:[^"\\]|\\.)*"', re.DOTALL)
REGULAR_EXPRESSION = re.compile(r"\bmatches\b|~|\bregex_replace\b")


def name_rule(number: int, rule: Json) -> str:
    """Return how messages name a rule."""
    return f"rule {number} ({rule.get('description') or 'no description'})"


def plan_problems(phase: str, rules: Sequence[Json], limits: Limits | None) -> list[str]:
    """Return what the plan of a zone does not allow in the rules of a phase, each with the limit of the plan."""
    if limits is None:
        return []
    most = limits.rules.get(phase, len(rules))
    found = [f"{len(rules)} rules; the {limits.plan} plan allows {most}"] if len(rules) > most else []
    for number, rule in enumerate(rules, 1):
        found += [f"{name_rule(number, rule)}: {text}" for text in rule_problems(phase, rule, limits)]
    return found


def rule_problems(phase: str, rule: Json, limits: Limits) -> Iterator[str]:
    """Yield what the plan does not allow in one rule."""
    if rule.get("action") == "log" and not limits.enterprise:
        yield f"the action log needs the Enterprise plan; the zone has the {limits.plan} plan"
    if not limits.regular_expressions and any(
        REGULAR_EXPRESSION.search(TEXT.sub("", one)) for one in expressions(rule)
    ):
        yield (
            "regular expressions (matches, ~, regex_replace) need the Business plan; the zone has the "
            f"{limits.plan} plan. Use wildcard, starts_with or contains"
        )
    ruleset = (rule.get("action_parameters") or {}).get("id")
    if phase == MANAGED and not limits.managed and ruleset in PAID_RULESETS:
        yield (
            f"{PAID_RULESETS[ruleset]} needs the Pro plan; the {limits.plan} plan has only the Cloudflare Free Managed "
            f"Ruleset, {FREE_RULESET}"
        )
    if phase == RATE_LIMITS:
        yield from rate_problems(rule, rule.get("ratelimit") or {}, limits)


def expressions(rule: Json) -> Iterator[str]:
    """Yield the expressions of a rule."""
    target = ((rule.get("action_parameters") or {}).get("from_value") or {}).get("target_url") or {}
    counting = (rule.get("ratelimit") or {}).get("counting_expression")
    yield from (str(one) for one in (rule.get("expression"), target.get("expression"), counting) if one)


def rate_problems(rule: Json, counter: t.Mapping[str, t.Any], limits: Limits) -> Iterator[str]:
    """Yield what the plan does not allow in a rate limit."""
    periods = [value for value in plans.PERIODS if value <= limits.period]
    if counter.get("period") not in periods:
        yield f"period {counter.get('period')}; the {limits.plan} plan allows {list_values(periods)}"
    yield from timeout_problems(str(rule.get("action")), counter.get("mitigation_timeout") or 0, limits)
    names = counter.get("characteristics") or ()
    others = [name for name in names if limits.characteristics is not None and name not in limits.characteristics]
    if others:
        allowed = list_values(limits.characteristics or ())
        yield f"characteristics {', '.join(others)}; the {limits.plan} plan allows {allowed}"
    if counter.get("counting_expression") and not limits.counting:
        yield f"a counting_expression needs the Business plan; the zone has the {limits.plan} plan"


def timeout_problems(action: str, timeout: int, limits: Limits) -> Iterator[str]:
    """Yield what the plan does not allow in the mitigation timeout of a rate limit."""
    if limits.enterprise:
        return
    timeouts = [value for value in plans.PERIODS if value <= limits.timeout]
    if action in CHALLENGES and timeout:
        yield f"mitigation_timeout {timeout} with {action} needs the Enterprise plan; write 0 on the {limits.plan} plan"
    if action not in CHALLENGES and timeout not in timeouts:
        yield f"mitigation_timeout {timeout}; the {limits.plan} plan allows {list_values(timeouts)}"


def list_values(values: Sequence[t.Any]) -> str:
    """Return values for an operator."""
    return ", ".join(map(str, values))
