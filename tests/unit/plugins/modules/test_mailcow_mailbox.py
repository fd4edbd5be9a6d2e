"""Mailboxes: plan, passwords, protocols, purge."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.vise.platform.plugins.modules import mailcow_mailbox

from tests.unit.plugins.mailcow import DONE, Mailcow, danger

NAMES = ("imap", "pop3", "smtp", "sieve", "eas", "dav")
ROW = {
    "username": "alice@example.org",
    "name": "Alice",
    "quota": "1073741824",
    "active": 1,
    "attributes": {**{f"{name}_access": "1" for name in NAMES}, "sogo_access": "1", "force_pw_update": "0"},
}
BOB = {**ROW, "username": "bob@example.org", "name": "bob"}
ALL, DOMAINS = "get/mailbox/all", ("get/domain/all", [{"domain_name": "example.org"}])
FIRST = {"local_part": "bob", "domain": "example.org", "name": "bob", "active": 1, "force_pw_update": 0}
WORD = {"password": "s3cret-word", "password2": "s3cret-word"}
WANTED = {"address": "bob@example.org", "password": "s3cret-word"}


def alice(**options: t.Any) -> list[dict[str, t.Any]]:
    return [{"address": "alice@example.org", **options}]


def test_new_mailbox_is_added_and_its_password_not_shown(mailcow: Mailcow) -> None:
    calls = [(ALL, {}), DOMAINS, ("add/mailbox", {**FIRST, **WORD}, DONE), (ALL, [BOB])]
    answer = mailcow.run(mailcow_mailbox, calls, mailboxes=[WANTED])
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
def test_same_mailbox_is_no_change_in_one_call(mailcow: Mailcow, options: dict[str, t.Any]) -> None:
    answer = mailcow.run(mailcow_mailbox, [(ALL, [ROW])], mailboxes=alice(**options))
    assert (answer["changed"], answer["diff"]) == (False, [])


def test_protocols_are_attributes_of_their_own(mailcow: Mailcow) -> None:
    access = {f"{name}_access": int(name in ("imap", "smtp")) for name in NAMES}
    after = {**ROW, "attributes": {**ROW["attributes"], **access}}  # type: ignore[dict-item]
    body = {"items": ["alice@example.org"], "attr": access}
    calls = [(ALL, [ROW]), ("edit/mailbox", body, DONE), (ALL, [after])]
    assert mailcow.run(mailcow_mailbox, calls, mailboxes=alice(protocols=["smtp", "imap"]))["changed"]


def test_password_is_set_anew_when_asked_to(mailcow: Mailcow) -> None:
    body = {"items": ["alice@example.org"], "attr": WORD}
    calls = [(ALL, [ROW]), ("edit/mailbox", body, DONE), (ALL, [ROW])]
    wanted = alice(password="s3cret-word")  # noqa: S106
    answer = mailcow.run(mailcow_mailbox, calls, mailboxes=wanted, update_password="always")  # noqa: S106
    assert answer["actions"] == ["edit mailbox alice@example.org: password"]


def test_purge_removes_what_is_not_described_in_its_domains_alone(mailcow: Mailcow) -> None:
    other = {**ROW, "username": "carol@example.net"}
    calls = [(ALL, [ROW, BOB, other]), ("delete/mailbox", ["bob@example.org"], DONE), (ALL, [ROW, other])]
    answer = mailcow.run(mailcow_mailbox, calls, mailboxes=alice(), purge=["example.org"])
    assert answer["actions"] == ["delete mailbox bob@example.org"]


def test_unwanted_mailbox_is_removed_and_a_missing_one_left(mailcow: Mailcow) -> None:
    wanted = [*alice(state="absent"), {"address": "dora@example.org", "state": "absent"}]
    calls = [(ALL, [ROW]), ("delete/mailbox", ["alice@example.org"], DONE), (ALL, [])]
    assert mailcow.run(mailcow_mailbox, calls, mailboxes=wanted)["actions"] == ["delete mailbox alice@example.org"]


def test_check_mode_reads_alone(mailcow: Mailcow) -> None:
    assert mailcow.run(mailcow_mailbox, [(ALL, {}), DOMAINS], check=True, mailboxes=[WANTED])["changed"]


def test_check_mode_goes_without_a_domain_that_would_be_made_first(mailcow: Mailcow) -> None:
    assert mailcow.run(mailcow_mailbox, [(ALL, {}), ("get/domain/all", {})], check=True, mailboxes=[WANTED])["changed"]


def test_unknown_domain_is_refused_beforehand(mailcow: Mailcow) -> None:
    wanted = [WANTED, {**WANTED, "address": "bob@example.net"}]
    answer = mailcow.run(mailcow_mailbox, [(ALL, {}), DOMAINS], mailboxes=wanted)
    assert answer["msg"].startswith("domain example.net is unknown: describe it with mailcow_domain first")


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"address": "bob@example.org"}, "is new and has no password"),
        ({"address": "bob"}, "an address is name@domain"),
        ({"address": "Bob@example.org", "password": "s3cret-word"}, "in small letters"),
        ({"address": "a@b@example.org"}, "an address is name@domain"),
    ],
)
def test_bad_input_is_refused_beforehand(mailcow: Mailcow, wanted: dict[str, t.Any], says: str) -> None:
    assert says in mailcow.run(mailcow_mailbox, [(ALL, {})], mailboxes=[wanted])["msg"]


def test_refusal_is_told_without_what_was_sent(mailcow: Mailcow) -> None:
    refused = ("add/mailbox", {**FIRST, **WORD}, danger("max_mailbox_exceeded", "10", "10"))
    calls = [(ALL, {}), DOMAINS, refused, (ALL, {}), DOMAINS]
    answer = mailcow.run(mailcow_mailbox, calls, mailboxes=[WANTED])
    assert "the domain has as many mailboxes as it may" in answer["msg"]
    assert "nothing was changed before" in answer["msg"]


def test_wrong_key_is_named_and_not_shown(mailcow: Mailcow) -> None:
    refused = (401, b'{"type": "error", "msg": "authentication failed"}')
    assert "API_KEY" in mailcow.run(mailcow_mailbox, [(ALL, refused)], mailboxes=[WANTED])["msg"]
