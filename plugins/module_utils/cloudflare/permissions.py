# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Find out what a token may do, by calls that cannot change anything.

A token does not know its own permissions unless it has one more, so each is tried: by reading, or by a change of
something that does not exist. Who may not is refused before that is noticed.
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

NOBODY = "0" * 32
# What no setting can be.
IMPOSSIBLE = "impossible"
ANALYTICS = "Zone / Analytics / Read"
# How the analytics say that a token may not, where they give no code.
DENIED = re.compile(r"not authorized|unauthorized|authorization denied|does not have access", re.IGNORECASE)


def read_zone(session: Session, zone: Zone, name: str) -> None:
    """Read the zone."""
    session.patiently(name, session.api.zones.with_raw_response.get, zone_id=zone.id)


def read_records(session: Session, zone: Zone, name: str) -> None:
    """Read one record."""
    session.patiently(name, session.api.dns.records.with_raw_response.list, zone_id=zone.id, per_page=1)


def remove_no_record(session: Session, zone: Zone, name: str) -> None:
    """Remove a record that does not exist."""
    call = session.api.dns.records.with_raw_response.batch
    session.patiently(name, call, zone_id=zone.id, deletes=[{"id": NOBODY}])


def set_nothing(session: Session, zone: Zone, name: str) -> None:
    """Give a setting a value that it cannot have."""
    call = session.api.zones.settings.with_raw_response.edit
    session.patiently(name, call, zone_id=zone.id, setting_id="ssl", value=IMPOSSIBLE)


def remove_no_certificate(session: Session, zone: Zone, name: str) -> None:
    """Remove a certificate that does not exist."""
    call = session.api.origin_tls_client_auth.zone_certificates.with_raw_response.delete
    session.patiently(name, call, zone_id=zone.id, certificate_id=NOBODY)


def write_no_rules(phase: str) -> Callable[[Session, Zone, str], None]:
    """Return a call that gives a phase something that is no list of rules."""

    def probe(session: Session, zone: Zone, name: str) -> None:
        call = session.api.rulesets.phases.with_raw_response.update
        # Twice harmless: it is only a trial, and rules are no text.
        body = {"rules": IMPOSSIBLE}
        session.patiently(name, call, ruleset_phase=phase, zone_id=zone.id, dry_run=True, extra_body=body)

    return probe


def read_analytics(session: Session, zone: Zone, name: str) -> None:
    """Read the analytics of today; older days than a plan shows are an error."""
    analytics(session, zone, name, time.strftime("%Y-%m-%d", time.gmtime()))


def analytics(session: Session, zone: Zone, name: str, since: str) -> list[dict[str, t.Any]]:
    """Return the figures of each day since then, newest first; GraphQL answers 200 with an error inside."""
    query = (
        "query($zone: String!, $since: Date!) { viewer { zones(filter: {zoneTag: $zone}) { "
        "httpRequests1dGroups(limit: 31, filter: {date_geq: $since}, orderBy: [date_DESC]) { dimensions { date } "
        "sum { requests bytes cachedRequests threats } uniq { uniques } } } } }"
    )
    body = {"query": query, "variables": {"zone": zone.id, "since": since}}
    answer = session.patiently(name, session.post, path="/graphql", body=body)
    if answer.get("errors"):
        text = f"Cloudflare: {'; '.join(str(error.get('message')) for error in answer['errors'])}"
        codes = [(error.get("extensions") or {}).get("code") for error in answer["errors"]]
        if "authz" in codes or DENIED.search(text):
            raise Forbidden(f"{text}; it needs the permission {name}")
        raise ApiError(text)
    zones = answer["data"]["viewer"]["zones"]
    return t.cast("list[dict[str, t.Any]]", zones[0]["httpRequests1dGroups"] if zones else [])


# By the names that Cloudflare's pages give them.
PROBES: Mapping[str, Callable[[Session, Zone, str], t.Any]] = {
    "Zone / Zone / Read": read_zone,
    "Zone / DNS / Read": read_records,
    "Zone / DNS / Edit": remove_no_record,
    "Zone / Zone Settings / Edit": set_nothing,
    "Zone / SSL and Certificates / Edit": remove_no_certificate,
    **{f"{group} / Edit": write_no_rules(phase) for phase, group in PHASES.items()},
    ANALYTICS: read_analytics,
}


def missing(session: Session, zone: Zone, names: Sequence[str]) -> list[str]:
    """Return the permissions that a token lacks for a zone."""
    found = []
    for name in dict.fromkeys(names):
        try:
            PROBES[name](session, zone, name)
        except Forbidden:
            found.append(name)
        except Refusal:
            # It was let in, and refused for what it asked.
            continue
    return found
