"""Settings of a zone."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from ansible.module_utils import basic
from ansible_collections.vise.platform.plugins.modules import cloudflare_zone

from tests.unit.plugins.cloudflare import FAULTS, Double, faulty, run, running

WANTED: dict[str, Any] = {
    "ssl": "strict",
    "minimum_tls": "1.2",
    "http3": True,
    "always_use_https": True,
    "hsts": {"max_age": 31536000, "include_subdomains": True},
    "authenticated_origin_pulls": True,
    "authenticated_origin_pulls_global": True,
    "dnssec": True,
}
CERTIFICATE = {"id": "1", "status": "active", "expires_on": "2099-01-01T00:00:00Z"}

CHECK: dict[str, Any] = {"_ansible_check_mode": True}


@pytest.fixture
def double() -> Iterator[Double]:
    with running() as one:
        one.zones.state["example.test"]["certificates"] = [CERTIFICATE]
        yield one


def manage(capsys: Any, double: Double, settings: dict[str, Any], **options: Any) -> dict[str, Any]:
    return run(cloudflare_zone, capsys, double, zone="example.test", settings=settings, **options)


def test_all_settings_are_changed_once(capsys: Any, double: Double) -> None:
    first = manage(capsys, double, WANTED)
    assert (first["changed"], first["settings"]) == (True, WANTED)
    assert first["ds"].startswith("example.test. 3600 IN DS 2371 13 2 ")
    state = double.zones.state["example.test"]
    assert {name: state["settings"][name] for name in ("ssl", "min_tls_version", "http3", "always_use_https")} == {
        "ssl": "strict",
        "min_tls_version": "1.2",
        "http3": "on",
        "always_use_https": "on",
    }
    header = state["settings"]["security_header"]["strict_transport_security"]
    assert (header["enabled"], header["max_age"], header["include_subdomains"]) == (True, 31536000, True)
    assert (state["origin_pulls"], state["settings"]["tls_client_auth"], state["dnssec"]) == (True, "on", "pending")
    double.log.clear()
    again = manage(capsys, double, WANTED)
    assert (again["changed"], again["settings"], double.writes()) == (False, {}, [])
    assert again["ds"] == first["ds"]


def test_only_given_settings_are_read_and_only_differences_are_changed(capsys: Any, double: Double) -> None:
    manage(capsys, double, {"ssl": "strict", "http3": True})
    double.log.clear()
    result = manage(capsys, double, {"ssl": "strict", "http3": False}, _ansible_diff=True)
    assert result["settings"] == {"http3": False}
    (diff,) = result["diff"]
    assert (diff["before"], diff["after"]) == ({"http3": True}, {"http3": False})
    assert result["plan"] == ["~ setting http3: True -> False", "0 to add, 1 to change, 0 to remove, 1 as wanted"]
    # The zone, two settings, the check of the permission, the change.
    assert len(double.log) == 5
    assert [line.split()[-2].rsplit("/", 1)[-1] for line in double.writes() if line.endswith("200")] == ["http3"]


def test_check_mode_reports_all_changes_and_makes_none(capsys: Any, double: Double) -> None:
    before = copy.deepcopy(double.zones.state)
    assert manage(capsys, double, WANTED, **CHECK)["settings"] == WANTED
    assert double.zones.state == before


def test_settings_can_be_disabled(capsys: Any, double: Double) -> None:
    manage(capsys, double, WANTED)
    off = {"hsts": {"max_age": 0}, "dnssec": False, "authenticated_origin_pulls": False}
    assert manage(capsys, double, off)["settings"] == off
    assert not manage(capsys, double, off)["changed"]
    state = double.zones.state["example.test"]
    assert not state["settings"]["security_header"]["strict_transport_security"]["enabled"]


def test_parts_of_the_header_that_are_not_given_stay(capsys: Any, double: Double) -> None:
    manage(
        capsys, double, {"hsts": {"max_age": 31536000, "include_subdomains": True, "preload": True, "nosniff": True}}
    )
    assert manage(capsys, double, {"hsts": {"max_age": 86400}})["changed"]
    header = double.zones.state["example.test"]["settings"]["security_header"]["strict_transport_security"]
    assert header == {"enabled": True, "max_age": 86400, "include_subdomains": True, "preload": True, "nosniff": True}
    assert manage(capsys, double, {"hsts": {"max_age": 0}})["changed"]
    header = double.zones.state["example.test"]["settings"]["security_header"]["strict_transport_security"]
    assert (header["enabled"], header["nosniff"]) == (False, True)


def change_zone(monkeypatch: pytest.MonkeyPatch, double: Double, **properties: Any) -> None:
    """Change properties of the zones in the answers of the double."""
    show = double.zones.show
    monkeypatch.setattr(double.zones, "show", lambda name: {**show(name), **properties})


@pytest.mark.parametrize("mode", [{}, CHECK], ids=["run", "check mode"])
@pytest.mark.parametrize(
    ("current", "wanted", "text"),
    [
        ({"ssl": "off"}, {"always_use_https": True}, "setting always_use_https: no effect, because ssl is off"),
        ({"ssl": "off"}, {"hsts": {"max_age": 300}}, "setting hsts: no effect, because ssl is off"),
        ({}, {"ssl": "off", "http3": True}, "setting http3: no effect, because ssl is off"),
        ({"ssl": "flexible"}, {"authenticated_origin_pulls": True}, "because ssl is flexible: the origin has no HTTPS"),
        ({"tls_1_3": "off"}, {"minimum_tls": "1.3"}, "setting minimum_tls: TLS 1.3 is off in the zone"),
    ],
)
def test_setting_without_effect_is_refused_before_anything_changes(
    capsys: Any, double: Double, current: dict[str, Any], wanted: dict[str, Any], text: str, mode: dict[str, Any]
) -> None:
    double.zones.state["example.test"]["settings"].update(current)
    before = copy.deepcopy(double.zones.state)
    records = [{"type": "A", "name": "www", "value": "192.0.2.1"}]
    result = manage(capsys, double, wanted, records=records, **mode)
    assert "nothing was changed" in result["msg"]
    assert text in result["msg"]
    assert double.zones.state == before


def test_setting_that_already_has_no_effect_is_refused(capsys: Any, double: Double) -> None:
    double.zones.state["example.test"]["settings"].update(ssl="off", http3="on")
    assert "setting http3: no effect" in manage(capsys, double, {"http3": True})["msg"]


def test_setting_that_needs_https_is_accepted_together_with_the_mode(capsys: Any, double: Double) -> None:
    double.zones.state["example.test"]["settings"]["ssl"] = "off"
    wanted = {"ssl": "strict", "always_use_https": True, "authenticated_origin_pulls_global": True}
    assert manage(capsys, double, wanted)["settings"] == wanted


@pytest.mark.parametrize(
    "certificates",
    [[], [{**CERTIFICATE, "status": "initializing"}], [{**CERTIFICATE, "expires_on": "2020-01-01T00:00:00Z"}]],
    ids=["none", "not active", "expired"],
)
def test_origin_pulls_without_a_certificate_of_the_zone_are_refused(
    capsys: Any, double: Double, certificates: list[dict[str, str]]
) -> None:
    double.zones.state["example.test"]["certificates"] = certificates
    result = manage(capsys, double, {"authenticated_origin_pulls": True})
    assert "because the zone has no active client certificate; upload one" in result["msg"]
    assert "authenticated_origin_pulls_global" in result["msg"]
    assert not double.zones.state["example.test"]["origin_pulls"]
    assert manage(capsys, double, {"authenticated_origin_pulls_global": True})["changed"]


@pytest.mark.parametrize(
    ("name", "option", "value"), [("http3", "http3", True), ("security_header", "hsts", {"max_age": 9})]
)
def test_setting_that_cloudflare_does_not_let_change_is_named(
    capsys: Any, double: Double, name: str, option: str, value: Any
) -> None:
    double.zones.state["example.test"]["fixed"] = [name]
    result = manage(capsys, double, {option: value, "ssl": "strict"})
    assert f"setting {option}: Cloudflare does not let this zone change it" in result["msg"]
    assert double.zones.state["example.test"]["settings"]["ssl"] == "full"


def test_setting_that_cannot_change_and_need_not_is_accepted(capsys: Any, double: Double) -> None:
    double.zones.state["example.test"]["fixed"] = ["http3"]
    assert manage(capsys, double, {"http3": False, "ssl": "strict"})["settings"] == {"ssl": "strict"}


def test_zone_whose_dns_is_elsewhere_is_not_signed(
    capsys: Any, double: Double, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_zone(monkeypatch, double, type="partial")
    assert "the DNS of the zone is not at Cloudflare" in manage(capsys, double, {"dnssec": True})["msg"]


@pytest.fixture
def warned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list of the warnings."""
    texts: list[str] = []
    monkeypatch.setattr(basic.AnsibleModule, "warn", lambda _module, text: texts.append(text))
    return texts


def test_paused_zone_is_a_warning(
    capsys: Any, double: Double, monkeypatch: pytest.MonkeyPatch, warned: list[str]
) -> None:
    change_zone(monkeypatch, double, paused=True)
    assert manage(capsys, double, {"ssl": "strict"})["changed"]
    assert [text.split(":")[:2] for text in warned] == [["example.test", " the zone is paused at Cloudflare"]]


@pytest.mark.parametrize(
    ("mode", "wanted", "changing"), [("auto", "full", True), ("auto", "strict", False), ("custom", "full", False)]
)
def test_mode_that_cloudflare_may_change_is_a_warning(
    capsys: Any, double: Double, warned: list[str], mode: str, wanted: str, changing: bool
) -> None:
    double.zones.state["example.test"]["settings"]["ssl_automatic_mode"] = mode
    manage(capsys, double, {"ssl": wanted})
    assert ["Automatic SSL/TLS is on" in text for text in warned] == [True] * changing


@pytest.mark.parametrize(
    ("header", "text"),
    [
        ({"max_age": 63072000}, "max_age 63072000 is not between 0 and 31536000"),
        ({"max_age": -1}, "max_age -1 is not between 0"),
        ({"max_age": 0, "include_subdomains": True}, "include_subdomains has no effect with max_age 0"),
    ],
)
def test_header_that_cloudflare_does_not_send_is_refused_before_anything_is_sent(
    capsys: Any, double: Double, header: dict[str, Any], text: str
) -> None:
    assert text in manage(capsys, double, {"hsts": header})["msg"]
    assert double.log == []


@pytest.mark.parametrize("status", ["pending", "active", "pending-disabled"])
def test_zone_without_dnssec_has_no_ds_record(capsys: Any, double: Double, status: str) -> None:
    state = double.zones.state["example.test"]
    state["dnssec"] = status
    off = {"dnssec": False}
    assert manage(capsys, double, off, **CHECK)["ds"] == ""
    assert manage(capsys, double, off)["ds"] == ""
    assert manage(capsys, double, off)["ds"] == ""
    assert state["dnssec"] in ("disabled", "pending-disabled")
    # An active zone keeps a DS record at the registrar, which Cloudflare still returns.
    assert manage(capsys, double, {"ssl": "strict"})["ds"] == ""
    assert manage(capsys, double, {"dnssec": True})["ds"].startswith("example.test. 3600 IN DS")


def test_preload_that_browsers_would_refuse_is_an_error_before_anything_is_sent(capsys: Any, double: Double) -> None:
    result = manage(capsys, double, {"hsts": {"max_age": 300, "preload": True}})
    assert "include_subdomains" in result["msg"]
    assert double.log == []


@pytest.mark.parametrize(
    ("options", "permission"),
    [
        ({"ssl": "strict"}, "Zone / Zone Settings / Edit"),
        ({"authenticated_origin_pulls": True}, "Zone / SSL and Certificates / Edit"),
        ({"dnssec": True}, "Zone / DNS / Edit"),
    ],
)
def test_missing_permission_is_named(capsys: Any, double: Double, options: dict[str, Any], permission: str) -> None:
    token = double.grant("Zone Settings Read", "SSL and Certificates Read", "DNS Read")
    before = copy.deepcopy(double.zones.state)
    result = manage(capsys, double, options, token=token)
    assert (result["missing"], f"the token lacks {permission};" in result["msg"]) == ([permission], True)
    assert double.zones.state == before


@pytest.mark.parametrize("position", range(1, 23))
@FAULTS
def test_run_converges_after_a_fault_at_any_call(
    capsys: Any, double: Double, monkeypatch: pytest.MonkeyPatch, mode: str, position: int
) -> None:
    clock = faulty(monkeypatch, double, f"{mode}@{position}")
    assert manage(capsys, double, WANTED)["settings"] == WANTED
    assert (len(double.log), clock) == (23, [1.0])
    assert double.log[position - 1].endswith(mode)
    double.fail("none")
    assert not manage(capsys, double, WANTED)["changed"]
