# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check the permissions of a token by calls that cannot change anything.

To list its own permissions, a token needs one more permission. Therefore each permission is tested by a call: the call
reads, or it changes an object that does not exist. Cloudflare checks the permission before it looks for the object.
"""

from __future__ import annotations

import re
import time
import typing as t
from collections.abc import Callable, Mapping, Sequence

from ansible_collections.vise.platform.plugins.module_utils.cloudflare.client import (
    ApiError,
    Forbidden,
    Refusal,
    Session,
    Zone,
)
from ansible_collections.vise.platform.plugins.module_utils.cloudflare.rules import PHASES

UNKNOWN_ID = "0" * 32
# No setting accepts this value.
INVALID = "impossible"
ANALYTICS = "Zone / Analytics / Read"
# The message of the analytics API for a missing permission, if the answer has no code.
DENIED = re.compile(r"not authorized|unauthorized|authorization denied|does not have access", re.IGNORECASE)


def read_zone(session: Session, zone: Zone, name: str) -> None:
    """Read the zone."""
    session.call_with_retry(name, session.api.zones.with_raw_response.get, zone_id=zone.id)


def read_records(session: Session, zone: Zone, name: str) -> None:
    """Read one record."""
    session.call_with_retry(name, session.api.dns.records.with_raw_response.list, zone_id=zone.id, per_page=1)


def remove_unknown_record(session: Session, zone: Zone, name: str) -> None:
    """Remove a record that does not exist."""
    call = session.api.dns.records.with_raw_response.batch
    session.call_with_retry(name, call, zone_id=zone.id, deletes=[{"id": UNKNOWN_ID}])


def set_invalid_setting(session: Session, zone: Zone, name: str) -> None:
    """Set a setting to an invalid value."""
    call = session.api.zones.settings.with_raw_response.edit
    session.call_with_retry(name, call, zone_id=zone.id, setting_id="ssl", value=INVALID)


def remove_unknown_certificate(session: Session, zone: Zone, name: str) -> None:
    """Remove a certificate that does not exist."""
    call = session.api.origin_tls_client_auth.zone_certificates.with_raw_response.delete
    session.call_with_retry(name, call, zone_id=zone.id, certificate_id=UNKNOWN_ID)


def write_invalid_rules(phase: str) -> Callable[[Session, Zone, str], None]:
    """Return a function that sends a text instead of the list of rules of a phase."""

    def probe(session: Session, zone: Zone, name: str) -> None:
        call = session.api.rulesets.phases.with_raw_response.update
        # The call changes nothing for two reasons: it is a dry run, and the text is not a list.
        body = {"rules": INVALID}
        session.call_with_retry(name, call, ruleset_phase=phase, zone_id=zone.id, dry_run=True, extra_body=body)

    return probe


def read_analytics(session: Session, zone: Zone, name: str) -> None:
    """Read the analytics of today; a day that the plan of the zone does not cover is an error."""
    query_analytics(session, zone, name, time.strftime("%Y-%m-%d", time.gmtime()))


def query_analytics(session: Session, zone: Zone, name: str, since: str) -> list[dict[str, t.Any]]:
    """Return the figures of each day since a date, newest first; GraphQL reports errors with status 200."""
    query = (
        "query($zone: String!, $since: Date!) { viewer { zones(filter: {zoneTag: $zone}) { "
        "httpRequests1dGroups(limit: 31, filter: {date_geq: $since}, orderBy: [date_DESC]) { dimensions { date } "
        "sum { requests bytes cachedRequests threats } uniq { uniques } } } } }"
    )
    body = {"query": query, "variables": {"zone": zone.id, "since": since}}
    answer = session.call_with_retry(name, session.post, path="/graphql", body=body)
    if answer.get("errors"):
        text = f"Cloudflare: {'; '.join(str(error.get('message')) for error in answer['errors'])}"
        codes = [(error.get("extensions") or {}).get("code") for error in answer["errors"]]
        if "authz" in codes or DENIED.search(text):
            raise Forbidden(f"{text}; the token needs the permission {name}")
        raise ApiError(text)
    zones = answer["data"]["viewer"]["zones"]
    return t.cast("list[dict[str, t.Any]]", zones[0]["httpRequests1dGroups"] if zones else [])


# The key is the name of the permission in Cloudflare's dashboard.
PROBES: Mapping[str, Callable[[Session, Zone, str], t.Any]] = {
    "Zone / Zone / Read": read_zone,
    "Zone / DNS / Read": read_records,
    "Zone / DNS / Edit": remove_unknown_record,
    "Zone / Zone Settings / Edit": set_invalid_setting,
    "Zone / SSL and Certificates / Edit": remove_unknown_certificate,
    **{f"{group} / Edit": write_invalid_rules(phase) for phase, group in PHASES.items()},
    ANALYTICS: read_analytics,
}


class PermissionsMissing(ApiError):
    """The token lacks permissions; `names` has all of them."""

    def __init__(self, names: list[str], page: str) -> None:
        super().__init__(f"the token lacks {', '.join(names)}; add this to the token at Cloudflare ({page})")
        self.names = names


def require(session: Session, zone: Zone, names: Sequence[str]) -> None:
    """Raise an error that names all permissions that the token lacks for a zone."""
    missing = missing_permissions(session, zone, names)
    if missing:
        raise PermissionsMissing(missing, session.token_page)


def missing_permissions(session: Session, zone: Zone, names: Sequence[str]) -> list[str]:
    """Return the permissions that a token lacks for a zone."""
    missing = []
    for name in dict.fromkeys(names):
        try:
            PROBES[name](session, zone, name)
        except Forbidden:
            missing.append(name)
        except Refusal:
            # The token has the permission; only the request is invalid.
            continue
    return missing
