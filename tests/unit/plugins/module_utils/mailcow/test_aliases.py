"""Aliases: plan, targets, purge."""

from __future__ import annotations

import typing as t

import pytest

from tests.unit.plugins.mailcow import DONE, Call, Mailcow, reads

DOMAINS = [{"domain_name": "example.org"}]
ROW = {
    "id": 7,
    "address": "team@example.org",
    "goto": "bob@example.org,alice@example.org",
    "active": "1",
    "internal": 0,
    "sender_allowed": 1,
    "sogo_visible": "1",
    "private_comment": None,
}
GONE = {"id": None, "address": None}


def team(**options: t.Any) -> list[dict[str, t.Any]]:
    return [{"address": "team@example.org", "goto": ["alice@example.org", "bob@example.org"], **options}]


def rows(*aliases: t.Any) -> list[Call]:
    return reads(domain=DOMAINS, alias=list(aliases))


@pytest.mark.parametrize(
    ("goto", "sent", "stored"),
    [
        (["bob@example.org", "alice@example.org"], {"goto": "alice@example.org,bob@example.org"}, ROW["goto"]),
        (["null@localhost"], {"goto_null": 1}, "null@localhost"),
        (["spam@localhost"], {"goto_spam": 1}, "spam@localhost"),
    ],
)
def test_new_alias_is_added(mailcow: Mailcow, goto: list[str], sent: dict[str, t.Any], stored: str) -> None:
    body = {"address": "team@example.org", "active": 1, "sender_allowed": 1, "sogo_visible": 1, **sent}
    calls = [*rows(GONE), ("add/alias", body, DONE), *rows({**ROW, "goto": stored})]
    assert mailcow.apply(calls, aliases=team(goto=goto))["actions"] == ["add alias team@example.org"]


@pytest.mark.parametrize("options", [{}, {"active": True, "internal": False, "comment": ""}])
def test_same_alias_is_unchanged(mailcow: Mailcow, options: dict[str, t.Any]) -> None:
    assert not mailcow.apply(rows(ROW), aliases=team(**options))["changed"]


def test_change_has_the_targets(mailcow: Mailcow) -> None:
    row = {**ROW, "goto": "null@localhost"}
    body = {"items": [7], "attr": {"goto_null": 1, "private_comment": "old"}}
    calls = [*rows(row), ("edit/alias", body, DONE), *rows({**row, "private_comment": "old"})]
    assert mailcow.apply(calls, aliases=team(goto=["null@localhost"], comment="old"))["changed"]


def test_purge_deletes_unlisted_aliases_only_in_its_domains(mailcow: Mailcow) -> None:
    others = [{**ROW, "id": 8, "address": "old@example.org"}, {**ROW, "id": 9, "address": "old@example.net"}]
    calls = [*rows(ROW, *others), ("delete/alias", [8], DONE), *rows(ROW, others[1])]
    answer = mailcow.apply(calls, aliases=team(), purge_aliases=["example.org"])
    assert answer["actions"] == ["delete alias old@example.org"]


def test_purge_with_an_empty_list_deletes_all_aliases_of_the_domain(mailcow: Mailcow) -> None:
    calls: list[Call] = [*reads(alias=[ROW]), ("delete/alias", [7], DONE), *reads(alias={})]
    assert mailcow.apply(calls, aliases=[], purge_aliases=["example.org"])["changed"]


def test_check_mode_only_reads(mailcow: Mailcow) -> None:
    answer = mailcow.apply(rows(ROW), check=True, aliases=team(state="absent"))
    assert answer["actions"] == ["delete alias team@example.org"]


def test_unknown_domain_is_refused(mailcow: Mailcow) -> None:
    calls = reads(domain={}, alias_domain={}, alias={})
    assert "domain example.org does not exist" in mailcow.apply(calls, aliases=team())["msg"]


def test_alias_can_be_in_an_alias_domain(mailcow: Mailcow) -> None:
    other = [{"alias_domain": "example.org", "target_domain": "example.net"}, {"alias_domain": None}]
    calls = reads(domain=[{"domain_name": "example.net"}], alias_domain=other, alias={})
    assert mailcow.apply(calls, check=True, aliases=team())["actions"] == ["add alias team@example.org"]


def test_alias_in_an_alias_domain_of_a_removed_domain_is_refused(mailcow: Mailcow) -> None:
    other = [{"alias_domain": "example.org", "target_domain": "example.net"}]
    calls = reads(domain=[{"domain_name": "example.net"}], alias_domain=other, mailbox={}, alias={})
    answer = mailcow.apply(calls, domains=[{"name": "example.net", "state": "absent"}], aliases=team())
    assert "domain example.org does not exist" in answer["msg"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"goto": []}, "goto is missing"),
        ({"goto": ["bob"]}, "bob in goto is not an address"),
        ({"goto": ["null@localhost", "bob@example.org"]}, "null@localhost must be the only target"),
        ({"address": "team"}, "the address must be name@domain"),
    ],
)
def test_bad_input_is_refused(mailcow: Mailcow, options: dict[str, t.Any], message: str) -> None:
    alias_domains: dict[str, t.Any] = {"alias_domain": {}} if "address" in options else {}
    calls = reads(domain=DOMAINS, alias={}, **alias_domains)
    assert message in mailcow.apply(calls, aliases=team(**options))["msg"]
