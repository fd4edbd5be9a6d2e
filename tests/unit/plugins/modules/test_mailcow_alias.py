"""Aliases: plan, targets, purge."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.vise.platform.plugins.modules import mailcow_alias

from tests.unit.plugins.mailcow import DONE, Mailcow

ALL, DOMAINS = "get/alias/all", ("get/domain/all", [{"domain_name": "example.org"}])
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


@pytest.mark.parametrize(
    ("goto", "sent", "held"),
    [
        (["bob@example.org", "alice@example.org"], {"goto": "alice@example.org,bob@example.org"}, ROW["goto"]),
        (["null@localhost"], {"goto_null": 1}, "null@localhost"),
        (["spam@localhost"], {"goto_spam": 1}, "spam@localhost"),
    ],
)
def test_new_alias_is_added(mailcow: Mailcow, goto: list[str], sent: dict[str, t.Any], held: str) -> None:
    body = {"address": "team@example.org", "active": 1, "sender_allowed": 1, "sogo_visible": 1, **sent}
    domains = [DOMAINS, ("get/alias-domain/all", {})]
    calls: list[tuple[t.Any, ...]] = [
        (ALL, [GONE]),
        *domains,
        ("add/alias", body, DONE),
        (ALL, [{**ROW, "goto": held}]),
    ]
    assert mailcow.run(mailcow_alias, calls, aliases=team(goto=goto))["actions"] == ["add alias team@example.org"]


@pytest.mark.parametrize("options", [{}, {"active": True, "internal": False, "comment": ""}])
def test_same_alias_is_no_change_in_one_call(mailcow: Mailcow, options: dict[str, t.Any]) -> None:
    assert not mailcow.run(mailcow_alias, [(ALL, [ROW])], aliases=team(**options))["changed"]


def test_change_goes_with_its_targets(mailcow: Mailcow) -> None:
    row = {**ROW, "goto": "null@localhost"}
    body = {"items": [7], "attr": {"goto_null": 1, "private_comment": "old"}}
    calls: list[tuple[t.Any, ...]] = [
        (ALL, [row]),
        ("edit/alias", body, DONE),
        (ALL, [{**row, "private_comment": "old"}]),
    ]
    assert mailcow.run(mailcow_alias, calls, aliases=team(goto=["null@localhost"], comment="old"))["changed"]


def test_purge_removes_what_is_not_described(mailcow: Mailcow) -> None:
    rows = [ROW, {**ROW, "id": 8, "address": "old@example.org"}, {**ROW, "id": 9, "address": "old@example.net"}]
    calls: list[tuple[t.Any, ...]] = [(ALL, rows), ("delete/alias", [8], DONE), (ALL, [ROW])]
    answer = mailcow.run(mailcow_alias, calls, aliases=team(), purge=["example.org"])
    assert answer["actions"] == ["delete alias old@example.org"]


def test_check_mode_reads_alone(mailcow: Mailcow) -> None:
    answer = mailcow.run(mailcow_alias, [(ALL, [ROW])], check=True, aliases=team(state="absent"))
    assert answer["actions"] == ["delete alias team@example.org"]


def test_unknown_domain_is_refused_beforehand(mailcow: Mailcow) -> None:
    calls: list[tuple[t.Any, ...]] = [(ALL, {}), ("get/domain/all", {}), ("get/alias-domain/all", {})]
    assert "domain example.org is unknown" in mailcow.run(mailcow_alias, calls, aliases=team())["msg"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"goto": []}, "goto is missing"),
        ({"goto": ["bob"]}, "bob is no address"),
        ({"goto": ["null@localhost", "bob@example.org"]}, "null@localhost stands alone"),
        ({"address": "team"}, "an address is name@domain"),
    ],
)
def test_bad_input_is_refused_beforehand(mailcow: Mailcow, options: dict[str, t.Any], says: str) -> None:
    assert says in mailcow.run(mailcow_alias, [(ALL, {})], aliases=team(**options))["msg"]
