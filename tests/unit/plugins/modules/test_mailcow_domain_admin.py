"""Domain administrators: plan, passwords, purge."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.vise.platform.plugins.modules import mailcow_domain_admin

from tests.unit.plugins.mailcow import DONE, Mailcow

ALL, DOMAINS = (
    "get/domain-admin/all",
    ("get/domain/all", [{"domain_name": "example.org"}, {"domain_name": "example.net"}]),
)
ROW = {
    "username": "alice",
    "selected_domains": ["example.org"],
    "active": "1",
    "attributes": {"force_tfa": "1", "force_pw_update": "0"},
}
WORD = {"password": "s3cret-word", "password2": "s3cret-word"}


def alice(**options: t.Any) -> list[dict[str, t.Any]]:
    return [{"username": "alice", "domains": ["example.org"], **options}]


def test_new_admin_is_added(mailcow: Mailcow) -> None:
    body = {"username": "alice", "domains": ["example.org"], "active": 1, **WORD}
    calls: list[tuple[t.Any, ...]] = [(ALL, {}), DOMAINS, ("add/domain-admin", body, DONE), (ALL, [ROW]), DOMAINS]
    wanted = alice(password="s3cret-word")  # noqa: S106
    assert mailcow.run(mailcow_domain_admin, calls, admins=wanted)["actions"] == ["add domain-admin alice"]


def test_same_admin_is_no_change(mailcow: Mailcow) -> None:
    assert not mailcow.run(mailcow_domain_admin, [(ALL, [ROW]), DOMAINS], admins=alice(active=True))["changed"]


def test_change_keeps_what_mailcow_would_forget(mailcow: Mailcow) -> None:
    both = ["example.net", "example.org"]
    body = {"items": ["alice"], "attr": {"force_tfa": 1, "force_pw_update": 0, "domains": both}}
    after = {**ROW, "selected_domains": both}
    calls: list[tuple[t.Any, ...]] = [(ALL, [ROW]), DOMAINS, ("edit/domain-admin", body, DONE), (ALL, [after]), DOMAINS]
    assert mailcow.run(mailcow_domain_admin, calls, admins=alice(domains=both))["changed"]


def test_password_is_set_anew_when_asked_to(mailcow: Mailcow) -> None:
    body = {"items": ["alice"], "attr": {"force_tfa": 1, "force_pw_update": 0, **WORD}}
    calls: list[tuple[t.Any, ...]] = [(ALL, [ROW]), DOMAINS, ("edit/domain-admin", body, DONE), (ALL, [ROW]), DOMAINS]
    wanted = alice(password="s3cret-word")  # noqa: S106
    assert mailcow.run(mailcow_domain_admin, calls, admins=wanted, update_password="always")["changed"]  # noqa: S106


def test_purge_removes_who_is_not_described(mailcow: Mailcow) -> None:
    calls: list[tuple[t.Any, ...]] = [(ALL, [ROW]), ("delete/domain-admin", ["alice"], DONE), (ALL, {})]
    assert mailcow.run(mailcow_domain_admin, calls, purge=True)["actions"] == ["delete domain-admin alice"]


def test_check_mode_reads_alone(mailcow: Mailcow) -> None:
    answer = mailcow.run(mailcow_domain_admin, [(ALL, [ROW])], check=True, admins=alice(state="absent"))
    assert answer["changed"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "is new and has no password"),
        ({"domains": None}, "domains are missing"),
        ({"username": "Alice Example"}, "a login is of small letters"),
    ],
)
def test_bad_input_is_refused_beforehand(mailcow: Mailcow, options: dict[str, t.Any], says: str) -> None:
    assert says in mailcow.run(mailcow_domain_admin, [(ALL, {})], admins=alice(**options))["msg"]


def test_unknown_domain_is_refused_beforehand(mailcow: Mailcow) -> None:
    wanted = alice(password="s3cret-word", domains=["example.com"])  # noqa: S106
    answer = mailcow.run(mailcow_domain_admin, [(ALL, {}), DOMAINS], admins=wanted)
    assert "domain example.com is unknown" in answer["msg"]
