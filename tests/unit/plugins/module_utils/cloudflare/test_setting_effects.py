"""Settings that would have no effect."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.cloudflare import setting_effects
from ansible_collections.vise.platform.plugins.module_utils.cloudflare.client import Zone
from ansible_collections.vise.platform.plugins.module_utils.cloudflare.setting_effects import Facts

ZONE = Zone("1", "example.test", 200)
NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("wanted", "facts", "found"),
    [
        ({"always_use_https": True}, Facts(ssl="off"), ["always_use_https"]),
        ({"always_use_https": False, "hsts": {"max_age": 0}, "http3": False}, Facts(ssl="off"), []),
        ({"hsts": {"max_age": 300}, "http3": True}, Facts(ssl="off"), ["http3", "hsts"]),
        ({"minimum_tls": "1.2"}, Facts(ssl="off"), ["minimum_tls"]),
        ({"minimum_tls": "1.2", "http3": True, "always_use_https": True}, Facts(ssl="flexible"), []),
        ({"authenticated_origin_pulls": True}, Facts(ssl="flexible"), ["authenticated_origin_pulls"]),
        ({"authenticated_origin_pulls_global": True}, Facts(ssl="off"), ["authenticated_origin_pulls_global"]),
        ({"authenticated_origin_pulls_global": False}, Facts(ssl="off"), []),
        ({"authenticated_origin_pulls": True}, Facts(ssl="full", certificate=True), []),
        ({"authenticated_origin_pulls": True}, Facts(ssl="full", certificate=False), ["authenticated_origin_pulls"]),
        ({"minimum_tls": "1.3"}, Facts(ssl="strict", tls_1_3=False), ["minimum_tls"]),
        ({"minimum_tls": "1.3"}, Facts(ssl="strict", tls_1_3=True), []),
    ],
)
def test_setting_whose_effect_depends_on_another_is_named(
    wanted: dict[str, Any], facts: Facts, found: list[str]
) -> None:
    texts = list(setting_effects.problems(wanted, facts, ZONE))
    assert [text.split(":")[0].removeprefix("setting ") for text in texts] == found


@pytest.mark.parametrize(("kind", "found"), [("full", 0), ("secondary", 0), ("partial", 1)])
def test_zone_whose_dns_is_elsewhere_cannot_be_signed(kind: str, found: int) -> None:
    zone = ZONE._replace(type=kind)
    assert len(list(setting_effects.problems({"dnssec": True}, Facts(), zone))) == found
    assert list(setting_effects.problems({"dnssec": False}, Facts(), zone)) == []


@pytest.mark.parametrize(
    ("row", "usable"),
    [
        ({"status": "active", "expires_on": "2026-01-02T00:00:00Z"}, True),
        ({"status": "active"}, True),
        ({"status": "active", "expires_on": "2025-12-31T00:00:00Z"}, False),
        ({"status": "pending_deployment", "expires_on": "2026-01-02T00:00:00Z"}, False),
        ({"status": "deleted", "expires_on": "2026-01-02T00:00:00Z"}, False),
    ],
)
def test_only_an_active_certificate_that_has_not_expired_is_presented(row: dict[str, Any], usable: bool) -> None:
    assert setting_effects.has_certificate([row], NOW) is usable


def test_zone_without_certificates_has_none() -> None:
    assert not setting_effects.has_certificate([], NOW)


@pytest.mark.parametrize(
    ("wanted", "paused", "warned"),
    [
        (["ssl"], True, True),
        (["http_ratelimit"], True, True),
        (["dnssec"], True, False),
        (["ssl"], False, False),
        ([], True, False),
    ],
)
def test_paused_zone_is_named(wanted: list[str], paused: bool, warned: bool) -> None:
    texts = list(setting_effects.warnings(wanted, Facts(), ZONE._replace(paused=paused)))
    assert [text.startswith("the zone is paused") for text in texts] == [True] * warned


def test_mode_that_cloudflare_may_change_is_named() -> None:
    (text,) = setting_effects.warnings(["ssl"], Facts(ssl="full", automatic=True), ZONE)
    assert "Automatic SSL/TLS is on" in text


@pytest.mark.parametrize(
    ("zone", "plan"), [(ZONE, "check its Free plan"), (ZONE._replace(plan="platinum"), "check its plan")]
)
def test_setting_that_the_zone_cannot_change_is_named_only_if_it_must_change(zone: Zone, plan: str) -> None:
    (text,) = setting_effects.fixed_problems({"http3": True, "ssl": "strict"}, {"http3", "hsts"}, zone)
    assert text == f"setting http3: Cloudflare does not let this zone change it (editable: false); {plan}"
