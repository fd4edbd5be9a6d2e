"""Relay hosts and transports: plan, passwords that are compared, one login per server."""

from __future__ import annotations

import typing as t

import pytest

from tests.unit.plugins.mailcow import DONE, Call, Mailcow, reads

HOST = "[smtp.example.net]:587"
RELAY_ROW = {"id": 2, "hostname": HOST, "username": "u", "password": "s3cret:word", "active": "1"}
ROW = {"id": 4, "destination": "example.com", "nexthop": HOST, "username": "u", "password": "s3cret", "active": 1}


def relay(**options: t.Any) -> list[dict[str, t.Any]]:
    return [{"host": HOST, "username": "u", "password": "s3cret:word", **options}]


def transport(**options: t.Any) -> list[dict[str, t.Any]]:
    return [{"destination": "example.com", "host": HOST, "username": "u", "password": "s3cret", **options}]


def test_new_relay_host_is_added(mailcow: Mailcow) -> None:
    body = {"hostname": HOST, "username": "u", "password": "s3cret:word", "active": 1}
    calls: list[Call] = [*reads(relayhost={}), ("add/relayhost", body, DONE), *reads(relayhost=[RELAY_ROW])]
    assert mailcow.apply(calls, relay_hosts=relay())["actions"] == [f"add relayhost {HOST}"]


def test_password_that_mailcow_has_escaped_is_set_again(mailcow: Mailcow) -> None:
    body = {"hostname": HOST, "username": "u", "password": "s3cret:word", "active": 1}
    calls: list[Call] = [
        *reads(relayhost={}),
        ("add/relayhost", body, DONE),
        # mailcow escapes colons, twice when it adds a relay host, and Postfix would send the escapes
        *reads(relayhost=[{**RELAY_ROW, "password": "s3cret\\\\:word"}]),
        ("edit/relayhost", {"items": [2], "attr": {"password": "s3cret:word"}}, DONE),
        *reads(relayhost=[RELAY_ROW]),
    ]
    assert mailcow.apply(calls, relay_hosts=relay())["actions"] == [f"add relayhost {HOST}"]


@pytest.mark.parametrize("password", [" s3cret", "s3cret ", "x" * 256])
def test_password_that_mailcow_would_change_is_refused(mailcow: Mailcow, password: str) -> None:
    answer = mailcow.apply(reads(relayhost={}), relay_hosts=relay(password=password))
    assert f"relayhost {HOST}: password" in answer["msg"]


def test_new_relay_host_that_is_inactive_takes_two_calls(mailcow: Mailcow) -> None:
    body = {"hostname": HOST, "username": "u", "password": "s3cret:word", "active": 0}
    calls: list[Call] = [
        *reads(relayhost={}),
        ("add/relayhost", body, DONE),
        # mailcow activates each new relay host
        *reads(relayhost=[RELAY_ROW]),
        ("edit/relayhost", {"items": [2], "attr": {"active": 0}}, DONE),
        *reads(relayhost=[{**RELAY_ROW, "active": "0"}]),
    ]
    assert mailcow.apply(calls, relay_hosts=relay(active=False))["actions"] == [f"add relayhost {HOST}"]


@pytest.mark.parametrize("stored", ["192.0.2.1", "[192.0.2.1]"])
def test_address_of_a_relay_host_is_compared_literally(mailcow: Mailcow, stored: str) -> None:
    calls = reads(relayhost=[{**RELAY_ROW, "hostname": stored}])
    assert not mailcow.apply(calls, relay_hosts=relay(host=stored))["changed"]


def test_new_transport_is_added(mailcow: Mailcow) -> None:
    body = {
        "destination": "example.com",
        "nexthop": HOST,
        "username": "",
        "password": "",
        "active": 1,
        "is_mx_based": 0,
    }
    row = {**ROW, "username": "", "password": None}
    calls: list[Call] = [*reads(transport={}), ("add/transport", body, DONE), *reads(transport=[row])]
    wanted = [{"destination": "example.com", "host": HOST}]
    assert mailcow.apply(calls, transports=wanted)["actions"] == ["add transport example.com"]


def test_same_ones_are_unchanged(mailcow: Mailcow) -> None:
    calls = reads(relayhost=[RELAY_ROW], transport=[ROW])
    assert not mailcow.apply(calls, relay_hosts=relay(), transports=transport())["changed"]


@pytest.mark.parametrize(
    ("host", "stored"),
    [("192.0.2.1", "[192.0.2.1]"), ("2001:DB8::1", "[2001:DB8::1]"), ("[192.0.2.1]:25", "[192.0.2.1]:25")],
)
def test_address_of_a_transport_is_compared_in_brackets(mailcow: Mailcow, host: str, stored: str) -> None:
    calls = reads(transport=[{**ROW, "nexthop": stored}])
    assert not mailcow.apply(calls, transports=transport(host=host))["changed"]


def test_other_password_is_a_change_and_not_shown(mailcow: Mailcow) -> None:
    body = {"items": [4], "attr": {"username": "u", "password": "s3cret-new"}}
    after = {**ROW, "password": "s3cret-new"}
    calls: list[Call] = [*reads(transport=[ROW]), ("edit/transport", body, DONE), *reads(transport=[after])]
    answer = mailcow.apply(calls, transports=transport(password="s3cret-new"))  # noqa: S106
    assert answer["actions"] == ["edit transport example.com: password"]


def test_absent_ones_are_deleted(mailcow: Mailcow) -> None:
    calls: list[Call] = [
        *reads(relayhost=[RELAY_ROW], transport=[ROW]),
        ("delete/transport", [4], DONE),
        ("delete/relayhost", [2], DONE),
        *reads(relayhost={}, transport={}),
    ]
    absent: dict[str, t.Any] = {"relay_hosts": relay(state="absent"), "transports": transport(state="absent")}
    assert len(mailcow.apply(calls, **absent)["actions"]) == 2


def test_check_mode_only_reads(mailcow: Mailcow) -> None:
    assert mailcow.apply(reads(transport={}), check=True, transports=transport())["changed"]


def test_two_logins_at_one_server_are_refused(mailcow: Mailcow) -> None:
    wanted = transport() + transport(destination="example.net", username="other")
    answer = mailcow.apply(reads(transport={}), transports=wanted)
    assert f"transports with host {HOST} must have the same username and password" in answer["msg"]


def test_transport_without_a_server_is_refused(mailcow: Mailcow) -> None:
    assert "host is missing" in mailcow.apply(reads(transport={}), transports=transport(host=None))["msg"]


def test_relay_host_that_is_listed_twice_is_refused(mailcow: Mailcow) -> None:
    answer = mailcow.apply(reads(relayhost={}), relay_hosts=relay() + relay())
    assert f"relayhost {HOST} is listed twice" in answer["msg"]
