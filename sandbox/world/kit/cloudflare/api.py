"""Route requests and answer them."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from typing import Any

from . import rulesets, tokens
from .errors import Refused, unauthorized, unroutable
from .tokens import Grant
from .zones import Zones, identity

Answer = dict[str, Any]
# The largest page of records; Cloudflare documents no limit, and clients request up to 5,000.
LARGEST_PAGE = 5000


class Request(dict[str, Any]):
    """A request: method, path, query, body, and the address of the client."""

    @property
    def method(self) -> str:
        """Return its method."""
        return str(self["method"])


class Api:
    """The API with its routes and state."""

    def __init__(self, zones: Zones, known: Callable[[], tokens.Tokens]) -> None:
        self.zones = zones
        self.known = known
        self.lock = threading.Lock()
        zone = r"/zones/(?P<zone>[^/]+)"
        self.routes: list[tuple[str, str, Callable[..., Answer]]] = [
            ("GET", tokens.VERIFY_USER, self.verify),
            ("GET", tokens.VERIFY_ACCOUNT, self.verify),
            ("GET", "/zones", self.list_zones),
            ("POST", "/graphql", self.analytics),
            ("GET", zone, self.show_zone),
            ("GET", f"{zone}/dns_records", self.list_records),
            ("POST", f"{zone}/dns_records", self.one("posts")),
            ("POST", f"{zone}/dns_records/batch", self.batch),
            ("GET", f"{zone}/dns_records/usage", self.usage),
            ("GET", f"{zone}/dns_records/(?P<record>[^/]+)", self.show_record),
            ("PUT", f"{zone}/dns_records/(?P<record>[^/]+)", self.one("puts")),
            ("PATCH", f"{zone}/dns_records/(?P<record>[^/]+)", self.one("patches")),
            ("DELETE", f"{zone}/dns_records/(?P<record>[^/]+)", self.one("deletes")),
            ("GET", f"{zone}/settings/(?P<setting>[^/]+)", self.show_setting),
            ("PATCH", f"{zone}/settings/(?P<setting>[^/]+)", self.change_setting),
            ("GET|PATCH", f"{zone}/dnssec", self.dnssec),
            ("GET|PUT", f"{zone}/origin_tls_client_auth/settings", self.origin_pulls),
            ("GET|POST", f"{zone}/origin_tls_client_auth", self.certificates),
            ("DELETE", f"{zone}/origin_tls_client_auth/(?P<certificate>[^/]+)", self.no_certificate),
            ("GET|PUT", f"{zone}/rulesets/phases/(?P<phase>[^/]+)/entrypoint", self.entrypoint),
        ]

    def answer(self, headers: Mapping[str, str], request: Request) -> tuple[str, Answer]:
        """Return the name of the token and the answer."""
        path = request["path"]
        grant = tokens.authorize(self.known(), headers, path, request["client"])
        found = [(method, act, re.fullmatch(pattern, path)) for method, pattern, act in self.routes]
        matching = [(method, act, match) for method, act, match in found if match]
        if not matching:
            raise unroutable(path)
        for method, act, match in matching:
            if request.method in method.split("|"):
                named = match.groupdict()
                if "zone" in named:
                    named["zone"] = self.zone_of(grant, named["zone"], path)
                with self.lock:
                    return grant.name, act(grant=grant, request=request, **named)
        raise Refused(405, 10405, "Method not allowed for this authentication scheme")

    def zone_of(self, grant: Grant, zone_id: str, path: str) -> str:
        """Return the name of a zone; raise an error when it does not exist or the token has no access to it."""
        name = self.zones.name(zone_id)
        if name is None:
            raise unroutable(path)
        if not grant.sees(name):
            raise unauthorized()
        return name

    def verify(self, grant: Grant, **_more: Any) -> Answer:
        """Return whether a token is valid, without its permissions."""
        return {"result": {"id": identity(grant.name), "status": grant.status}}

    def list_zones(self, grant: Grant, request: Request) -> Answer:
        """Return the zones for which a token has any permission."""
        every = [*self.zones.others, *(self.zones.show(name) for name in self.zones.plans)]
        shown = [zone for zone in every if grant.sees(zone["name"]) and grant.permissions]
        if "type" not in request["query"]:
            shown = [zone for zone in shown if zone["type"] != "internal"]
        return page(shown, request["query"], ("name", "status"), 50)

    def show_zone(self, grant: Grant, zone: str, **_more: Any) -> Answer:
        """Return one zone."""
        require(grant, tokens.ZONE_READ)
        return {"result": self.zones.show(zone)}

    def list_records(self, grant: Grant, request: Request, zone: str) -> Answer:
        """Return records, sorted by name."""
        require(grant, tokens.DNS_READ)
        rows = sorted(
            self.zones.records(zone).values(), key=lambda record: (record["name"], record["type"], record["id"])
        )
        return page(rows, request["query"], ("name", "type", "content"), LARGEST_PAGE)

    def usage(self, grant: Grant, zone: str, **_more: Any) -> Answer:
        """Return the number of records that a zone has and may have."""
        require(grant, tokens.DNS_READ)
        return {"result": {"record_quota": self.zones.quota(zone), "record_usage": len(self.zones.records(zone))}}

    def show_record(self, grant: Grant, zone: str, record: str, **_more: Any) -> Answer:
        """Return one record."""
        require(grant, tokens.DNS_READ)
        if record not in self.zones.records(zone):
            raise Refused(404, 81044, "Record does not exist.")
        return {"result": self.zones.records(zone)[record]}

    def one(self, kind: str) -> Callable[..., Answer]:
        """Return the handler for a change of one record, which is a batch of one."""

        def act(grant: Grant, request: Request, zone: str, record: str = "") -> Answer:
            require(grant, tokens.DNS_WRITE)
            entry = {**(request["body"] or {}), **({"id": record} if record else {})}
            done = self.zones.batch(zone, {kind: [entry]})[kind][0]
            return {"result": {"id": record} if kind == "deletes" else done}

        return act

    def batch(self, grant: Grant, request: Request, zone: str) -> Answer:
        """Apply many changes in one transaction."""
        require(grant, tokens.DNS_WRITE)
        return {"result": self.zones.batch(zone, request["body"] or {})}

    def show_setting(self, grant: Grant, zone: str, setting: str, **_more: Any) -> Answer:
        """Return one setting."""
        require(grant, tokens.SETTINGS_READ)
        return {"result": self.zones.setting(zone, setting)}

    def change_setting(self, grant: Grant, request: Request, zone: str, setting: str) -> Answer:
        """Change one setting."""
        require(grant, tokens.SETTINGS_WRITE)
        return {"result": self.zones.change_setting(zone, setting, (request["body"] or {}).get("value"))}

    def dnssec(self, grant: Grant, request: Request, zone: str) -> Answer:
        """Return or change DNSSEC; it stays pending until the registrar has the DS record."""
        require(grant, tokens.DNS_WRITE if request.method == "PATCH" else tokens.DNS_READ)
        if request.method == "PATCH":
            wanted = (request["body"] or {}).get("status")
            if wanted not in ("active", "disabled"):
                raise Refused(400, 1004, "Invalid DNSSEC status.")
            # The registrar still has the DS record of an active zone.
            signed = self.zones.state[zone]["dnssec"] in ("active", "pending-disabled")
            unsigned = "pending-disabled" if signed else "disabled"
            self.zones.change(zone, "dnssec", "pending" if wanted == "active" else unsigned)
        status = self.zones.state[zone]["dnssec"]
        record = {"ds": None if status == "disabled" else f"{zone}. 3600 IN DS 2371 13 2 {'ab' * 32}"}
        return {"result": {"status": status, **record}}

    def origin_pulls(self, grant: Grant, request: Request, zone: str) -> Answer:
        """Return or change authenticated origin pulls of the zone."""
        require(grant, tokens.TLS_WRITE if request.method == "PUT" else tokens.TLS_READ)
        if request.method == "PUT":
            self.zones.change(zone, "origin_pulls", bool((request["body"] or {}).get("enabled")))
        return {"result": {"enabled": self.zones.state[zone]["origin_pulls"]}}

    def certificates(self, grant: Grant, request: Request, zone: str) -> Answer:
        """List the zone's own client certificates, or add one."""
        require(grant, tokens.TLS_WRITE if request.method == "POST" else tokens.TLS_READ)
        known = self.zones.state[zone]["certificates"]
        if request.method == "GET":
            return {"result": known}
        body = request["body"] or {}
        if not body.get("certificate") or not body.get("private_key"):
            raise Refused(400, 1407, "certificate and private_key are required.")
        new = {"id": identity(body["certificate"]), "status": "active", "expires_on": "2099-01-01T00:00:00Z"}
        self.zones.change(zone, "certificates", [*known, new])
        return {"result": new}

    def no_certificate(self, grant: Grant, **_more: Any) -> Answer:
        """Refuse to remove a certificate."""
        require(grant, tokens.TLS_WRITE)
        raise Refused(404, 1406, "Failed to get requested certificate. Please check certificate id.")

    def entrypoint(self, grant: Grant, request: Request, zone: str, phase: str) -> Answer:
        """Return or replace the rules of a phase."""
        group = tokens.PHASES.get(phase, "none")
        require(grant, f"{group} {'Write' if request.method == 'PUT' else 'Read'}")
        every = self.zones.state[zone]["rulesets"]
        if request.method == "PUT":
            contract = self.zones.state[zone]["contract"]
            new = rulesets.replaced(phase, every.get(phase), request["body"], self.zones.plans[zone], contract)
            if rulesets.is_dry_run(request["query"]):
                return {"result": None}
            self.zones.change(zone, "rulesets", {**every, phase: new})
        return {"result": rulesets.show(phase, self.zones.state[zone]["rulesets"].get(phase))}

    def analytics(self, grant: Grant, **_more: Any) -> Answer:
        """Return the analytics of a zone; GraphQL has its own envelope."""
        if not grant.may(tokens.ANALYTICS_READ):
            error = {"message": "not authorized for that account", "path": None, "extensions": {"code": "authz"}}
            return {"data": None, "errors": [error]}
        sums = {"requests": 1200, "bytes": 3400000, "cachedRequests": 900, "threats": 7}
        day = {"dimensions": {"date": "2026-01-01"}, "sum": sums, "uniq": {"uniques": 42}}
        return {"data": {"viewer": {"zones": [{"httpRequests1dGroups": [day]}]}}, "errors": None}


def require(grant: Grant, permission: str) -> None:
    """Raise an error for a token that lacks a permission."""
    if not grant.may(permission):
        raise unauthorized()


def page(rows: list[Answer], query: Mapping[str, str], filters: tuple[str, ...], largest: int) -> Answer:
    """Return one page of a list, filtered by the query."""
    kept = [row for row in rows if all(str(row.get(key)) == query[key] for key in filters if key in query)]
    size, number = min(int(query.get("per_page", 100)), largest), int(query.get("page", 1))
    part = kept[(number - 1) * size : number * size]
    info = {"page": number, "per_page": size, "count": len(part), "total_count": len(kept)}
    return {"result": part, "result_info": {**info, "total_pages": -(-len(kept) // size)}}
