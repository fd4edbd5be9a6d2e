"""Address ranges, zones and analytics."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.cloudflare import client
from ansible_collections.vise.platform.plugins.modules import cloudflare_info

from tests.unit.plugins.cloudflare import FAULTS, TOKEN, Double, faulty, run, running

READERS = ("ranges", "zones", "analytics")


@pytest.fixture
def double() -> Iterator[Double]:
    with running() as one:
        yield one


def read(capsys: Any, double: Double, *gather: str, **options: Any) -> dict[str, Any]:
    return run(cloudflare_info, capsys, double, gather=list(gather), **options)


def test_one_execution_queries_all_information(capsys: Any, double: Double) -> None:
    found = read(capsys, double, *READERS, zone="example.test", since="2026-01-01")
    assert "2400:cb00::/32" in found["ranges"]
    assert [(zone["name"], zone["plan"]) for zone in found["zones"]] == [
        ("example.test", "free"),
        ("elsewhere.test", "pro"),
    ]
    (day,) = found["analytics"]
    assert (day["date"], day["requests"], day["visitors"]) == ("2026-01-01", 1200, 42)
    assert double.writes() == ["full POST /graphql 200"]


def test_zones_of_three_pages_are_read_completely(double: Double) -> None:
    double.zones.plans = {f"zone-{number:03}.test": "free" for number in range(120)}
    session = client.Session({"token": TOKEN, "endpoint": double.endpoint, "timeout": 5})
    assert len(session.zones()) == 120
    assert session.calls == 3


def test_analytics_without_the_permission_name_it(capsys: Any, double: Double) -> None:
    token = double.grant("DNS Read")
    result = read(capsys, double, "analytics", zone="example.test", since="2026-01-01", token=token)
    assert "the token needs the permission Zone / Analytics / Read" in result["msg"]


@pytest.mark.parametrize(
    ("errors", "permission"),
    [
        ([{"message": "no", "extensions": {"code": "authz"}}], True),
        ([{"message": "authorization denied"}], True),
        ([{"message": "zones [1] are not authorized"}], True),
        ([{"message": "zone '1' does not have access to the path"}], True),
        ([{"message": "internal server error"}, {"message": "no", "extensions": {"code": "authz"}}], True),
        ([{"message": "cannot request data older than 691200s"}], False),
        ([{"message": "unable to execute query", "extensions": None}], False),
    ],
)
def test_error_of_the_analytics_is_a_missing_permission_only_when_its_text_or_code_says_so(
    capsys: Any, double: Double, monkeypatch: pytest.MonkeyPatch, errors: list[dict[str, Any]], permission: bool
) -> None:
    answer = SimpleNamespace(text=json.dumps({"data": None, "errors": errors}))
    monkeypatch.setattr(client.Session, "post", lambda *_arguments, **_options: answer)
    result = read(capsys, double, "analytics", zone="example.test", since="2026-01-01")["msg"]
    assert result.startswith(f"Cloudflare: {errors[0]['message']}")
    assert ("the token needs the permission Zone / Analytics / Read" in result) is permission


def test_analytics_without_a_zone_are_refused(capsys: Any, double: Double) -> None:
    assert "requires the options zone and since" in read(capsys, double, "analytics")["msg"]
    assert double.log == []


@pytest.mark.parametrize("position", range(1, 5))
@FAULTS
def test_query_succeeds_after_a_fault_at_any_call(
    capsys: Any, double: Double, monkeypatch: pytest.MonkeyPatch, mode: str, position: int
) -> None:
    clock = faulty(monkeypatch, double, f"{mode}@{position}")
    result = read(capsys, double, *READERS, zone="example.test", since="2026-01-01")
    assert (len(double.log), clock) == (5, [1.0])
    assert double.log[position - 1].endswith(mode)
    double.fail("none")
    assert result == read(capsys, double, *READERS, zone="example.test", since="2026-01-01")
