"""Queries of Cloudflare's API: pages, analytics, and an answer in spite of a fault."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.cloudflare import client, permissions

from tests.unit.plugins.cloudflare import FAULTS, TOKEN, Double, faulty, running


@pytest.fixture
def double() -> Iterator[Double]:
    with running() as one:
        yield one


def connect(double: Double, token: str = TOKEN) -> client.Session:
    return client.Session({"token": token, "endpoint": double.endpoint, "timeout": 5})


def read_analytics(session: client.Session) -> list[dict[str, Any]]:
    return permissions.query_analytics(session, session.zone("example.test"), permissions.ANALYTICS, "2026-01-01")


def test_zones_of_three_pages_are_read_completely(double: Double) -> None:
    double.zones.plans = {f"zone-{number:03}.test": "free" for number in range(120)}
    session = connect(double)
    assert len(session.zones()) == 120
    assert session.calls == 3


def test_analytics_are_read_by_day(double: Double) -> None:
    (day,) = read_analytics(connect(double))
    assert (day["dimensions"]["date"], day["sum"]["requests"], day["uniq"]["uniques"]) == ("2026-01-01", 1200, 42)
    assert double.writes() == ["full POST /graphql 200"]


def test_analytics_without_the_permission_name_it(double: Double) -> None:
    with pytest.raises(client.Forbidden, match="the token needs the permission Zone / Analytics / Read"):
        read_analytics(connect(double, double.grant("DNS Read")))


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
    double: Double, monkeypatch: pytest.MonkeyPatch, errors: list[dict[str, Any]], permission: bool
) -> None:
    answer = SimpleNamespace(text=json.dumps({"data": None, "errors": errors}))
    monkeypatch.setattr(client.Session, "post", lambda *_arguments, **_options: answer)
    with pytest.raises(client.ApiError) as raised:
        read_analytics(connect(double))
    assert str(raised.value).startswith(f"Cloudflare: {errors[0]['message']}")
    assert isinstance(raised.value, client.Forbidden) is permission


@pytest.mark.parametrize("position", range(1, 4))
@FAULTS
def test_query_succeeds_after_a_fault_at_any_call(
    double: Double, monkeypatch: pytest.MonkeyPatch, mode: str, position: int
) -> None:
    def query() -> tuple[list[Any], list[Any]]:
        session = connect(double)
        return [zone["name"] for zone in session.zones()], read_analytics(session)

    clock = faulty(monkeypatch, double, f"{mode}@{position}")
    result = query()
    assert (len(double.log), clock) == (4, [1.0])
    assert double.log[position - 1].endswith(mode)
    double.fail("none")
    assert result == query()
