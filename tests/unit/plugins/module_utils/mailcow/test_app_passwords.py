"""App passwords: plan, mailbox and name in each change, escaped names."""

from __future__ import annotations

import typing as t

import pytest

from tests.unit.plugins.mailcow import DONE, Call, Mailcow, reads

MAILBOXES = [{"username": "app@example.org"}]
ACCESS = {f"{name}_access": "0" for name in ("imap", "pop3", "sieve", "dav", "eas")}
ROW = {
    "id": 5,
    "name": "app &amp;amp; jobs",
    "mailbox": "app@example.org",
    "active": 1,
    "password": "s3cret",
    "smtp_access": 1,
    **ACCESS,
}
WORD = {"app_passwd": "s3cret-word", "app_passwd2": "s3cret-word"}


def app(**options: t.Any) -> list[dict[str, t.Any]]:
    return [{"mailbox": "app@example.org", "name": "app & jobs", "protocols": ["smtp"], **options}]


def rows(*passwords: t.Any) -> list[Call]:
    return reads(mailbox=MAILBOXES, app_passwd={"app@example.org": list(passwords)})


def test_new_one_is_added(mailcow: Mailcow) -> None:
    body = {"username": "app@example.org", "app_name": "app & jobs", "active": 1, "protocols": ["smtp_access"], **WORD}
    calls = [*rows(), ("add/app-passwd", body, DONE), *rows(ROW)]
    answer = mailcow.apply(calls, app_passwords=app(password="s3cret-word"))  # noqa: S106
    assert answer["actions"] == ["add app-passwd app@example.org app & jobs"]


def test_same_one_is_unchanged(mailcow: Mailcow) -> None:
    wanted = app(password="s3cret-word", active=True)  # noqa: S106
    assert not mailcow.apply(rows(ROW), app_passwords=wanted)["changed"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a<b>", "a&amp;lt;b&amp;gt;"),
        ("\"a\" 'b'", "&amp;quot;a&amp;quot; &amp;#039;b&amp;#039;"),
        ("a & b", "a &amp; b"),
        ("a & b", "a &amp;amp;amp;amp; b"),
        ("a &amp; b", "a &amp;amp;amp; b"),
        ("a &copy b", "a &amp;amp;copy b"),
    ],
)
def test_name_is_compared_without_its_escapes(mailcow: Mailcow, name: str, shown: str) -> None:
    assert not mailcow.apply(rows({**ROW, "name": shown}), app_passwords=app(name=name))["changed"]


def test_change_has_the_mailbox_and_the_name(mailcow: Mailcow) -> None:
    names = {"username": "app@example.org", "app_name": "app & jobs"}
    body = {"items": [5], "attr": {**names, "protocols": ["imap_access", "smtp_access"]}}
    calls = [*rows(ROW), ("edit/app-passwd", body, DONE), *rows({**ROW, "imap_access": "1"})]
    assert mailcow.apply(calls, app_passwords=app(protocols=["smtp", "imap"]))["changed"]


def test_password_is_set_again_on_request(mailcow: Mailcow) -> None:
    body = {"items": [5], "attr": {"username": "app@example.org", "app_name": "app & jobs", **WORD}}
    calls = [*rows(ROW), ("edit/app-passwd", body, DONE), *rows(ROW)]
    wanted = app(password="s3cret-word")  # noqa: S106
    assert mailcow.apply(calls, app_passwords=wanted, update_password="always")["changed"]  # noqa: S106


def test_absent_one_is_deleted(mailcow: Mailcow) -> None:
    calls = [*rows(ROW), ("delete/app-passwd", [5], DONE), *rows()]
    assert mailcow.apply(calls, app_passwords=app(state="absent"))["changed"]


def test_check_mode_only_reads(mailcow: Mailcow) -> None:
    assert mailcow.apply(rows(ROW), check=True, app_passwords=app(state="absent"))["changed"]


def test_new_one_without_a_password_is_refused(mailcow: Mailcow) -> None:
    assert "is new and needs a password" in mailcow.apply(rows(), app_passwords=app())["msg"]


@pytest.mark.parametrize("state", ["present", "absent"])
def test_unknown_mailbox_is_refused(mailcow: Mailcow, state: str) -> None:
    wanted = app(state=state, password="s3cret-word")  # noqa: S106
    answer = mailcow.apply(reads(mailbox={}), app_passwords=wanted)
    assert "mailbox app@example.org does not exist: add it to mailboxes" in answer["msg"]
