"""App passwords: plan, the mailbox and the name that go with a change, escaped names."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.vise.platform.plugins.modules import mailcow_app_password

from tests.unit.plugins.mailcow import DONE, Mailcow

MAILBOXES = ("get/mailbox/all", [{"username": "app@example.org"}])
ALL = "get/app-passwd/all/app@example.org"
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


def test_new_one_is_added(mailcow: Mailcow) -> None:
    body = {"username": "app@example.org", "app_name": "app & jobs", "active": 1, "protocols": ["smtp_access"], **WORD}
    calls = [MAILBOXES, (ALL, {}), ("add/app-passwd", body, DONE), MAILBOXES, (ALL, [ROW])]
    wanted = app(password="s3cret-word")  # noqa: S106
    answer = mailcow.run(mailcow_app_password, calls, app_passwords=wanted)
    assert answer["actions"] == ["add app-passwd app@example.org app & jobs"]


def test_same_one_is_no_change(mailcow: Mailcow) -> None:
    wanted = app(password="s3cret-word", active=True)  # noqa: S106
    assert not mailcow.run(mailcow_app_password, [MAILBOXES, (ALL, [ROW])], app_passwords=wanted)["changed"]


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
def test_name_is_the_same_however_often_it_is_escaped(mailcow: Mailcow, name: str, shown: str) -> None:
    calls = [MAILBOXES, (ALL, [{**ROW, "name": shown}])]
    assert not mailcow.run(mailcow_app_password, calls, app_passwords=app(name=name))["changed"]


def test_change_names_the_mailbox_and_the_name(mailcow: Mailcow) -> None:
    names = {"username": "app@example.org", "app_name": "app & jobs"}
    body = {"items": [5], "attr": {**names, "protocols": ["imap_access", "smtp_access"]}}
    after = {**ROW, "imap_access": "1"}
    calls = [MAILBOXES, (ALL, [ROW]), ("edit/app-passwd", body, DONE), MAILBOXES, (ALL, [after])]
    assert mailcow.run(mailcow_app_password, calls, app_passwords=app(protocols=["smtp", "imap"]))["changed"]


def test_password_is_set_anew_when_asked_to(mailcow: Mailcow) -> None:
    body = {"items": [5], "attr": {"username": "app@example.org", "app_name": "app & jobs", **WORD}}
    calls = [MAILBOXES, (ALL, [ROW]), ("edit/app-passwd", body, DONE), MAILBOXES, (ALL, [ROW])]
    wanted = app(password="s3cret-word")  # noqa: S106
    answer = mailcow.run(mailcow_app_password, calls, app_passwords=wanted, update_password="always")  # noqa: S106
    assert answer["changed"]


def test_unwanted_one_is_removed(mailcow: Mailcow) -> None:
    calls = [MAILBOXES, (ALL, [ROW]), ("delete/app-passwd", [5], DONE), MAILBOXES, (ALL, {})]
    assert mailcow.run(mailcow_app_password, calls, app_passwords=app(state="absent"))["changed"]


def test_check_mode_reads_alone(mailcow: Mailcow) -> None:
    wanted = app(state="absent")
    assert mailcow.run(mailcow_app_password, [MAILBOXES, (ALL, [ROW])], check=True, app_passwords=wanted)["changed"]


def test_new_one_needs_a_password(mailcow: Mailcow) -> None:
    answer = mailcow.run(mailcow_app_password, [MAILBOXES, (ALL, {})], app_passwords=app())
    assert "is new and has no password" in answer["msg"]


def test_unknown_mailbox_is_refused_beforehand(mailcow: Mailcow) -> None:
    answer = mailcow.run(mailcow_app_password, [("get/mailbox/all", {})], app_passwords=app())
    assert "mailbox app@example.org is unknown" in answer["msg"]
