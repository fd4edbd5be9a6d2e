"""Domain administrators: plan, passwords, purge."""

from __future__ import annotations

import typing as t

import pytest

from tests.unit.plugins.mailcow import DONE, Call, Mailcow, reads

DOMAINS = [{"domain_name": "example.org"}, {"domain_name": "example.net"}]
ROW = {
    "username": "alice",
    "selected_domains": ["example.org"],
    "active": "1",
    "attributes": {"force_tfa": "1", "force_pw_update": "0"},
}
WORD = {"password": "s3cret-word", "password2": "s3cret-word"}


def alice(**options: t.Any) -> list[dict[str, t.Any]]:
    return [{"username": "alice", "domains": ["example.org"], **options}]


def rows(*admins: t.Any) -> list[Call]:
    return reads(domain=DOMAINS, domain_admin=list(admins))


def test_new_administrator_is_added(mailcow: Mailcow) -> None:
    body = {"username": "alice", "domains": ["example.org"], "active": 1, **WORD}
    calls = [*rows(), ("add/domain-admin", body, DONE), *rows(ROW)]
    wanted = alice(password="s3cret-word")  # noqa: S106
    assert mailcow.apply(calls, domain_admins=wanted)["actions"] == ["add domain-admin alice"]


def test_same_administrator_is_unchanged(mailcow: Mailcow) -> None:
    assert not mailcow.apply(rows(ROW), domain_admins=alice(active=True))["changed"]


def test_change_has_the_flags_that_mailcow_would_clear(mailcow: Mailcow) -> None:
    both = ["example.net", "example.org"]
    body = {"items": ["alice"], "attr": {"force_tfa": 1, "force_pw_update": 0, "domains": both}}
    calls = [*rows(ROW), ("edit/domain-admin", body, DONE), *rows({**ROW, "selected_domains": both})]
    assert mailcow.apply(calls, domain_admins=alice(domains=both))["changed"]


def test_password_is_set_again_on_request(mailcow: Mailcow) -> None:
    body = {"items": ["alice"], "attr": {"force_tfa": 1, "force_pw_update": 0, **WORD}}
    calls = [*rows(ROW), ("edit/domain-admin", body, DONE), *rows(ROW)]
    wanted = alice(password="s3cret-word")  # noqa: S106
    assert mailcow.apply(calls, domain_admins=wanted, update_password="always")["changed"]  # noqa: S106


def test_purge_deletes_unlisted_administrators(mailcow: Mailcow) -> None:
    calls: list[Call] = [
        *reads(domain_admin=[ROW]),
        ("delete/domain-admin", ["alice"], DONE),
        *reads(domain_admin={}),
    ]
    answer = mailcow.apply(calls, domain_admins=[], purge_domain_admins=True)
    assert answer["actions"] == ["delete domain-admin alice"]


def test_check_mode_only_reads(mailcow: Mailcow) -> None:
    assert mailcow.apply(rows(ROW), check=True, domain_admins=alice(state="absent"))["changed"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "is new and needs a password"),
        ({"domains": None}, "domains are missing"),
        ({"username": "Alice Example"}, "a username can contain only lower-case letters"),
    ],
)
def test_bad_input_is_refused(mailcow: Mailcow, options: dict[str, t.Any], message: str) -> None:
    assert message in mailcow.apply(rows(), domain_admins=alice(**options))["msg"]


def test_unknown_domain_is_refused(mailcow: Mailcow) -> None:
    wanted = alice(password="s3cret-word", domains=["example.com"])  # noqa: S106
    assert "domain example.com does not exist" in mailcow.apply(rows(), domain_admins=wanted)["msg"]
