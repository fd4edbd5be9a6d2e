"""Settings of a zone."""

from __future__ import annotations

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


@pytest.fixture
def double() -> Iterator[Double]:
    with running() as one:
        yield one


def keep(capsys: Any, double: Double, **options: Any) -> dict[str, Any]:
    return run(cloudflare_zone, capsys, double, **{"zone": "example.test", **options})


def test_all_settings_are_set_and_then_left_alone(capsys: Any, double: Double) -> None:
    first = keep(capsys, double, **WANTED)
    assert (first["changed"], first["changes"]) == (True, WANTED)
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
    again = keep(capsys, double, **WANTED)
    assert (again["changed"], again["changes"], double.writes()) == (False, {}, [])
    assert again["ds"] == first["ds"]


def test_only_what_differs_is_changed_and_only_what_is_given_is_read(capsys: Any, double: Double) -> None:
    keep(capsys, double, ssl="strict", http3=True)
    double.log.clear()
    told = keep(capsys, double, ssl="strict", http3=False, _ansible_diff=True)
    assert told["changes"] == {"http3": False}
    assert told["diff"] == {"before": {"http3": True}, "after": {"http3": False}}
    assert len(double.log) == 4
    assert [line.split()[-2].rsplit("/", 1)[-1] for line in double.writes()] == ["http3"]


def test_check_mode_tells_all_and_changes_nothing(capsys: Any, double: Double) -> None:
    told = keep(capsys, double, _ansible_check_mode=True, **WANTED)
    assert told["changes"] == WANTED
    assert double.writes() == []


def test_switching_off_is_a_change_as_well(capsys: Any, double: Double) -> None:
    keep(capsys, double, **WANTED)
    off = {"hsts": {"max_age": 0}, "dnssec": False, "authenticated_origin_pulls": False}
    assert keep(capsys, double, **off)["changes"] == off
    assert not keep(capsys, double, **off)["changed"]
    state = double.zones.state["example.test"]
    assert not state["settings"]["security_header"]["strict_transport_security"]["enabled"]


def test_preload_that_browsers_would_not_take_is_refused_before_anything_is_sent(capsys: Any, double: Double) -> None:
    told = keep(capsys, double, hsts={"max_age": 300, "preload": True})
    assert "include_subdomains" in told["msg"]
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
    assert f"lacks the permission {permission}" in keep(capsys, double, token=token, **options)["msg"]


@pytest.mark.parametrize("position", range(1, 16))
@FAULTS
def test_fault_at_any_call_is_made_up_for(
    capsys: Any, double: Double, monkeypatch: pytest.MonkeyPatch, mode: str, position: int
) -> None:
    clock = faulty(monkeypatch, double, f"{mode}@{position}")
    assert keep(capsys, double, **WANTED)["changes"] == WANTED
    assert (len(double.log), clock) == (16, [1.0])
    assert double.log[position - 1].endswith(mode)
    double.fail("none")
    assert not keep(capsys, double, **WANTED)["changed"]
