# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What each plan of a zone allows, as Cloudflare documents it. Pure.

Contracts and add-ons can allow more, and the documented limits change. Therefore these limits explain a refusal of
Cloudflare, or stop a request that no plan of this name allows; whether rules are accepted is decided by Cloudflare.
"""

from __future__ import annotations

import typing as t
from collections.abc import Mapping

# Changes of records in one call that every plan allows.
SMALLEST_BATCH = 200
# The most that any plan allows.
LONGEST_COMMENT = 500
SHORTEST_TTL = 30
# Periods and timeouts of rate limits that any plan has, in seconds.
PERIODS = (10, 15, 20, 30, 40, 45, 60, 90, 120, 180, 240, 300, 480, 600, 900, 1200, 1800, 2400, 3600, 65535, 86400)
COLO, IP, VISITOR = "cf.colo.id", "ip.src", "cf.unique_visitor_id"


class Limits(t.NamedTuple):
    """The limits of a plan."""

    # The name of the plan at Cloudflare.
    plan: str
    # Characters of a record's comment, tags of a record, seconds of its TTL, changes of records in one call.
    comment: int
    tags: int
    ttl: int
    batch: int
    # Rules of each phase; a phase without a number has no documented limit.
    rules: Mapping[str, int]
    # The longest period and mitigation timeout of a rate limit, in seconds.
    period: int
    timeout: int
    # What a rate limit may count by; None allows everything.
    characteristics: tuple[str, ...] | None = (COLO, IP)
    counting: bool = False
    # The action log, and a mitigation timeout together with a challenge.
    enterprise: bool = False
    regular_expressions: bool = False
    # Managed rulesets besides the free one.
    managed: bool = True


def count_rules(custom: int, rate: int, other: int) -> dict[str, int]:
    """Return the number of rules of each phase that has a limit."""
    return {
        "http_request_firewall_custom": custom,
        "http_ratelimit": rate,
        "http_request_cache_settings": other,
        "http_request_dynamic_redirect": other,
    }


FREE = Limits("Free", 100, 0, 60, SMALLEST_BATCH, count_rules(5, 1, 10), 10, 10, managed=False)
PRO = Limits("Pro", LONGEST_COMMENT, 20, 60, 3500, count_rules(20, 2, 25), 60, 3600)
BUSINESS = PRO._replace(
    plan="Business",
    rules=count_rules(100, 5, 50),
    period=600,
    timeout=86400,
    characteristics=(COLO, IP, VISITOR),
    counting=True,
    regular_expressions=True,
)
ENTERPRISE = BUSINESS._replace(
    plan="Enterprise",
    ttl=SHORTEST_TTL,
    # The numbers with all add-ons; the contract can allow less.
    rules=count_rules(1000, 100, 300),
    period=65535,
    characteristics=None,
    enterprise=True,
)
# By the name of the plan in the API.
LIMITS: Mapping[str, Limits] = {
    "free": FREE,
    "lite": PRO._replace(plan="Lite"),
    "pro": PRO,
    "pro_plus": PRO._replace(plan="Pro Plus", rules=count_rules(40, 2, 25)),
    "business": BUSINESS,
    "enterprise": ENTERPRISE,
}
PARTNERS = "partners_"


def find_limits(plan: str) -> Limits | None:
    """Return the limits of a plan by its name in the API; None for a plan that is not known here."""
    return LIMITS.get(plan.removeprefix(PARTNERS))


def record_problems(record: t.Any, limits: Limits | None) -> list[str]:
    """Return what the plan does not allow in a record, which has `comment`, `tags` and `ttl`."""
    if limits is None:
        return []
    texts = {
        f"comment and mark have {len(record.comment)} characters; the {limits.plan} plan allows {limits.comment}": (
            len(record.comment) > limits.comment
        ),
        f"the record has {len(record.tags)} tags; the {limits.plan} plan allows {limits.tags}": (
            len(record.tags) > limits.tags
        ),
        f"ttl {record.ttl}; the {limits.plan} plan allows {limits.ttl} or more": 1 < record.ttl < limits.ttl,
    }
    return [f"{record}: {text}" for text, applies in texts.items() if applies]
