"""Check the permissions of tokens; permissions have their names in Cloudflare's API."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from .errors import Refused

ZONE_READ, DNS_READ, DNS_WRITE = "Zone Read", "DNS Read", "DNS Write"
SETTINGS_READ, SETTINGS_WRITE = "Zone Settings Read", "Zone Settings Write"
TLS_READ, TLS_WRITE = "SSL and Certificates Read", "SSL and Certificates Write"
ANALYTICS_READ = "Analytics Read"
# Tokens of a user and of an account are verified by different calls.
VERIFY_USER, VERIFY_ACCOUNT = "/user/tokens/verify", "/accounts/e268443e43d93dab7ebef303bbe9642f/tokens/verify"
# The permission group that the rules of a phase need.
PHASES = {
    "http_request_firewall_managed": "Zone WAF",
    "http_request_firewall_custom": "Zone WAF",
    "http_ratelimit": "Zone WAF",
    "http_request_cache_settings": "Cache Settings",
    "http_request_dynamic_redirect": "Dynamic URL Redirects",
}
ALL = frozenset(
    {
        *(ZONE_READ, DNS_WRITE, SETTINGS_WRITE, TLS_WRITE, ANALYTICS_READ),
        *(f"{group} Write" for group in PHASES.values()),
    }
)


class Grant(NamedTuple):
    """The permissions of a token; without zones, for all of them."""

    name: str
    permissions: frozenset[str]
    zones: tuple[str, ...] = ()
    status: str = "active"
    # The addresses from which the token may be used; without any, from all of them.
    addresses: tuple[str, ...] = ()
    owner: str = "user"

    def may(self, permission: str) -> bool:
        """Return whether the token has a permission; Write includes Read."""
        return permission in self.permissions or permission.replace(" Read", " Write") in self.permissions

    def sees(self, zone: str) -> bool:
        """Return whether a zone is among the token's resources."""
        return not self.zones or zone in self.zones


Tokens = dict[str, Grant]


def read(folder: Path) -> Tokens:
    """Return the tokens of the sandbox: the one with all permissions, and those of the file."""
    found = {(folder / "cloudflare.token").read_text().strip(): Grant("full", ALL)}
    file = folder / "cloudflare.json"
    for name, entry in json.loads(file.read_text()).items() if file.exists() else ():
        permissions, zones = frozenset(entry["permissions"]), tuple(entry.get("zones", ()))
        found[entry["token"]] = Grant(name, permissions, zones, entry.get("status", "active"))
    return found


def check_keys(headers: Mapping[str, str]) -> None:
    """Raise Cloudflare's error for the older headers of a user's global key; the double knows no such key."""
    email, key = headers.get("x-auth-email"), headers.get("x-auth-key")
    if key is not None and not re.fullmatch(r"[0-9a-f]{37}|[0-9a-f]{45}", key):
        raise malformed(6103, "X-Auth-Key")
    if email is not None and not re.fullmatch(r"[^@\s]+@[^@\s]+", email):
        raise malformed(6102, "X-Auth-Email")
    if email or key or headers.get("x-auth-user-service-key"):
        raise Refused(403, 9103, "Unknown X-Auth-Key or X-Auth-Email")


def malformed(code: int, header: str) -> Refused:
    """Return the error for a malformed header."""
    return Refused(
        400, 6003, "Invalid request headers", {"code": code, "message": f"Invalid format for {header} header"}
    )


def authorize(tokens: Tokens, headers: Mapping[str, str], path: str, client: str) -> Grant:
    """Return the grant of a token; raise Cloudflare's error for a missing, malformed, unknown or restricted one."""
    check_keys(headers)
    header = headers.get("authorization")
    if not header:
        raise Refused(400, 9106, "Missing X-Auth-Key, X-Auth-Email or Authorization headers")
    match = re.fullmatch(r"Bearer ([A-Za-z0-9_-]{30,})", header)
    if not match:
        raise malformed(6111, "Authorization")
    grant = tokens.get(match[1])
    verifies = {"user": VERIFY_USER, "account": VERIFY_ACCOUNT}
    if path in verifies.values() and (grant is None or path != verifies[grant.owner]):
        raise Refused(401, 1000, "Invalid API Token")
    if grant is None or (grant.status != "active" and path not in verifies.values()):
        raise Refused(403, 9109, "Invalid access token")
    if grant.addresses and client.removeprefix("::ffff:") not in grant.addresses:
        raise Refused(403, 9109, f"Cannot use the access token from location: {client}")
    return grant
