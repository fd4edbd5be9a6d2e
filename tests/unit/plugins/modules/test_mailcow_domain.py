"""Domains: plan, order of quotas, relay hosts, check mode."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.vise.platform.plugins.module_utils.mailcow.client import TRIES
from ansible_collections.vise.platform.plugins.modules import mailcow_domain

from tests.unit.plugins.mailcow import DONE, REFUSED, Mailcow

ROW = {
    "domain_name": "example.org",
    "description": "ours",
    "max_num_mboxes_for_domain": "10",
    "max_num_aliases_for_domain": 400,
    "def_quota_for_mbox": 1073741824,
    "max_quota_for_mbox": "2147483648",
    "max_quota_for_domain": 4294967296,
    "active": "1",
    "gal": 1,
    "backupmx": "0",
    "relayhost": "0",
}
ADD = {"domain": "example.net", "active": 1, "key_size": 0, "restart_sogo": 1, "quota": 2048}
NEW = {**ROW, "domain_name": "example.net", "max_quota_for_domain": 2048 * 1048576}


def domain(**options: t.Any) -> list[dict[str, t.Any]]:
    return [{"name": "example.org", **options}]


def test_new_domain_is_added_without_a_key(mailcow: Mailcow) -> None:
    calls = [("get/domain/all", {}), ("add/domain", ADD, DONE), ("get/domain/all", [NEW])]
    answer = mailcow.run(mailcow_domain, calls, domains=[{"name": "example.net", "quota": 2048}])
    assert (answer["changed"], answer["actions"]) == (True, ["add domain example.net"])


@pytest.mark.parametrize(
    "options",
    [{}, {"mailboxes": 10, "quota": 4096, "active": True, "relay": False, "description": "ours", "relay_host": ""}],
)
def test_same_domain_is_no_change_in_one_call(mailcow: Mailcow, options: dict[str, t.Any]) -> None:
    answer = mailcow.run(mailcow_domain, [("get/domain/all", [ROW])], domains=domain(**options))
    assert (answer["changed"], answer["actions"], answer["diff"]) == (False, [], [])


def test_what_differs_is_set_alone(mailcow: Mailcow) -> None:
    body = {"items": ["example.org"], "attr": {"mailboxes": 20, "gal": 0}}
    after = {**ROW, "max_num_mboxes_for_domain": 20, "gal": 0}
    calls = [("get/domain/all", [ROW]), ("edit/domain", body, DONE), ("get/domain/all", [after])]
    answer = mailcow.run(mailcow_domain, calls, domains=domain(mailboxes=20, global_address_list=False))
    assert answer["actions"] == ["edit domain example.org: mailboxes, global_address_list"]


def test_unwanted_domain_is_removed(mailcow: Mailcow) -> None:
    calls = [("get/domain/all", [ROW]), ("delete/domain", ["example.org"], DONE), ("get/domain/all", [])]
    assert mailcow.run(mailcow_domain, calls, domains=domain(state="absent"))["changed"]


def test_check_mode_reads_alone(mailcow: Mailcow) -> None:
    answer = mailcow.run(mailcow_domain, [("get/domain/all", [ROW])], check=True, domains=domain(mailboxes=20))
    assert answer["changed"]
    assert answer["diff"][0]["before"] != answer["diff"][0]["after"]


def test_check_mode_shows_what_a_host_without_mailcow_would_get(mailcow: Mailcow) -> None:
    answer = mailcow.run(mailcow_domain, [("get/domain/all", REFUSED)], check=True, domains=domain())
    assert answer["actions"] == ["add domain example.org"]


def test_mailcow_that_is_down_is_an_error(mailcow: Mailcow) -> None:
    answer = mailcow.run(mailcow_domain, [("get/domain/all", REFUSED)] * TRIES, domains=domain())
    assert answer["failed"]
    assert "does not answer" in answer["msg"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"max_quota": 5000}, "max_quota (5000) is over quota (4096)"),
        ({"default_quota": 3000, "quota": 2500}, "default_quota (3000) is over max_quota (2048)"),
    ],
)
def test_quotas_that_contradict_are_refused_beforehand(mailcow: Mailcow, options: dict[str, t.Any], says: str) -> None:
    answer = mailcow.run(mailcow_domain, [("get/domain/all", [ROW])], domains=domain(**options))
    assert says in answer["msg"]
    assert "Nothing was changed" in answer["msg"]


def test_domain_that_is_listed_twice_is_refused(mailcow: Mailcow) -> None:
    answer = mailcow.run(mailcow_domain, [("get/domain/all", [ROW])], domains=domain() + domain())
    assert "example.org is listed twice" in answer["msg"]


def test_relay_host_is_found_by_its_name(mailcow: Mailcow) -> None:
    relays = [{"id": "3", "hostname": "[smtp.example.net]:587"}]
    body = {"items": ["example.org"], "attr": {"relayhost": 3}}
    calls = [
        ("get/domain/all", [ROW]),
        ("get/relayhost/all", relays),
        ("edit/domain", body, DONE),
        ("get/domain/all", [{**ROW, "relayhost": "3"}]),
        ("get/relayhost/all", relays),
    ]
    assert mailcow.run(mailcow_domain, calls, domains=domain(relay_host="[smtp.example.net]:587"))["changed"]


def test_unknown_relay_host_is_named(mailcow: Mailcow) -> None:
    calls = [("get/domain/all", [ROW]), ("get/relayhost/all", {})]
    answer = mailcow.run(mailcow_domain, calls, domains=domain(relay_host="smtp.example.net"))
    assert "relay host smtp.example.net is unknown" in answer["msg"]
