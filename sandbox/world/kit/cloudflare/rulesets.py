"""Entry points of the phases: one ordered list of rules each."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from . import entitlements
from .entitlements import Rule
from .errors import Refused
from .tokens import PHASES

ACTIONS = {
    "http_request_firewall_managed": {"execute", "skip"},
    "http_request_firewall_custom": {
        "block",
        "challenge",
        "managed_challenge",
        "js_challenge",
        "log",
        "skip",
        "execute",
    },
    "http_ratelimit": {"block", "challenge", "managed_challenge", "js_challenge", "log"},
    "http_request_cache_settings": {"set_cache_settings"},
    "http_request_dynamic_redirect": {"redirect"},
}
# Actions that need parameters.
PARAMETERS = ("execute", "skip", "redirect")
FIELDS = {
    *("id", "version", "last_updated", "ref", "enabled", "description", "expression", "action", "action_parameters"),
    *("ratelimit", "logging", "categories", "exposed_credential_check"),
}
LONGEST_EXPRESSION = 4096


def show(phase: str, ruleset: dict[str, Any] | None) -> dict[str, Any]:
    """Return an entry point; without any rules there is none."""
    if ruleset is None:
        raise Refused(404, 10003, f"could not find entrypoint ruleset in the {phase} phase")
    return ruleset


def is_dry_run(query: Mapping[str, str]) -> bool:
    """Return whether a request is only validated."""
    value = query.get("dry_run", "false")
    if value not in ("true", "false"):
        raise Refused(400, 10014, f"invalid value for dry_run: {value}")
    return value == "true"


def replaced(
    phase: str, old: dict[str, Any] | None, body: Any, plan: str = "free", contract: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """Return the entry point with just the rules of a request; a contract allows more rules than the plan."""
    if phase not in PHASES:
        raise Refused(400, 10014, f"unknown phase {phase}")
    rules = (body or {}).get("rules")
    if not isinstance(rules, list):
        raise Refused(400, 20016, "rules is required")
    entitlements.check_number(phase, len(rules), plan, contract or {})
    version = str(int(old["version"]) + 1) if old else "1"
    done = [checked(phase, number, rule, plan) for number, rule in enumerate(rules)]
    check_all(phase, done)
    return {
        "id": old["id"] if old else secrets.token_hex(16),
        "name": "default",
        "description": body.get("description", ""),
        "kind": "zone",
        "phase": phase,
        "version": version,
        "rules": done,
    }


def checked(phase: str, number: int, rule: Any, plan: str) -> Rule:
    """Return a rule with what the server adds; an error points to the rule."""
    try:
        check(phase, rule)
        entitlements.check_rule(phase, rule, entitlements.RANKS[plan])
    except Refused as refused:
        refused.error["source"] = {"pointer": f"/rules/{number}"}
        raise
    return completed(rule)


def check(phase: str, rule: Any) -> None:
    """Raise an error for a rule that no plan allows."""
    if not isinstance(rule, dict) or set(rule) - FIELDS:
        raise Refused(400, 20016, "unknown field in rule")
    if not isinstance(rule.get("expression"), str) or not rule["expression"]:
        raise Refused(400, 20018, "expression is required")
    if len(rule["expression"]) > LONGEST_EXPRESSION:
        raise Refused(400, 20018, f"expression is longer than {LONGEST_EXPRESSION} characters")
    action = rule.get("action")
    if action not in ACTIONS[phase]:
        raise Refused(400, 20016, f"action {action} is not allowed in phase {phase}")
    if action in PARAMETERS and not rule.get("action_parameters"):
        raise Refused(400, 20018, f"action {action} needs action_parameters")
    if action == "execute" and not rule["action_parameters"].get("id"):
        raise Refused(400, 20018, "action execute needs the id of a ruleset")
    if rule.get("logging") and action != "skip":
        raise Refused(400, 20018, "logging options are only allowed in the skip action")
    if phase == "http_request_firewall_managed" and action == "skip":
        for name in rule["action_parameters"].get("phases") or ():
            raise Refused(400, 20120, f"skip action parameter phase '{name}' is not authorized")
    check_counter(phase, rule.get("ratelimit"))


def check_counter(phase: str, counter: Any) -> None:
    """Raise an error for a rate limit that no plan allows."""
    if phase != "http_ratelimit":
        if counter:
            raise Refused(400, 20120, f"ratelimit is not allowed in phase {phase}")
        return
    if not isinstance(counter, dict) or not counter:
        raise Refused(400, 20120, "ratelimit is required")
    names = counter.get("characteristics") or []
    if "cf.colo.id" not in names:
        text = (
            "characteristics field is missing 'cf.colo.id', this is required as ratelimiting counting is processed at "
        )
        raise Refused(400, 20155, f"{text}colocation level only")
    if {"ip.src", "cf.unique_visitor_id"} <= set(names):
        raise Refused(400, 20155, "characteristics ip.src and cf.unique_visitor_id are incompatible")
    if not isinstance(counter.get("requests_per_period"), int) and "score_per_period" not in counter:
        raise Refused(400, 20155, "requests_per_period is required")


def check_all(phase: str, rules: list[Rule]) -> None:
    """Raise an error for rules that cannot be in one list."""
    refs = [rule["ref"] for rule in rules]
    if len(set(refs)) < len(refs):
        raise Refused(400, 20118, "duplicate ref in rules")
    deployed = [rule["action_parameters"]["id"] for rule in rules if rule["action"] == "execute"]
    if phase == "http_request_firewall_managed" and len(set(deployed)) < len(deployed):
        raise Refused(400, 20119, "a managed ruleset can be executed only once in a zone")


def completed(rule: Rule) -> Rule:
    """Return a rule with the fields that the server sets."""
    key = secrets.token_hex(16)
    done = {"id": key, "version": "1", "ref": key, "enabled": True, **rule, "last_updated": "2026-01-01T00:00:00Z"}
    if rule["action"] == "skip":
        done["logging"] = {"enabled": True, **(rule.get("logging") or {})}
    if rule["action"] == "execute":
        done["action_parameters"] = {"version": "latest", **rule["action_parameters"]}
    if "ratelimit" in rule:
        done["ratelimit"] = {"requests_to_origin": False, "mitigation_timeout": 0, **rule["ratelimit"]}
    return done
