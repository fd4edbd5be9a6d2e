"""Permissions of a token, checked without changing anything."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.cloudflare import permissions
from ansible_collections.vise.platform.plugins.modules import cloudflare_zone
from kit.cloudflare import tokens

from tests.unit.plugins.cloudflare import FAULTS, Double, faulty, run, running

# The names in Cloudflare's dashboard and in its API.
NAMES = {
    "Zone / Zone / Read": "Zone Read",
    "Zone / DNS / Read": "DNS Read",
    "Zone / DNS / Edit": "DNS Write",
    "Zone / Zone Settings / Edit": "Zone Settings Write",
    "Zone / SSL and Certificates / Edit": "SSL and Certificates Write",
    "Zone / Zone WAF / Edit": "Zone WAF Write",
    "Zone / Cache Rules / Edit": "Cache Settings Write",
    "Zone / Single Redirect / Edit": "Dynamic URL Redirects Write",
    "Zone / Analytics / Read": "Analytics Read",
}


@pytest.fixture
def double() -> Iterator[Double]:
    with running() as one:
        one.add(type="A", name="a", content="192.0.2.1")
        yield one


def check(capsys: Any, double: Double, *wanted: str, **options: Any) -> dict[str, Any]:
    return run(cloudflare_zone, capsys, double, zone="example.test", permissions=list(wanted), **options)


def test_every_permission_has_a_name_in_dashboard_and_api() -> None:
    assert set(NAMES) == set(permissions.PROBES) == set(cloudflare_zone.ARGUMENT_SPEC["permissions"]["choices"])


def test_token_with_all_permissions_is_accepted_and_nothing_is_changed(capsys: Any, double: Double) -> None:
    before = copy.deepcopy(double.zones.state)
    assert not check(capsys, double, *NAMES)["changed"]
    assert double.zones.state == before


@pytest.mark.parametrize("missing", sorted(set(NAMES) - {"Zone / DNS / Read"}))
def test_missing_permission_is_named(capsys: Any, double: Double, missing: str) -> None:
    before = copy.deepcopy(double.zones.state)
    token = double.grant(*(tokens.ALL | {"DNS Read"}) - {NAMES[missing]})
    result = check(capsys, double, *NAMES, token=token)
    assert result["failed"]
    assert result["missing"] == [missing]
    assert f"the token lacks {missing}; " in result["msg"]
    assert double.zones.state == before


def test_all_missing_permissions_are_named_at_once(capsys: Any, double: Double) -> None:
    token = double.grant("DNS Read")
    result = check(capsys, double, "Zone / DNS / Edit", "Zone / DNS / Read", "Zone / Zone Settings / Edit", token=token)
    assert result["missing"] == ["Zone / DNS / Edit", "Zone / Zone Settings / Edit"]


def test_invalid_token_is_an_error(capsys: Any, double: Double) -> None:
    assert "does not accept the token" in check(capsys, double, "Zone / DNS / Edit", token="x" * 40)["msg"]


@pytest.mark.parametrize("position", range(1, 11))
@FAULTS
def test_check_succeeds_after_a_fault_at_any_call(
    capsys: Any, double: Double, monkeypatch: pytest.MonkeyPatch, mode: str, position: int
) -> None:
    clock = faulty(monkeypatch, double, f"{mode}@{position}")
    before = copy.deepcopy(double.zones.state)
    assert not check(capsys, double, *NAMES)["changed"]
    assert (len(double.log), clock) == (11, [1.0])
    assert double.log[position - 1].endswith(mode)
    double.fail("none")
    assert double.zones.state == before
