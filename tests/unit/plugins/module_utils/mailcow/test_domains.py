"""Domains: plan, order of quotas, relay hosts, mailboxes that are left."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.vise.platform.plugins.module_utils.mailcow.client import TRIES

from tests.unit.plugins.mailcow import DONE, REFUSED, Call, Mailcow, reads

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
HOST = "[smtp.example.net]:587"


def domain(**options: t.Any) -> list[dict[str, t.Any]]:
    return [{"name": "example.org", **options}]


def test_new_domain_is_added_without_a_key(mailcow: Mailcow) -> None:
    calls: list[Call] = [*reads(domain={}), ("add/domain", ADD, DONE), *reads(domain=[NEW])]
    answer = mailcow.apply(calls, domains=[{"name": "example.net", "quota": 2048}])
    assert (answer["changed"], answer["actions"]) == (True, ["add domain example.net"])


@pytest.mark.parametrize(
    "options",
    [{}, {"mailboxes": 10, "quota": 4096, "active": True, "relay": False, "description": "ours", "relay_host": ""}],
)
def test_same_domain_is_unchanged_in_one_call(mailcow: Mailcow, options: dict[str, t.Any]) -> None:
    answer = mailcow.apply(reads(domain=[ROW]), domains=domain(**options))
    assert (answer["changed"], answer["actions"], answer["diff"]) == (False, [], [])


def test_only_differences_are_set(mailcow: Mailcow) -> None:
    body = {"items": ["example.org"], "attr": {"mailboxes": 20, "gal": 0}}
    after = {**ROW, "max_num_mboxes_for_domain": 20, "gal": 0}
    calls: list[Call] = [*reads(domain=[ROW]), ("edit/domain", body, DONE), *reads(domain=[after])]
    answer = mailcow.apply(calls, domains=domain(mailboxes=20, global_address_list=False))
    assert answer["actions"] == ["edit domain example.org: mailboxes, global_address_list"]


def test_absent_domain_is_deleted(mailcow: Mailcow) -> None:
    calls: list[Call] = [
        *reads(domain=[ROW], mailbox=[{"username": "alice@example.net"}]),
        ("delete/domain", ["example.org"], DONE),
        *reads(domain=[]),
    ]
    assert mailcow.apply(calls, domains=domain(state="absent"))["changed"]


def test_absent_domain_with_a_mailbox_is_refused(mailcow: Mailcow) -> None:
    calls = reads(domain=[ROW], mailbox=[{"username": "alice@example.org"}])
    answer = mailcow.apply(calls, domains=domain(state="absent"))
    assert (
        "domain example.org cannot be removed, because it has mailboxes: remove alice@example.org, too" in answer["msg"]
    )


def test_check_mode_only_reads(mailcow: Mailcow) -> None:
    answer = mailcow.apply(reads(domain=[ROW]), check=True, domains=domain(mailboxes=20))
    assert answer["changed"]
    assert answer["diff"][0]["before"] != answer["diff"][0]["after"]


def test_check_mode_plans_for_a_host_without_mailcow(mailcow: Mailcow) -> None:
    answer = mailcow.apply(reads(domain=REFUSED), check=True, domains=domain())
    assert answer["actions"] == ["add domain example.org"]


def test_mailcow_that_is_down_is_an_error(mailcow: Mailcow) -> None:
    answer = mailcow.apply(reads(domain=REFUSED) * TRIES, domains=domain())
    assert answer["failed"]
    assert "does not answer" in answer["msg"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_quota": 5000}, "max_quota (5000) is larger than quota (4096)"),
        ({"default_quota": 3000, "quota": 2500}, "default_quota (3000) is larger than max_quota (2048)"),
    ],
)
def test_contradictory_quotas_are_refused(mailcow: Mailcow, options: dict[str, t.Any], message: str) -> None:
    answer = mailcow.apply(reads(domain=[ROW]), domains=domain(**options))
    assert message in answer["msg"]
    assert "Nothing was changed" in answer["msg"]


def test_domain_that_is_listed_twice_is_refused(mailcow: Mailcow) -> None:
    answer = mailcow.apply(reads(domain=[ROW]), domains=domain() + domain())
    assert "example.org is listed twice" in answer["msg"]


@pytest.mark.parametrize("before", ["0", "9"])
def test_relay_host_is_set_by_its_name(mailcow: Mailcow, before: str) -> None:
    relays = [{"id": "3", "hostname": HOST}]
    body = {"items": ["example.org"], "attr": {"relayhost": 3}}
    calls: list[Call] = [
        *reads(relayhost=relays, domain=[{**ROW, "relayhost": before}]),
        ("edit/domain", body, DONE),
        *reads(relayhost=relays, domain=[{**ROW, "relayhost": "3"}]),
    ]
    answer = mailcow.apply(calls, domains=domain(relay_host=HOST))
    assert answer["changed"]
    assert HOST in answer["diff"][0]["after"]


def test_relay_host_is_removed_by_an_empty_text(mailcow: Mailcow) -> None:
    calls: list[Call] = [
        *reads(domain=[{**ROW, "relayhost": "3"}]),
        ("edit/domain", {"items": ["example.org"], "attr": {"relayhost": 0}}, DONE),
        *reads(domain=[ROW]),
    ]
    assert mailcow.apply(calls, domains=domain(relay_host=""))["changed"]


def test_same_relay_host_is_unchanged(mailcow: Mailcow) -> None:
    calls = reads(relayhost=[{"id": "3", "hostname": HOST}], domain=[{**ROW, "relayhost": "3"}])
    assert not mailcow.apply(calls, domains=domain(relay_host=HOST))["changed"]


def test_unknown_relay_host_is_refused(mailcow: Mailcow) -> None:
    calls = reads(relayhost={}, domain=[ROW])
    answer = mailcow.apply(calls, domains=domain(relay_host="smtp.example.net"))
    assert "relay host smtp.example.net does not exist: add it to relay_hosts" in answer["msg"]
