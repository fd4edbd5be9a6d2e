"""Rate limits of domains and mailboxes."""

from __future__ import annotations

import typing as t

import pytest

from tests.unit.plugins.mailcow import DONE, Call, Mailcow, reads

DOMAINS = [{"domain_name": "example.org"}]
MAILBOXES = [{"username": "news@example.org"}]
OURS = {"name": "example.org", "messages": 500}
NEWS = {"name": "news@example.org", "messages": 9, "per": "day"}
OURS_ROW = {"domain": "example.org", "value": "500", "frame": "h"}
NEWS_ROW = {"mailbox": "news@example.org", "value": 9, "frame": "d"}


def edit(path: str, name: str, value: int, frame: str) -> Call:
    return (f"edit/{path}", {"items": [name], "attr": {"rl_value": value, "rl_frame": frame}}, DONE)


def rows(ours: t.Any, news: t.Any) -> list[Call]:
    return reads(domain=DOMAINS, mailbox=MAILBOXES, rl_domain=ours, rl_mbox=news)


def test_limits_are_set(mailcow: Mailcow) -> None:
    calls = [
        *rows({}, {}),
        edit("rl-domain", "example.org", 500, "h"),
        edit("rl-mbox", "news@example.org", 9, "d"),
        *rows([OURS_ROW], [NEWS_ROW]),
    ]
    assert mailcow.apply(calls, limits=[OURS, NEWS])["actions"] == [
        "edit rl-domain example.org: messages, per",
        "edit rl-mbox news@example.org: messages, per",
    ]


def test_same_limits_are_unchanged(mailcow: Mailcow) -> None:
    assert not mailcow.apply(rows([OURS_ROW], [NEWS_ROW]), limits=[OURS, NEWS])["changed"]


def test_absent_limit_is_removed(mailcow: Mailcow) -> None:
    calls = [
        *reads(domain=DOMAINS, rl_domain=[OURS_ROW]),
        edit("rl-domain", "example.org", 0, "h"),
        *reads(domain=DOMAINS, rl_domain={}),
    ]
    assert mailcow.apply(calls, limits=[{"name": "example.org", "state": "absent"}])["changed"]


def test_absent_limit_that_mailcow_does_not_have_is_unchanged(mailcow: Mailcow) -> None:
    calls = reads(domain=DOMAINS, rl_domain={})
    assert not mailcow.apply(calls, limits=[{"name": "example.org", "state": "absent"}])["changed"]


def test_check_mode_only_reads(mailcow: Mailcow) -> None:
    assert mailcow.apply(reads(domain=DOMAINS, rl_domain={}), check=True, limits=[OURS])["changed"]


@pytest.mark.parametrize("state", ["present", "absent"])
def test_unknown_mailbox_is_refused(mailcow: Mailcow, state: str) -> None:
    answer = mailcow.apply(reads(mailbox={}, rl_mbox={}), limits=[{**NEWS, "state": state}])
    assert "mailbox news@example.org does not exist: add it to mailboxes" in answer["msg"]


@pytest.mark.parametrize("messages", [None, 0, -1])
def test_limit_of_no_message_is_refused(mailcow: Mailcow, messages: int | None) -> None:
    answer = mailcow.apply(reads(domain=DOMAINS, rl_domain={}), limits=[{"name": "example.org", "messages": messages}])
    assert "messages must be 1 or more" in answer["msg"]


def test_limit_that_is_listed_twice_is_refused(mailcow: Mailcow) -> None:
    answer = mailcow.apply(reads(domain=DOMAINS, rl_domain={}), limits=[OURS, OURS])
    assert "rl-domain example.org is listed twice" in answer["msg"]
