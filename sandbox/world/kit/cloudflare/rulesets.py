"""Entry points of the phases: one ordered list of rules each."""

from __future__ import annotations

import secrets
from typing import Any

from .errors import Refused
from .tokens import PHASES

ACTIONS = {
    "http_request_firewall_managed": {"execute", "skip"},
    "http_request_firewall_custom": {"block", "challenge", "managed_challenge", "js_challenge", "log", "skip"},
    "http_ratelimit": {"block", "challenge", "managed_challenge", "js_challenge", "log"},
    "http_request_cache_settings": {"set_cache_settings"},
    "http_request_dynamic_redirect": {"redirect"},
}


def show(phase: str, ruleset: dict[str, Any] | None) -> dict[str, Any]:
    """Return an entry point; without any rules there is none."""
    if ruleset is None:
        raise Refused(404, 10003, f"could not find entrypoint ruleset in the {phase} phase")
    return ruleset


def replaced(phase: str, old: dict[str, Any] | None, body: Any) -> dict[str, Any]:
    """Return the entry point with just the rules of a request."""
    if phase not in PHASES:
        raise Refused(400, 10014, f"unknown phase {phase}")
    rules = (body or {}).get("rules")
    if not isinstance(rules, list):
        raise Refused(400, 20016, "rules is required")
    version = str(int(old["version"]) + 1) if old else "1"
    return {
        "id": old["id"] if old else secrets.token_hex(16),
        "name": "default",
        "description": body.get("description", ""),
        "kind": "zone",
        "phase": phase,
        "version": version,
        "rules": [rule_of(phase, number, rule) for number, rule in enumerate(rules)],
    }


def rule_of(phase: str, number: int, rule: Any) -> dict[str, Any]:
    """Return a rule with what the server adds, or refuse it."""
    if not rule.get("expression"):
        raise Refused(400, 20018, f"rule {number}: expression is required")
    if rule.get("action") not in ACTIONS[phase]:
        raise Refused(400, 20016, f"rule {number}: action {rule.get('action')} is not allowed in phase {phase}")
    if phase == "http_ratelimit" and not rule.get("ratelimit"):
        raise Refused(400, 20120, f"rule {number}: ratelimit is required")
    key = secrets.token_hex(16)
    return {"id": key, "version": "1", "ref": key, "enabled": True, **rule, "last_updated": "2026-01-01T00:00:00Z"}
