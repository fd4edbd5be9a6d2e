# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Convert, compare and apply the settings of a zone. Pure except for the calls at the end."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping

from ansible_collections.vise.platform.plugins.module_utils.cloudflare.client import Json, Session, Zone

SETTINGS_READ, SETTINGS_EDIT = "Zone / Zone Settings / Read", "Zone / Zone Settings / Edit"
TLS_READ, TLS_EDIT = "Zone / SSL and Certificates / Read", "Zone / SSL and Certificates / Edit"
DNS_READ, DNS_EDIT = "Zone / DNS / Read", "Zone / DNS / Edit"

# The names of options in the API.
NAMES: Mapping[str, str] = {
    "ssl": "ssl",
    "minimum_tls": "min_tls_version",
    "http3": "http3",
    "always_use_https": "always_use_https",
    "hsts": "security_header",
    "authenticated_origin_pulls_global": "tls_client_auth",
}
# Cloudflare offers no longer time.
LONGEST_HSTS = 31536000
HSTS = "strict_transport_security"


def to_api(option: str, value: t.Any) -> t.Any:
    """Return a value of an option in the form of the API."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if option == "hsts":
        header = {key: part for key, part in value.items() if part is not None}
        return {HSTS: {**header, "enabled": header.get("max_age", 0) > 0}}
    return value


def from_api(option: str, value: t.Any, wanted: t.Any) -> t.Any:
    """Return a value of the API in the form of the option; of the HSTS header, only the wanted parts."""
    if option == "hsts":
        header = (value or {}).get(HSTS) or {}
        shown = {**header, "max_age": header.get("max_age", 0) if header.get("enabled") else 0}
        return {key: shown.get(key) for key in wanted}
    return value == "on" if isinstance(wanted, bool) else value


def from_options(options: Mapping[str, t.Any]) -> Json:
    """Return the settings that have a value; the others are not managed."""
    given = {name: value for name, value in options.items() if value is not None}
    if "hsts" in given:
        given["hsts"] = {key: value for key, value in given["hsts"].items() if value is not None}
    return given


def problems(wanted: Mapping[str, t.Any]) -> list[str]:
    """Return the problems of wanted settings."""
    header = wanted.get("hsts") or {}
    age = header.get("max_age", 0)
    found = []
    if not 0 <= age <= LONGEST_HSTS:
        found.append(f"hsts: max_age {age} is not between 0 and {LONGEST_HSTS}, one year")
    if header.get("preload") and not (age >= LONGEST_HSTS and header.get("include_subdomains")):
        found.append(f"hsts: browsers accept preload only with include_subdomains and a max_age of {LONGEST_HSTS}")
    if header.get("include_subdomains") and not age:
        found.append("hsts: include_subdomains has no effect with max_age 0, which disables the header; remove it")
    return found


def permissions(wanted: Mapping[str, t.Any]) -> list[str]:
    """Return the permissions that a change of the wanted settings needs."""
    special = {"authenticated_origin_pulls": TLS_EDIT, "dnssec": DNS_EDIT}
    return [special.get(name, SETTINGS_EDIT) for name in wanted]


def plan(current: Mapping[str, t.Any], wanted: Mapping[str, t.Any]) -> Json:
    """Return the settings that must change, with their new values."""
    return {name: value for name, value in wanted.items() if current.get(name) != value}


def describe_changes(current: Mapping[str, t.Any], changes: Mapping[str, t.Any]) -> list[str]:
    """Return the settings that change for an operator, one per line."""
    return [f"~ setting {name}: {current.get(name)} -> {value}" for name, value in changes.items()]


def diff(current: Mapping[str, t.Any], changes: Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return the settings that change, before and after."""
    header = "zone settings"
    before = {name: current.get(name) for name in changes}
    return {"before_header": header, "after_header": header, "before": before, "after": dict(changes)}


def read(session: Session, zone: Zone, wanted: Mapping[str, t.Any]) -> tuple[Json, str, set[str]]:
    """Return the current values of the wanted settings, the DS record, and the settings that cannot be changed."""
    current: Json = {}
    fixed: set[str] = set()
    get = session.api.zones.settings.with_raw_response.get
    for name in wanted.keys() & NAMES.keys():
        answer = session.call_with_retry(SETTINGS_READ, get, zone_id=zone.id, setting_id=NAMES[name])
        current[name] = from_api(name, answer["result"]["value"], wanted[name])
        if answer["result"].get("editable") is False:
            fixed.add(name)
    if "authenticated_origin_pulls" in wanted:
        pulls = session.api.origin_tls_client_auth.settings.with_raw_response.get
        current["authenticated_origin_pulls"] = bool(
            session.call_with_retry(TLS_READ, pulls, zone_id=zone.id)["result"].get("enabled")
        )
    if "dnssec" not in wanted:
        return current, "", fixed
    signing = session.call_with_retry(DNS_READ, session.api.dns.dnssec.with_raw_response.get, zone_id=zone.id)["result"]
    current["dnssec"] = is_signed(signing)
    return current, ds_of(signing) if wanted["dnssec"] else "", fixed


def is_signed(signing: Mapping[str, t.Any]) -> bool:
    """Return whether a zone is signed; DNSSEC is pending until the registrar has the DS record."""
    return signing.get("status") in ("active", "pending")


def ds_of(signing: Mapping[str, t.Any]) -> str:
    """Return the DS record for the registrar; empty without DNSSEC, for which Cloudflare can still return one."""
    return (signing.get("ds") or "") if is_signed(signing) else ""


def apply(session: Session, zone: Zone, name: str, value: t.Any) -> Json:
    """Change one setting; the call can be repeated, so it is retried if there is no answer."""
    api = session.api
    if name == "dnssec":
        status = "active" if value else "disabled"
        return session.call_with_retry(DNS_EDIT, api.dns.dnssec.with_raw_response.edit, zone_id=zone.id, status=status)
    if name == "authenticated_origin_pulls":
        call = api.origin_tls_client_auth.settings.with_raw_response.update
        return session.call_with_retry(TLS_EDIT, call, zone_id=zone.id, enabled=value)
    edit = api.zones.settings.with_raw_response.edit
    new = to_api(name, complete_header(session, zone, value) if name == "hsts" else value)
    return session.call_with_retry(SETTINGS_EDIT, edit, zone_id=zone.id, setting_id=NAMES[name], value=new)


def complete_header(session: Session, zone: Zone, wanted: Mapping[str, t.Any]) -> Json:
    """Return the wanted parts of the HSTS header with its other parts, which a request without them could reset."""
    get = session.api.zones.settings.with_raw_response.get
    answer = session.call_with_retry(SETTINGS_READ, get, zone_id=zone.id, setting_id=NAMES["hsts"])
    return {**((answer["result"]["value"] or {}).get(HSTS) or {}), **wanted}
