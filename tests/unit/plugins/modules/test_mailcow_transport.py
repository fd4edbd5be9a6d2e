"""Relay hosts and transports: plan, passwords that can be compared, one login a server."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.vise.platform.plugins.modules import mailcow_transport

from tests.unit.plugins.mailcow import DONE, Mailcow

RELAYS, TRANSPORTS = "get/relayhost/all", "get/transport/all"
HOST = "[smtp.example.net]:587"
# mailcow escapes colons, and when it adds a relay host it does so twice.
RELAY_ROW = {"id": 2, "hostname": HOST, "username": "u", "password": "s3cret\\\\:word", "active": "1"}
ROW = {"id": 4, "destination": "example.com", "nexthop": HOST, "username": "u", "password": "s3cret", "active": 1}


def relay(**options: t.Any) -> list[dict[str, t.Any]]:
    return [{"host": HOST, "username": "u", "password": "s3cret:word", **options}]


def transport(**options: t.Any) -> list[dict[str, t.Any]]:
    return [{"destination": "example.com", "host": HOST, "username": "u", "password": "s3cret", **options}]


def test_new_relay_host_is_added(mailcow: Mailcow) -> None:
    body = {"hostname": HOST, "username": "u", "password": "s3cret:word", "active": 1}
    calls: list[tuple[t.Any, ...]] = [(RELAYS, {}), ("add/relayhost", body, DONE), (RELAYS, [RELAY_ROW])]
    assert mailcow.run(mailcow_transport, calls, relay_hosts=relay())["actions"] == [f"add relayhost {HOST}"]


def test_new_relay_host_that_is_off_takes_two_calls(mailcow: Mailcow) -> None:
    body = {"hostname": HOST, "username": "u", "password": "s3cret:word", "active": 0}
    calls: list[tuple[t.Any, ...]] = [
        (RELAYS, {}),
        ("add/relayhost", body, DONE),
        # mailcow makes each of them active
        (RELAYS, [RELAY_ROW]),
        ("edit/relayhost", {"items": [2], "attr": {"active": 0}}, DONE),
        (RELAYS, [{**RELAY_ROW, "active": "0"}]),
    ]
    answer = mailcow.run(mailcow_transport, calls, relay_hosts=relay(active=False))
    assert answer["actions"] == [f"add relayhost {HOST}"]


@pytest.mark.parametrize("kept", ["192.0.2.1", "[192.0.2.1]"])
def test_address_of_a_relay_host_stays_as_it_is(mailcow: Mailcow, kept: str) -> None:
    calls: list[tuple[t.Any, ...]] = [(RELAYS, [{**RELAY_ROW, "hostname": kept}])]
    assert not mailcow.run(mailcow_transport, calls, relay_hosts=relay(host=kept))["changed"]


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
    calls: list[tuple[t.Any, ...]] = [(TRANSPORTS, {}), ("add/transport", body, DONE), (TRANSPORTS, [row])]
    wanted = [{"destination": "example.com", "host": HOST}]
    assert mailcow.run(mailcow_transport, calls, transports=wanted)["actions"] == ["add transport example.com"]


def test_same_ones_are_no_change(mailcow: Mailcow) -> None:
    calls: list[tuple[t.Any, ...]] = [(RELAYS, [RELAY_ROW]), (TRANSPORTS, [ROW])]
    assert not mailcow.run(mailcow_transport, calls, relay_hosts=relay(), transports=transport())["changed"]


@pytest.mark.parametrize(
    ("host", "kept"),
    [("192.0.2.1", "[192.0.2.1]"), ("2001:DB8::1", "[2001:DB8::1]"), ("[192.0.2.1]:25", "[192.0.2.1]:25")],
)
def test_address_is_kept_in_brackets(mailcow: Mailcow, host: str, kept: str) -> None:
    calls: list[tuple[t.Any, ...]] = [(TRANSPORTS, [{**ROW, "nexthop": kept}])]
    assert not mailcow.run(mailcow_transport, calls, transports=transport(host=host))["changed"]


def test_other_password_is_a_change_and_not_shown(mailcow: Mailcow) -> None:
    body = {"items": [4], "attr": {"username": "u", "password": "s3cret-new"}}
    after = {**ROW, "password": "s3cret-new"}
    calls: list[tuple[t.Any, ...]] = [(TRANSPORTS, [ROW]), ("edit/transport", body, DONE), (TRANSPORTS, [after])]
    answer = mailcow.run(mailcow_transport, calls, transports=transport(password="s3cret-new"))  # noqa: S106
    assert answer["actions"] == ["edit transport example.com: password"]


def test_unwanted_ones_are_removed(mailcow: Mailcow) -> None:
    calls: list[tuple[t.Any, ...]] = [
        (RELAYS, [RELAY_ROW]),
        (TRANSPORTS, [ROW]),
        ("delete/relayhost", [2], DONE),
        ("delete/transport", [4], DONE),
        (RELAYS, {}),
        (TRANSPORTS, {}),
    ]
    away: dict[str, t.Any] = {"relay_hosts": relay(state="absent"), "transports": transport(state="absent")}
    assert len(mailcow.run(mailcow_transport, calls, **away)["actions"]) == 2


def test_check_mode_reads_alone(mailcow: Mailcow) -> None:
    assert mailcow.run(mailcow_transport, [(TRANSPORTS, {})], check=True, transports=transport())["changed"]


def test_two_logins_at_one_server_are_refused(mailcow: Mailcow) -> None:
    wanted = transport() + transport(destination="example.net", username="other")
    answer = mailcow.run(mailcow_transport, [], transports=wanted)
    assert f"transports by {HOST} must share one login" in answer["msg"]


def test_transport_needs_a_server(mailcow: Mailcow) -> None:
    assert "host is missing" in mailcow.run(mailcow_transport, [], transports=transport(host=None))["msg"]
