"""Queries of Cloudflare's API: pages, analytics, and an answer in spite of a fault."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
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


NAME = "example.test"


def other_zone(number: int, **more: Any) -> dict[str, Any]:
    account = {"id": str(number), "name": f"Account {number}"}
    return {"id": str(number), "name": NAME, "status": "active", "type": "full", "account": account, **more}


@pytest.mark.parametrize("status", ["pending", "moved"])
def test_active_zone_is_chosen_among_zones_of_one_name(double: Double, status: str) -> None:
    double.zones.others = [other_zone(1, status=status), other_zone(2, status="moved")]
    assert connect(double).zone(NAME).id == double.zones.show(NAME)["id"]


def test_pending_zone_is_chosen_when_the_other_one_was_moved_away(double: Double) -> None:
    double.zones.about[NAME] = {"status": "pending"}
    double.zones.others = [other_zone(1, status="moved")]
    assert connect(double).zone(NAME).status == "pending"


def test_zones_among_which_no_rule_chooses_are_named(double: Double) -> None:
    double.zones.others = [other_zone(1, type="partial")]
    with pytest.raises(client.ApiError) as refused:
        connect(double).zone(NAME)
    text, *lines = str(refused.value).splitlines()
    assert "several zones have the name example.test; limit the zone resources of the token" in text
    assert lines[0] == "- 1: partial, active, account Account 1"
    assert lines[1].endswith(": full, active, account Sandbox")


@pytest.mark.parametrize(
    ("about", "expected"),
    [
        ({}, []),
        ({"status": "pending"}, ["the zone is pending at Cloudflare", "ns.example.test"]),
        ({"status": "moved"}, ["the zone is moved at Cloudflare"]),
        ({"paused": True}, ["the zone is paused at Cloudflare"]),
    ],
)
def test_zone_whose_records_have_no_effect_has_a_warning(
    double: Double, about: dict[str, Any], expected: list[str]
) -> None:
    double.zones.about[NAME] = about
    zone = connect(double).zone(NAME)
    warnings = zone.warnings(proxied=True)
    assert zone.warnings(proxied=False) == ([] if about.get("paused") else warnings)
    assert len(warnings) == bool(expected)
    assert all(text in warnings[0] for text in expected)


def test_international_zone_is_found_by_its_written_name(double: Double) -> None:
    double.zones.plans = {"bücher.test": "free"}
    session = connect(double)
    assert session.zone("xn--bcher-kva.test").name == "xn--bcher-kva.test"
    with pytest.raises(client.ApiError, match="not visible to the token"):
        session.zone("xn--caf-dma.test")


def young(double: Double) -> None:
    """Make the zone younger than the answers of the double."""
    double.zones.about[NAME] = {"created_on": datetime.now(UTC).isoformat()}


def test_refusal_of_a_new_zone_is_repeated_for_a_while(double: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    young(double)
    for position in (2, 3):
        clock = faulty(monkeypatch, double, f"403@{position}")
        session = connect(double)
        zone = session.zone(NAME)
        assert session.records(zone) == session.records(zone) == []
        assert (double.log[position - 1].endswith("403"), clock) == (True, [1.0])


def test_refusal_of_a_new_zone_ends_with_the_missing_permission(
    double: Double, monkeypatch: pytest.MonkeyPatch
) -> None:
    young(double)
    clock = faulty(monkeypatch, double, "none")
    session = connect(double, double.grant("Zone Read"))
    zone = session.zone(NAME)
    for _ in range(3):
        with pytest.raises(client.Forbidden, match="Zone / DNS / Read"):
            session.records(zone)
    # All calls together wait only once.
    assert clock[:5] == [1, 2, 4, 8, 16]
    assert sum(clock) <= client.GRACE


@pytest.mark.parametrize("created", ["2024-01-01T00:00:00Z", ""])
def test_refusal_of_an_older_zone_is_not_repeated(
    double: Double, monkeypatch: pytest.MonkeyPatch, created: str
) -> None:
    double.zones.about[NAME] = {"created_on": created}
    clock = faulty(monkeypatch, double, "none")
    session = connect(double, double.grant("Zone Read"))
    with pytest.raises(client.Forbidden):
        session.records(session.zone(NAME))
    assert clock == []


BOTH = "My Profile, API Tokens; for a token of an account: Manage Account, Account API Tokens"


@pytest.mark.parametrize(
    ("owner", "page"), [("account", "(Manage Account, Account API Tokens)"), ("user", f"({BOTH})")]
)
def test_page_where_the_token_is_managed_is_named(double: Double, owner: str, page: str) -> None:
    session = connect(double, double.grant("Zone Read", owner=owner))
    zone = session.zone(NAME)
    with pytest.raises(client.Forbidden) as refused:
        session.records(zone)
    assert page in str(refused.value)
    with pytest.raises(permissions.PermissionsMissing) as missing:
        permissions.require(session, zone, ["Zone / DNS / Edit"])
    assert page in str(missing.value)


def test_token_that_is_restricted_to_other_addresses_is_not_called_invalid(double: Double) -> None:
    session = connect(double, double.grant("DNS Write", addresses=("192.0.2.1",)))
    with pytest.raises(client.ApiError, match=r"may not be used from this address .*location: 127.0.0.1"):
        session.zone(NAME)


def test_page_of_a_firewall_is_not_called_a_missing_permission(double: Double) -> None:
    session = connect(double)
    zone = session.zone(NAME)
    double.fail("blocked")
    for call in (session.records, lambda zone: permissions.require(session, zone, ["Zone / DNS / Edit"])):
        with pytest.raises(client.ApiError) as refused:
            call(zone)
        text = str(refused.value)
        assert "a firewall or a proxy refused the call, whatever the token permits" in text
        assert "status 403, Attention Required! | Cloudflare, Ray ID 8d49989abc171ce8-FRA" in text
        assert not isinstance(refused.value, client.Forbidden)


def test_page_of_a_busy_service_is_repeated(double: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = faulty(monkeypatch, double, "busy")
    with pytest.raises(client.ApiError) as refused:
        connect(double).zone(NAME)
    assert "busy or out of service (a page instead of an answer: status 503, Service Temp" in str(refused.value)
    assert clock == [1, 2, 4, 8, 16]


@pytest.mark.parametrize(
    ("status", "code", "message", "kind", "text"),
    [
        (403, 10000, "Authentication error", client.Forbidden, "lacks the permission X"),
        (403, 9109, "Unauthorized to access requested resource", client.Forbidden, "lacks the permission X"),
        (403, 9109, "Cannot use the access token from location: 192.0.2.1", client.ApiError, "from this address"),
        (403, 9103, "Unknown X-Auth-Key or X-Auth-Email", client.ApiError, "does not accept the token"),
        (400, 81045, "Record quota exceeded.", client.Quota, "remove records"),
        (403, 81045, "Record quota exceeded.", client.Quota, "remove records"),
        (
            400,
            9313,
            "DNS record comment exceeds the maximum length of 100 characters.",
            client.Refusal,
            "the plan of the zone",
        ),
        (403, 20120, "not entitled to use the phase", client.Refusal, "the plan of the zone"),
        (400, 1, "This feature is not available on your current plan", client.Refusal, "the plan of the zone"),
        (400, 1, "no A record plan.example.test", client.Refusal, "no A record plan.example.test"),
        (503, 1, "no", client.Transient, "is busy or out of service"),
        (429, 10100, "Rate limited", client.Transient, "is busy or out of service"),
    ],
)
def test_each_cause_has_its_own_error(
    status: int, code: int, message: str, kind: type[client.ApiError], text: str
) -> None:
    error = {"code": code, "message": message}
    for errors in ([error], [{"code": 1004, "message": "DNS Validation Error", "error_chain": [error]}]):
        if errors != [error] and status != 400:
            continue
        found = client.explain_error(status, {}, {"errors": errors}, "X")
        assert (type(found), text in str(found), message in str(found)) == (kind, True, True)
        assert ("plan of the zone does not include" in str(found)) is (text == "the plan of the zone")


@pytest.mark.parametrize(
    ("status", "kind"),
    [(200, client.ApiError), (403, client.ApiError), (429, client.Transient), (520, client.Transient)],
)
def test_page_is_recognized_with_every_status(status: int, kind: type[client.ApiError]) -> None:
    page = "\n<html><head><TITLE> Log in </TITLE></head></html>"
    assert client.is_page(page)
    found = client.explain_page(status, {"retry-after": "7"}, page)
    assert (type(found), f"status {status}, Log in" in str(found)) == (kind, True)
    assert not isinstance(found, client.Transient) or found.retry_after == 7


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
