"""Mailboxes: plan, passwords, protocols, purge."""

from __future__ import annotations

import typing as t

import pytest

from tests.unit.plugins.mailcow import DONE, Call, Mailcow, danger, reads

NAMES = ("imap", "pop3", "smtp", "sieve", "eas", "dav")
ROW = {
    "username": "alice@example.org",
    "name": "Alice",
    "quota": "1073741824",
    "active": 1,
    "attributes": {**{f"{name}_access": "1" for name in NAMES}, "sogo_access": "1", "force_pw_update": "0"},
}
BOB = {**ROW, "username": "bob@example.org", "name": "bob"}
DOMAINS = [{"domain_name": "example.org", "def_quota_for_mbox": 3 * 1073741824}]
FIRST = {"local_part": "bob", "domain": "example.org", "name": "bob", "active": 1, "force_pw_update": 0, "quota": 3072}
WORD = {"password": "s3cret-word", "password2": "s3cret-word"}
WANTED = {"address": "bob@example.org", "password": "s3cret-word"}


def alice(**options: t.Any) -> list[dict[str, t.Any]]:
    return [{"address": "alice@example.org", **options}]


def boxes(*rows: t.Any) -> list[Call]:
    return reads(domain=DOMAINS, mailbox=list(rows))


def test_new_mailbox_is_added_and_its_password_not_shown(mailcow: Mailcow) -> None:
    calls = [*boxes(), ("add/mailbox", {**FIRST, **WORD}, DONE), *boxes(BOB)]
    answer = mailcow.apply(calls, mailboxes=[WANTED])
    assert answer["actions"] == ["add mailbox bob@example.org"]
    assert "not shown" in answer["diff"][0]["after"]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"name": "Alice", "quota": 1024, "webmail": True, "protocols": [*reversed(NAMES)]},
        {"password": "s3cret-word"},
    ],
)
def test_same_mailbox_is_unchanged(mailcow: Mailcow, options: dict[str, t.Any]) -> None:
    answer = mailcow.apply(boxes(ROW), mailboxes=alice(**options))
    assert (answer["changed"], answer["diff"]) == (False, [])


def test_address_is_compared_as_mailcow_stores_it(mailcow: Mailcow) -> None:
    wanted = [{"address": "Alice@Example.ORG", "name": "<Alice>"}]
    assert not mailcow.apply(boxes(ROW), mailboxes=wanted)["changed"]


@pytest.mark.parametrize("default", [{}, {"default_quota": 512}])
def test_mailbox_without_a_quota_has_the_default_of_its_domain(mailcow: Mailcow, default: dict[str, int]) -> None:
    quota = default.get("default_quota", 3072)
    new = ("add/mailbox", {**FIRST, **WORD, "quota": quota}, DONE)
    changed = [{**DOMAINS[0], "def_quota_for_mbox": quota << 20}]
    edit = [("edit/domain", {"items": ["example.org"], "attr": {"defquota": 512}}, DONE)] if default else []
    calls: list[Call] = [*boxes(), *edit, new, *reads(domain=changed, mailbox=[BOB])]
    domains = [{"name": "example.org", **default}]
    assert mailcow.apply(calls, domains=domains, mailboxes=[WANTED])["changed"]


def test_mailbox_of_a_new_domain_has_the_default_that_mailcow_gives_it(mailcow: Mailcow) -> None:
    body = {"domain": "example.org", "active": 1, "key_size": 0, "restart_sogo": 1}
    calls: list[Call] = [
        *reads(domain={}, mailbox={}),
        ("add/domain", body, DONE),
        *reads(domain=DOMAINS),
        ("add/mailbox", {**FIRST, **WORD}, DONE),
        *boxes(BOB),
    ]
    assert mailcow.apply(calls, domains=[{"name": "example.org"}], mailboxes=[WANTED])["changed"]


def test_each_protocol_is_an_attribute(mailcow: Mailcow) -> None:
    access = {f"{name}_access": int(name in ("imap", "smtp")) for name in NAMES}
    after = {**ROW, "attributes": {**ROW["attributes"], **access}}  # type: ignore[dict-item]
    body = {"items": ["alice@example.org"], "attr": access}
    calls = [*boxes(ROW), ("edit/mailbox", body, DONE), *boxes(after)]
    assert mailcow.apply(calls, mailboxes=alice(protocols=["smtp", "imap"]))["changed"]


def test_password_is_set_again_on_request(mailcow: Mailcow) -> None:
    body = {"items": ["alice@example.org"], "attr": WORD}
    calls = [*boxes(ROW), ("edit/mailbox", body, DONE), *boxes(ROW)]
    wanted = alice(password="s3cret-word")  # noqa: S106
    answer = mailcow.apply(calls, mailboxes=wanted, update_password="always")  # noqa: S106
    assert answer["actions"] == ["edit mailbox alice@example.org: password"]


def test_purge_deletes_unlisted_mailboxes_only_in_its_domains(mailcow: Mailcow) -> None:
    other = {**ROW, "username": "carol@example.net"}
    calls = [*boxes(ROW, BOB, other), ("delete/mailbox", ["bob@example.org"], DONE), *boxes(ROW, other)]
    answer = mailcow.apply(calls, mailboxes=alice(), purge_mailboxes=["example.org"])
    assert answer["actions"] == ["delete mailbox bob@example.org"]


def test_absent_mailbox_is_deleted_and_a_missing_one_ignored(mailcow: Mailcow) -> None:
    wanted = [*alice(state="absent"), {"address": "dora@example.org", "state": "absent"}]
    calls = [*boxes(ROW), ("delete/mailbox", ["alice@example.org"], DONE), *boxes()]
    assert mailcow.apply(calls, mailboxes=wanted)["actions"] == ["delete mailbox alice@example.org"]


def test_check_mode_only_reads(mailcow: Mailcow) -> None:
    assert mailcow.apply(boxes(), check=True, mailboxes=[WANTED])["changed"]


def test_check_mode_accepts_a_domain_that_an_earlier_task_would_add(mailcow: Mailcow) -> None:
    assert mailcow.apply(reads(domain={}, mailbox={}), check=True, mailboxes=[WANTED])["changed"]


def test_unknown_domain_is_refused(mailcow: Mailcow) -> None:
    wanted = [WANTED, {**WANTED, "address": "bob@example.net"}]
    answer = mailcow.apply(boxes(), mailboxes=wanted)
    assert answer["msg"].startswith("domain example.net does not exist: add it to domains")


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"address": "bob@example.org"}, "is new and needs a password"),
        ({"address": "bob"}, "the address must be name@domain"),
        ({"address": "bob@example.org", "password": "s3cret-word", "name": "é" * 128}, "name is longer than 255 bytes"),
        ({"address": "a@b@example.org"}, "the address must be name@domain"),
    ],
)
def test_bad_input_is_refused(mailcow: Mailcow, wanted: dict[str, t.Any], message: str) -> None:
    assert message in mailcow.apply(boxes(), mailboxes=[wanted])["msg"]


def test_refusal_by_mailcow_does_not_show_the_request(mailcow: Mailcow) -> None:
    refused = ("add/mailbox", {**FIRST, **WORD}, danger("max_mailbox_exceeded", "10", "10"))
    answer = mailcow.apply([*boxes(), refused, *boxes()], mailboxes=[WANTED])
    assert "the domain has its maximum number of mailboxes" in answer["msg"]
    assert "nothing was changed before" in answer["msg"]


def test_wrong_key_is_named_and_not_shown(mailcow: Mailcow) -> None:
    refused = (401, b'{"type": "error", "msg": "authentication failed"}')
    assert "API_KEY" in mailcow.apply(reads(domain=refused), mailboxes=[WANTED])["msg"]
