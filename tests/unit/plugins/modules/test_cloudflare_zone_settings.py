"""Settings of a zone."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.modules import cloudflare_zone

from tests.unit.plugins.cloudflare import FAULTS, Double, faulty, run, running

WANTED: dict[str, Any] = {
    "ssl": "strict",
    "minimum_tls": "1.2",
    "http3": True,
    "always_use_https": True,
    "hsts": {"max_age": 31536000, "include_subdomains": True},
    "authenticated_origin_pulls": True,
    "dnssec": True,
}

CHECK: dict[str, Any] = {"_ansible_check_mode": True}


@pytest.fixture
def double() -> Iterator[Double]:
    with running() as one:
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
    assert (state["origin_pulls"], state["dnssec"]) == (True, "pending")
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


@pytest.mark.parametrize("position", range(1, 19))
@FAULTS
def test_run_converges_after_a_fault_at_any_call(
    capsys: Any, double: Double, monkeypatch: pytest.MonkeyPatch, mode: str, position: int
) -> None:
    clock = faulty(monkeypatch, double, f"{mode}@{position}")
    assert manage(capsys, double, WANTED)["settings"] == WANTED
    assert (len(double.log), clock) == (19, [1.0])
    assert double.log[position - 1].endswith(mode)
    double.fail("none")
    assert not manage(capsys, double, WANTED)["changed"]
