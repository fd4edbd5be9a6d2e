"""Rate limits of domains and mailboxes."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.vise.platform.plugins.modules import mailcow_rate_limit

from tests.unit.plugins.mailcow import DONE, Mailcow

DOMAINS = ("get/domain/all", [{"domain_name": "example.org"}])
MAILBOXES = ("get/mailbox/all", [{"username": "news@example.org"}])
OURS = {"name": "example.org", "messages": 500}
NEWS = {"name": "news@example.org", "messages": 9, "per": "day"}
OURS_ROW = {"domain": "example.org", "value": "500", "frame": "h"}
NEWS_ROW = {"mailbox": "news@example.org", "value": 9, "frame": "d"}


def edit(path: str, name: str, value: int, frame: str) -> tuple[t.Any, ...]:
    return (f"edit/{path}", {"items": [name], "attr": {"rl_value": value, "rl_frame": frame}}, DONE)


def reads(ours: t.Any, news: t.Any) -> list[tuple[t.Any, ...]]:
    return [DOMAINS, ("get/rl-domain/all", ours), MAILBOXES, ("get/rl-mbox/all", news)]


def test_limits_are_set(mailcow: Mailcow) -> None:
    calls = [
        *reads({}, {}),
        edit("rl-domain", "example.org", 500, "h"),
        edit("rl-mbox", "news@example.org", 9, "d"),
        *reads([OURS_ROW], [NEWS_ROW]),
    ]
    answer = mailcow.run(mailcow_rate_limit, calls, limits=[OURS, NEWS])
    assert answer["actions"] == [
        "edit rl-domain example.org: messages, per",
        "edit rl-mbox news@example.org: messages, per",
    ]


def test_same_limits_are_no_change(mailcow: Mailcow) -> None:
    assert not mailcow.run(mailcow_rate_limit, reads([OURS_ROW], [NEWS_ROW]), limits=[OURS, NEWS])["changed"]


def test_limit_is_taken_away(mailcow: Mailcow) -> None:
    wanted = [{"name": "example.org", "state": "absent"}]
    calls = [
        DOMAINS,
        ("get/rl-domain/all", [OURS_ROW]),
        edit("rl-domain", "example.org", 0, "h"),
        DOMAINS,
        ("get/rl-domain/all", {}),
    ]
    assert mailcow.run(mailcow_rate_limit, calls, limits=wanted)["changed"]


def test_check_mode_reads_alone(mailcow: Mailcow) -> None:
    assert mailcow.run(mailcow_rate_limit, [DOMAINS, ("get/rl-domain/all", {})], check=True, limits=[OURS])["changed"]


def test_unknown_mailbox_is_refused_beforehand(mailcow: Mailcow) -> None:
    answer = mailcow.run(mailcow_rate_limit, [("get/mailbox/all", {})], limits=[NEWS])
    assert "mailbox news@example.org is unknown: describe it with mailcow_mailbox first" in answer["msg"]


@pytest.mark.parametrize("messages", [None, 0, -1])
def test_limit_of_nothing_is_refused(mailcow: Mailcow, messages: int | None) -> None:
    answer = mailcow.run(mailcow_rate_limit, [], limits=[{"name": "example.org", "messages": messages}])
    assert "messages must be 1 or more" in answer["msg"]
