# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Settings of a zone as users and as the API write them, and what differs. Pure but for the calls at the end."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping

from ansible_collections.vise.platform.plugins.module_utils.cloudflare.client import Json, Session, Zone

SETTINGS_READ, SETTINGS_EDIT = "Zone / Zone Settings / Read", "Zone / Zone Settings / Edit"
TLS_READ, TLS_EDIT = "Zone / SSL and Certificates / Read", "Zone / SSL and Certificates / Edit"
DNS_READ, DNS_EDIT = "Zone / DNS / Read", "Zone / DNS / Edit"

# How the API calls what the options name.
NAMES: Mapping[str, str] = {
    "ssl": "ssl",
    "minimum_tls": "min_tls_version",
    "http3": "http3",
    "always_use_https": "always_use_https",
    "hsts": "security_header",
}
HSTS = "strict_transport_security"


def to_api(option: str, value: t.Any) -> t.Any:
    """Return a value as the API has it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if option == "hsts":
        header = {key: part for key, part in value.items() if part is not None}
        return {HSTS: {**header, "enabled": header.get("max_age", 0) > 0}}
    return value


def from_api(option: str, value: t.Any, wanted: t.Any) -> t.Any:
    """Return a value as the options have it; of a header, the parts that are wanted."""
    if option == "hsts":
        header = (value or {}).get(HSTS) or {}
        shown = {**header, "max_age": header.get("max_age", 0) if header.get("enabled") else 0}
        return {key: shown.get(key) for key in wanted}
    return value == "on" if isinstance(wanted, bool) else value


def wanted_of(params: Mapping[str, t.Any]) -> Json:
    """Return the settings that are given; others are left alone."""
    names = (*NAMES, "authenticated_origin_pulls", "dnssec")
    given = {name: params[name] for name in names if params.get(name) is not None}
    if "hsts" in given:
        given["hsts"] = {key: value for key, value in given["hsts"].items() if value is not None}
    return given


def problems(wanted: Mapping[str, t.Any]) -> list[str]:
    """Return what would not work."""
    header = wanted.get("hsts") or {}
    if header.get("preload") and not (header.get("max_age", 0) >= 31536000 and header.get("include_subdomains")):
        return ["hsts: browsers preload a domain only with include_subdomains and a max_age of at least 31536000"]
    return []


def plan(found: Mapping[str, t.Any], wanted: Mapping[str, t.Any]) -> Json:
    """Return the settings that have to be changed."""
    return {name: value for name, value in wanted.items() if found.get(name) != value}


def diff(found: Mapping[str, t.Any], changes: Mapping[str, t.Any]) -> dict[str, Json]:
    """Return the settings that change, before and after."""
    return {"before": {name: found.get(name) for name in changes}, "after": dict(changes)}


def find(session: Session, zone: Zone, wanted: Mapping[str, t.Any]) -> tuple[Json, str]:
    """Return how the wanted settings are, and the record that the registrar needs for DNSSEC."""
    found: Json = {}
    get = session.api.zones.settings.with_raw_response.get
    for name in wanted.keys() & NAMES.keys():
        answer = session.patiently(SETTINGS_READ, get, zone_id=zone.id, setting_id=NAMES[name])
        found[name] = from_api(name, answer["result"]["value"], wanted[name])
    if "authenticated_origin_pulls" in wanted:
        pulls = session.api.origin_tls_client_auth.settings.with_raw_response.get
        found["authenticated_origin_pulls"] = bool(
            session.patiently(TLS_READ, pulls, zone_id=zone.id)["result"].get("enabled")
        )
    if "dnssec" not in wanted:
        return found, ""
    signing = session.patiently(DNS_READ, session.api.dns.dnssec.with_raw_response.get, zone_id=zone.id)["result"]
    # It is pending until the registrar has the record.
    found["dnssec"] = signing.get("status") in ("active", "pending")
    return found, signing.get("ds") or ""


def apply(session: Session, zone: Zone, name: str, value: t.Any) -> Json:
    """Change one setting; setting it twice does no harm, so that a call without an answer is made again."""
    api = session.api
    if name == "dnssec":
        status = "active" if value else "disabled"
        return session.patiently(DNS_EDIT, api.dns.dnssec.with_raw_response.edit, zone_id=zone.id, status=status)
    if name == "authenticated_origin_pulls":
        call = api.origin_tls_client_auth.settings.with_raw_response.update
        return session.patiently(TLS_EDIT, call, zone_id=zone.id, enabled=value)
    edit = api.zones.settings.with_raw_response.edit
    return session.patiently(SETTINGS_EDIT, edit, zone_id=zone.id, setting_id=NAMES[name], value=to_api(name, value))
