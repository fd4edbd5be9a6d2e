"""What a token may do, found out without changing anything."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.cloudflare import permissions
from ansible_collections.vise.platform.plugins.modules import cloudflare_token
from kit.cloudflare import tokens

from tests.unit.plugins.cloudflare import FAULTS, Double, faulty, run, running

# The names of Cloudflare's pages, and of its API.
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
    return run(cloudflare_token, capsys, double, zone="example.test", permissions=list(wanted), **options)


def test_every_permission_has_a_name_on_both_sides() -> None:
    assert set(NAMES) == set(permissions.PROBES) == set(cloudflare_token.ARGUMENT_SPEC["permissions"]["choices"])


def test_token_that_may_all_is_let_through_and_nothing_is_changed(capsys: Any, double: Double) -> None:
    before = copy.deepcopy(double.zones.state)
    assert check(capsys, double, *NAMES)["missing"] == []
    assert double.zones.state == before


@pytest.mark.parametrize("missing", sorted(set(NAMES) - {"Zone / DNS / Read"}))
def test_missing_permission_is_named(capsys: Any, double: Double, missing: str) -> None:
    before = copy.deepcopy(double.zones.state)
    token = double.grant(*(tokens.ALL | {"DNS Read"}) - {NAMES[missing]})
    told = check(capsys, double, *NAMES, token=token)
    assert told["failed"]
    assert told["missing"] == [missing]
    assert f"the token lacks {missing}; " in told["msg"]
    assert double.zones.state == before


def test_all_that_is_missing_is_named_at_once(capsys: Any, double: Double) -> None:
    token = double.grant("DNS Read")
    told = check(capsys, double, "Zone / DNS / Edit", "Zone / DNS / Read", "Zone / Zone Settings / Edit", token=token)
    assert told["missing"] == ["Zone / DNS / Edit", "Zone / Zone Settings / Edit"]


def test_wrong_token_is_said(capsys: Any, double: Double) -> None:
    assert "does not accept the token" in check(capsys, double, "Zone / DNS / Edit", token="x" * 40)["msg"]


@pytest.mark.parametrize("position", range(1, 11))
@FAULTS
def test_fault_at_any_call_is_made_up_for(
    capsys: Any, double: Double, monkeypatch: pytest.MonkeyPatch, mode: str, position: int
) -> None:
    clock = faulty(monkeypatch, double, f"{mode}@{position}")
    before = copy.deepcopy(double.zones.state)
    assert check(capsys, double, *NAMES)["missing"] == []
    assert (len(double.log), clock) == (11, [1.0])
    assert double.log[position - 1].endswith(mode)
    double.fail("none")
    assert double.zones.state == before
