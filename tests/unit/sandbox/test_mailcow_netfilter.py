"""Who is banned by the stand-in, when, and for how long."""

from __future__ import annotations

from typing import Any

import pytest
from stand_in import docker_api, netfilter
from stand_in.netfilter import DEFAULTS, PATTERNS, Count, attempt, culprit, spared

OWN = ["172.22.1.0/24", "fd4d:6169:6c63:6f77::/64"]


@pytest.mark.parametrize(
    ("line", "address"),
    [
        (
            "Nov 25 01:00:00 mail postfix/submission/smtpd[9]: warning: unknown[172.30.0.4]: SASL PLAIN authentication"
            " failed: (reason unavailable), sasl_username=anna@one.test",
            "172.30.0.4",
        ),
        ("postfix/smtps/smtpd[9]: warning: host[fd30::4]: SASL LOGIN authentication failed: x", "fd30::4"),
        ("mailcow UI: Invalid password for API_USER by ::ffff:172.30.0.3", "172.30.0.3"),
        (
            "imap-login: Info: Login aborted: Connection closed (auth failed, 1 attempts in 2 secs) (auth_failed):"
            " user=<anna@one.test>, method=PLAIN, rip=172.30.0.4, lip=172.22.1.250, TLS, session=<x>",
            "172.30.0.4",
        ),
        ("imap-login: Info: Login aborted: Connection closed (no auth attempts in 0 secs): rip=172.30.0.4", ""),
        ("postfix/smtpd[9]: connect from unknown[172.30.0.4]", ""),
    ],
    ids=["submission", "smtps over IPv6", "api", "imap", "no attempt", "connection"],
)
def test_address_is_read_only_from_a_line_of_a_failure(line: str, address: str) -> None:
    assert culprit(line, PATTERNS) == address


def seconds(times: list[float], **options: Any) -> list[int]:
    count = Count()
    return [attempt(count, at, {**DEFAULTS, **options}) for at in times]


def test_tenth_failure_within_ten_minutes_bans_for_half_an_hour() -> None:
    assert seconds([float(at) for at in range(10)]) == [0] * 9 + [1800]


def test_old_failures_do_not_count() -> None:
    assert seconds([*range(9), 9 + 600, *range(620, 628)]) == [0] * 18


def test_each_ban_is_longer_up_to_the_maximum() -> None:
    options = {**DEFAULTS, "max_attempts": 1}
    assert [attempt(Count(bans=bans), 1.0, options) for bans in range(5)] == [1800, 3600, 7200, 10000, 10000]
    assert attempt(Count(bans=3), 1.0, {**options, "ban_time_increment": False}) == 1800


@pytest.mark.parametrize(
    ("address", "wanted"),
    [("172.22.1.1", True), ("127.0.0.1", True), ("fd4d:6169:6c63:6f77::1", True), ("172.30.0.4", False)],
)
def test_own_networks_are_never_banned(address: str, wanted: bool) -> None:
    assert spared(address, [], OWN) is wanted


def test_networks_on_the_list_are_never_banned() -> None:
    assert spared("172.30.0.4", ["172.30.0.0/28"], OWN)


def test_rules_drop_forwarded_and_incoming_packets() -> None:
    rules = netfilter.RULES.format(table="mailcow")
    assert rules.count("ip saddr @banned4 drop; ip6 saddr @banned6 drop;") == 2


@pytest.mark.parametrize(
    ("task", "argument"), [("shell", ""), ("maildir-remove", "../x"), ("maildir-remove", "a/b/c"), ("mailq", "; id")]
)
def test_docker_runs_only_listed_tasks_with_a_valid_argument(
    task: str, argument: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(docker_api, "ask")
    assert docker_api.execute(task, argument)["type"] == "danger"
