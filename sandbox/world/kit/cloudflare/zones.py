"""Store the state of zones: records, settings, rulesets."""

from __future__ import annotations

import copy
import hashlib
import json
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .errors import Refused, invalid
from .records import Record, check_conflicts, record_of

# Records per zone, by plan; a free zone that was created before this date has more.
QUOTAS = {"free": 200, "pro": 3500}
LARGER_SINCE, LARGER_QUOTA = "2024-09-01", 1000
CREATED = "2024-01-01T00:00:00Z"
# Changes per call, by plan. The code of the error is not Cloudflare's.
BATCH_LIMITS = {"free": 200, "pro": 3500}
BATCH_ORDER = ("deletes", "patches", "puts", "posts")
SETTINGS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "ssl": ("full", ("off", "flexible", "full", "strict")),
    "min_tls_version": ("1.0", ("1.0", "1.1", "1.2", "1.3")),
    "tls_1_3": ("on", ("on", "off", "zrt")),
    "http3": ("off", ("on", "off")),
    "always_use_https": ("off", ("on", "off")),
    "automatic_https_rewrites": ("on", ("on", "off")),
    "ssl_automatic_mode": ("auto", ("auto", "custom")),
    # Origin pulls with the certificate that all customers of Cloudflare share.
    "tls_client_auth": ("off", ("on", "off")),
}
LONGEST_HSTS = 31536000
HSTS = {"enabled": False, "max_age": 0, "include_subdomains": False, "preload": False, "nosniff": False}

# Called with the removed and the added records of each change.
Publish = Callable[[str, list[Record], list[Record]], None]


def identity(name: str) -> str:
    """Return the id of a zone, which is the same after each start."""
    return hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()


def new_zone() -> dict[str, Any]:
    """Return the state of a new zone."""
    settings: dict[str, Any] = {name: default for name, (default, _choices) in SETTINGS.items()}
    settings["security_header"] = {"strict_transport_security": dict(HSTS)}
    state = {"records": {}, "settings": settings, "dnssec": "disabled", "origin_pulls": False, "rulesets": {}}
    # Client certificates, settings that the plan does not let change, and rules that a contract allows, by phase.
    return {**state, "certificates": [], "fixed": [], "contract": {}}


class Zones:
    """All zones of the account; a file preserves them over a restart."""

    def __init__(self, plans: dict[str, str], publish: Publish, file: Path | None = None) -> None:
        self.plans = plans
        self.publish = publish
        self.file = file
        known = json.loads(file.read_text()) if file and file.exists() else {}
        # Properties in which a zone differs from a usual one, by name.
        self.about: dict[str, dict[str, Any]] = {}
        # Further zones, such as those of the same name in another account; they have no state.
        self.others: list[dict[str, Any]] = []
        # Records that Cloudflare permits above its documented quota, by zone.
        self.quotas: dict[str, int] = {}
        # The file of an older double may lack keys.
        self.state = {name: {**new_zone(), **known.get(name, {})} for name in plans}

    def save(self) -> None:
        """Write the state to the file."""
        if self.file:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.file.write_text(json.dumps(self.state))

    def name(self, zone_id: str) -> str | None:
        """Return the name of a zone by its id."""
        return next((name for name in self.plans if identity(name) == zone_id), None)

    def show(self, name: str) -> dict[str, Any]:
        """Return a zone in the form of the API."""
        plan = self.plans[name]
        return {
            "id": identity(name),
            "name": name,
            "status": "active",
            "paused": False,
            "type": "full",
            "created_on": CREATED,
            "name_servers": [f"ns.{name}"],
            "account": {"id": identity("account"), "name": "Sandbox"},
            "plan": {"id": identity(plan), "legacy_id": plan, "name": f"{plan.capitalize()} Website"},
            **self.about.get(name, {}),
        }

    def quota(self, zone: str) -> int:
        """Return how many records a zone may have."""
        old = self.plans[zone] == "free" and self.show(zone)["created_on"] < LARGER_SINCE
        return self.quotas.get(zone, LARGER_QUOTA if old else QUOTAS.get(self.plans[zone], QUOTAS["pro"]))

    def records(self, zone: str) -> dict[str, Record]:
        """Return a zone's records by id."""
        found: dict[str, Record] = self.state[zone]["records"]
        return found

    def batch(self, zone: str, body: Mapping[str, Any]) -> dict[str, list[Record]]:
        """Apply all changes, or none."""
        before = self.records(zone)
        wanted = {kind: list(body.get(kind) or ()) for kind in BATCH_ORDER}
        limit = BATCH_LIMITS.get(self.plans[zone], BATCH_LIMITS["pro"])
        if sum(map(len, wanted.values())) > limit:
            raise Refused(400, 9207, f"Batch exceeds the limit of {limit} records.")
        records = copy.deepcopy(before)
        plan = self.plans[zone]
        done = {kind: [apply(records, zone, plan, kind, entry) for entry in wanted[kind]] for kind in BATCH_ORDER}
        if len(records) > max(self.quota(zone), len(before)):
            raise Refused(400, 81045, "Record quota exceeded.")
        removed = [record for key, record in before.items() if records.get(key) != record]
        added = [record for key, record in records.items() if before.get(key) != record]
        self.publish(zone, removed, added)
        self.state[zone]["records"] = records
        self.save()
        return done

    def setting(self, zone: str, name: str) -> dict[str, Any]:
        """Return a setting in the form of the API."""
        settings = self.state[zone]["settings"]
        if name not in settings:
            raise Refused(400, 1006, "Unrecognized zone setting name")
        editable = name not in self.state[zone]["fixed"]
        return {"id": name, "value": settings[name], "editable": editable, "modified_on": None}

    def change_setting(self, zone: str, name: str, value: Any) -> dict[str, Any]:
        """Change a setting."""
        self.setting(zone, name)
        if name in self.state[zone]["fixed"]:
            raise Refused(400, 1015, f"Not allowed to edit setting for {name}")
        if name in SETTINGS and value not in SETTINGS[name][1]:
            raise Refused(400, 1007, f"Invalid value for zone setting {name}")
        if name == "security_header":
            # Parts that the request does not have are reset.
            value = {"strict_transport_security": {**HSTS, **header_of(value)}}
        self.state[zone]["settings"][name] = value
        self.save()
        return self.setting(zone, name)

    def change(self, zone: str, key: str, value: Any) -> None:
        """Change DNSSEC, origin pulls or rulesets."""
        self.state[zone][key] = value
        self.save()


def header_of(value: Any) -> dict[str, Any]:
    """Return the parts of strict transport security in a request."""
    parts = value.get("strict_transport_security") if isinstance(value, dict) else None
    if not isinstance(parts, dict) or not set(parts) <= set(HSTS) or not 0 <= parts.get("max_age", 0) <= LONGEST_HSTS:
        raise Refused(400, 1007, "Invalid value for zone setting security_header")
    return parts


def find(records: dict[str, Record], entry: Mapping[str, Any]) -> Record:
    """Return the record of a batch entry."""
    found = records.get(str(entry.get("id")))
    if found is None:
        raise Refused(404, 81044, "Record does not exist.")
    return found


def find_writable(records: dict[str, Record], entry: Mapping[str, Any]) -> Record:
    """Return the record of a batch entry; another product's record cannot be changed."""
    found = find(records, entry)
    if found.get("meta", {}).get("read_only"):
        raise Refused(400, 1043, "This DNS record is read-only and cannot be changed.")
    return found


def apply(records: dict[str, Record], zone: str, plan: str, kind: str, entry: Mapping[str, Any]) -> Record:
    """Apply one entry of a batch."""
    if kind == "deletes":
        return records.pop(find_writable(records, entry)["id"])
    if kind == "posts":
        record = {"id": secrets.token_hex(16), **record_of(entry, zone, plan)}
    else:
        old = find_writable(records, entry)
        record = {"id": old["id"], **record_of({**old, **entry} if kind == "patches" else entry, zone, plan)}
        if kind == "patches" and record["type"] != old["type"]:
            raise invalid(9004, "The type of a DNS record cannot be changed.")
    check_conflicts(record, [other for other in records.values() if other["id"] != record["id"]], zone)
    records[record["id"]] = record
    return record
