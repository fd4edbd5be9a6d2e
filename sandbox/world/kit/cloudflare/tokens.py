"""Check the permissions of tokens; permissions have their names in Cloudflare's API."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple

from .errors import Refused

ZONE_READ, DNS_READ, DNS_WRITE = "Zone Read", "DNS Read", "DNS Write"
SETTINGS_READ, SETTINGS_WRITE = "Zone Settings Read", "Zone Settings Write"
TLS_READ, TLS_WRITE = "SSL and Certificates Read", "SSL and Certificates Write"
ANALYTICS_READ = "Analytics Read"
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


def authorize(tokens: Tokens, header: str | None, path: str) -> Grant:
    """Return the grant of a token; raise Cloudflare's error for a missing, malformed or unknown one."""
    if not header:
        raise Refused(400, 9106, "Missing X-Auth-Key, X-Auth-Email or Authorization headers")
    match = re.fullmatch(r"Bearer ([A-Za-z0-9_-]{30,})", header)
    if not match:
        chain = {"code": 6111, "message": "Invalid format for Authorization header"}
        raise Refused(400, 6003, "Invalid request headers", chain)
    grant = tokens.get(match[1])
    if grant is None or (grant.status != "active" and path != "/user/tokens/verify"):
        if path == "/user/tokens/verify":
            raise Refused(401, 1000, "Invalid API Token")
        raise Refused(403, 9109, "Invalid access token")
    return grant
