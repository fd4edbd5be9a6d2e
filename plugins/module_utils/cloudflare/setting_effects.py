# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Find settings that Cloudflare would accept, but that would have no effect. Pure except for the calls at the end."""

from __future__ import annotations

import datetime
import typing as t
from collections.abc import Callable, Iterator, Mapping, Sequence

from ansible_collections.vise.platform.plugins.module_utils.cloudflare import plans
from ansible_collections.vise.platform.plugins.module_utils.cloudflare.client import Json, Refusal, Session, Zone

SETTINGS_READ = "Zone / Zone Settings / Read"
TLS_READ = "Zone / SSL and Certificates / Read"
OWN_PULLS, SHARED_PULLS = "authenticated_origin_pulls", "authenticated_origin_pulls_global"
# Settings of HTTPS connections of visitors, each with the test whether the wanted value needs HTTPS.
NEED_HTTPS: Mapping[str, Callable[[t.Any], bool]] = {
    "minimum_tls": bool,
    "http3": bool,
    "always_use_https": bool,
    "hsts": lambda header: header["max_age"] > 0,
}
# Settings of HTTPS connections to the origin.
NEED_ORIGIN_HTTPS = (OWN_PULLS, SHARED_PULLS)
# The DNS of such a zone is not at Cloudflare.
PARTIAL = "partial"


class Facts(t.NamedTuple):
    """What the effect of the wanted settings depends on; None if no wanted setting depends on it."""

    # The wanted mode, or the current one if none is wanted.
    ssl: str | None = None
    # Whether Cloudflare may change this mode by itself.
    automatic: bool | None = None
    tls_1_3: bool | None = None
    # Whether the zone has an active client certificate of its own.
    certificate: bool | None = None


def problems(wanted: Mapping[str, t.Any], facts: Facts, zone: Zone) -> Iterator[str]:
    """Yield the settings that would have no effect, each with the reason and the remedy."""
    if facts.ssl == "off":
        names = [name for name, needs in NEED_HTTPS.items() if name in wanted and needs(wanted[name])]
        yield from (f"setting {name}: no effect, because ssl is off: visitors have no HTTPS; set ssl" for name in names)
    if facts.ssl in ("off", "flexible"):
        names = [name for name in NEED_ORIGIN_HTTPS if wanted.get(name)]
        for name in names:
            yield f"setting {name}: no effect, because ssl is {facts.ssl}: the origin has no HTTPS; set ssl to strict"
    if facts.tls_1_3 is False:
        yield "setting minimum_tls: TLS 1.3 is off in the zone, so no visitor could connect; switch it on, or allow 1.2"
    if facts.certificate is False:
        yield (
            f"setting {OWN_PULLS}: no effect, because the zone has no active client certificate; upload one (SSL/TLS, "
            f"Origin Server), or use {SHARED_PULLS}, the certificate that all customers of Cloudflare share"
        )
    if wanted.get("dnssec") and zone.type == PARTIAL:
        yield "setting dnssec: no effect, because the DNS of the zone is not at Cloudflare (partial setup)"


def fixed_problems(changes: Mapping[str, t.Any], fixed: t.Container[str], zone: Zone) -> Iterator[str]:
    """Yield the settings that must change, but that Cloudflare does not let this zone change."""
    limits = plans.find_limits(zone.plan)
    plan = f"its {limits.plan} plan" if limits else "its plan"
    for name in changes:
        if name in fixed:
            yield f"setting {name}: Cloudflare does not let this zone change it (editable: false); check {plan}"


def warnings(wanted: Sequence[str], facts: Facts, zone: Zone) -> Iterator[str]:
    """Yield what limits the effect of wanted settings and phases without being an error."""
    if zone.paused and set(wanted) - {"dnssec"}:
        yield "the zone is paused at Cloudflare: its settings and rules have no effect until you resume it"
    if facts.automatic:
        yield (
            f"setting ssl: Cloudflare may change {facts.ssl} to a stricter mode, because Automatic SSL/TLS is on; "
            "choose Custom SSL/TLS at Cloudflare (SSL/TLS, Overview), or set ssl to strict"
        )


def read_facts(session: Session, zone: Zone, wanted: Mapping[str, t.Any]) -> Facts:
    """Read what the effect of the wanted settings depends on."""
    https = any(name in wanted and needs(wanted[name]) for name, needs in NEED_HTTPS.items())
    ssl = wanted.get("ssl")
    if ssl is None and (https or any(wanted.get(name) for name in NEED_ORIGIN_HTTPS)):
        ssl = read_setting(session, zone, "ssl")
    automatic = tls_1_3 = certificate = None
    if wanted.get("ssl") not in (None, "strict"):
        automatic = read_setting(session, zone, "ssl_automatic_mode") == "auto"
    if wanted.get("minimum_tls") == "1.3":
        tls_1_3 = read_setting(session, zone, "tls_1_3") != "off"
    if wanted.get(OWN_PULLS):
        certificate = has_certificate(read_certificates(session, zone), datetime.datetime.now(datetime.UTC))
    return Facts(ssl, automatic, tls_1_3, certificate)


def has_certificate(rows: list[Json], now: datetime.datetime) -> bool:
    """Return whether one of the certificates is active and not expired."""
    for row in rows:
        expires = str(row.get("expires_on") or "")
        expired = bool(expires) and datetime.datetime.fromisoformat(expires) <= now
        if row.get("status") == "active" and not expired:
            return True
    return False


def read_setting(session: Session, zone: Zone, name: str) -> t.Any:
    """Return the current value of a setting; None if the zone does not have the setting."""
    call = session.api.zones.settings.with_raw_response.get
    try:
        return session.call_with_retry(SETTINGS_READ, call, zone_id=zone.id, setting_id=name)["result"]["value"]
    except Refusal:
        return None


def read_certificates(session: Session, zone: Zone) -> list[Json]:
    """Return the client certificates that were uploaded to the zone."""
    call = session.api.origin_tls_client_auth.zone_certificates.with_raw_response.list
    return session.call_with_retry(TLS_READ, call, zone_id=zone.id)["result"] or []
