"""What the plan of a zone allows in rules; pure. The messages are those that users of Cloudflare report."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .errors import Refused

Rule = dict[str, Any]

# Plans from the smallest; older plans count as the next one.
RANKS = {"free": 0, "lite": 1, "pro": 1, "pro_plus": 1, "business": 2, "enterprise": 3}
FREE, PRO, BUSINESS, ENTERPRISE = range(4)
QUOTAS = {
    "http_request_firewall_custom": (5, 20, 100, 1000),
    "http_ratelimit": (1, 2, 5, 100),
    "http_request_cache_settings": (10, 25, 50, 300),
    "http_request_dynamic_redirect": (10, 25, 50, 300),
}
# Managed rulesets: the name, and the plan from which they are included.
MANAGED = {
    "77454fe2d30c4220b5701f6fdfb893ba": FREE,
    "efb7b8c949ac4650a09736fc376e9aee": PRO,
    "4814384a9e5d4991b9815dcfc25d2f1f": PRO,
    "c2e184081120413c86c3ab7e14069605": PRO,
}
PERIODS = (10, 15, 20, 30, 40, 45, 60, 90, 120, 180, 240, 300, 480, 600, 900, 1200, 1800, 2400, 3600, 65535, 86400)
LONGEST_PERIOD = (10, 60, 600, 65535)
LONGEST_TIMEOUT = (10, 3600, 86400, 86400)
CHALLENGES = ("challenge", "managed_challenge", "js_challenge")
# Fields in the expression of a rate limit, each with those of the smaller plans.
FIELDS: tuple[tuple[str, ...], ...] = (
    ("http.request.uri.path", "http.request.uri.path.extension", "cf.client.bot", "cf.bot_management.verified_bot"),
    ("http.host", "http.request.uri", "http.request.full_uri", "http.request.uri.query"),
    ("http.request.method", "ip.src", "http.user_agent"),
)
CHARACTERISTICS = (("cf.colo.id", "ip.src"), (), ("cf.unique_visitor_id",))
STRING = re.compile(r'r(#*)".*?"\1|"(?:[^"\\]|\\.)*"', re.DOTALL)
FIELD = re.compile(r"\b(?:raw\.)?(?:http|ip|cf|ssl|tcp|udp)\.[a-z0-9_.]+")


def unquote(expression: str) -> str:
    """Return an expression without its texts; raise an error if it cannot be parsed."""
    bare = STRING.sub('""', expression)
    if bare.replace('""', "").count('"') or bare.count("(") != bare.count(")"):
        raise Refused(400, 20127, f"filter parsing error: {expression}")
    return bare


def check_number(phase: str, number: int, plan: str, contract: Mapping[str, int]) -> None:
    """Raise an error for too many rules."""
    if phase not in QUOTAS:
        return
    limit = contract.get(phase, QUOTAS[phase][RANKS[plan]])
    if number > limit:
        raise Refused(400, 50001, f"exceeded the maximum number of rules in the phase {phase}: {number} out of {limit}")


def check_rule(phase: str, rule: Rule, rank: int) -> None:
    """Raise an error for a rule that the plan does not allow."""
    if rule["action"] == "log" and rank < ENTERPRISE:
        raise Refused(400, 20120, "not entitled to use the log action")
    check_expression(phase, rule["expression"], rank)
    target = ((rule.get("action_parameters") or {}).get("from_value") or {}).get("target_url") or {}
    if target.get("expression"):
        check_functions(unquote(target["expression"]), rank)
    if phase == "http_request_firewall_managed" and rule["action"] == "execute":
        check_ruleset(rule["action_parameters"]["id"], rank)
    if phase == "http_ratelimit":
        check_rate_limit(rule, rank)


def check_expression(phase: str, expression: str, rank: int) -> None:
    """Raise an error for operators, functions and fields that the plan does not allow."""
    bare = unquote(expression)
    if re.search(r"\bmatches\b|~", bare) and rank < BUSINESS:
        raise not_allowed("operator Matches")
    check_functions(bare, rank)
    if phase != "http_ratelimit" or rank == ENTERPRISE:
        return
    allowed = {field for fields in FIELDS[: rank + 1] for field in fields}
    for field in FIELD.findall(bare):
        if field not in allowed:
            text = f"not entitled: the use of field {field} is not allowed, an higher Advanced Rate Limiting plan is "
            raise Refused(400, 20127, f"{text}required")


def check_functions(bare: str, rank: int) -> None:
    """Raise an error for functions that the plan does not allow."""
    if re.search(r"\bregex_replace\b", bare) and rank < BUSINESS:
        raise not_allowed("function regex_replace")


def not_allowed(what: str) -> Refused:
    """Return the error for a regular expression."""
    text = f"not entitled: the use of {what} is not allowed, a Business plan or a WAF Advanced plan is required"
    return Refused(400, 20127, text)


def check_ruleset(ruleset: str, rank: int) -> None:
    """Raise an error for a managed ruleset that does not exist or is not part of the plan."""
    if ruleset not in MANAGED:
        raise Refused(400, 20115, f"could not find ruleset {ruleset}")
    if rank < MANAGED[ruleset]:
        raise Refused(400, 20120, f"not entitled to execute the managed ruleset {ruleset}")


def check_rate_limit(rule: Rule, rank: int) -> None:
    """Raise an error for a rate limit that the plan does not allow."""
    limit = rule["ratelimit"]
    period, timeout = limit.get("period"), limit.get("mitigation_timeout") or 0
    allowed = [value for value in PERIODS if value <= LONGEST_PERIOD[rank]]
    if period not in allowed:
        among = "[" + " ".join(map(str, allowed)) + "]"
        raise Refused(400, 20155, f"not entitled to use the period {period}, can only use a period among {among}")
    check_timeout(rule["action"], timeout, rank)
    if limit.get("counting_expression") and rank < BUSINESS:
        raise Refused(400, 20155, "not entitled to use a counting expression")
    known = {name for names in CHARACTERISTICS[: rank + 1] for name in names}
    for name in limit["characteristics"]:
        if rank < ENTERPRISE and name not in known:
            raise Refused(400, 20155, f"not entitled to use the characteristic {name}")


def check_timeout(action: str, timeout: int, rank: int) -> None:
    """Raise an error for a mitigation timeout that the plan does not allow."""
    if rank == ENTERPRISE:
        return
    if action in CHALLENGES and timeout:
        raise Refused(400, 20155, f"not entitled to use a mitigation timeout with the action {action}")
    allowed = [value for value in PERIODS if value <= LONGEST_TIMEOUT[rank]]
    if action not in CHALLENGES and timeout not in allowed:
        among = str(allowed[0]) if len(allowed) == 1 else " ".join(map(str, allowed))
        raise Refused(400, 20155, f"not entitled to use a mitigation timeout different from {among}")
