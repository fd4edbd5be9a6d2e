"""Reading: the rows without their secrets."""

from __future__ import annotations

from ansible_collections.vise.platform.plugins.modules import mailcow_info

from tests.unit.plugins.mailcow import Mailcow


def test_rows_have_no_passwords(mailcow: Mailcow) -> None:
    row = {"id": 1, "hostname": "smtp", "password": "s3cret", "password_short": "s3cret..."}
    calls = [("get/relayhost/all", [row]), ("get/mailq/all", [])]
    answer = mailcow.run(mailcow_info, calls, gather=["relay_hosts", "queue"])
    assert (answer["relay_hosts"], answer["queue"]) == ([{"id": 1, "hostname": "smtp"}], [])
    assert not answer["changed"]


def test_version_and_containers_are_read(mailcow: Mailcow) -> None:
    containers = {"postfix-mailcow": {"type": "info", "state": "running"}}
    calls = [("get/status/version", {"version": "2026-07a"}), ("get/status/containers", containers)]
    answer = mailcow.run(mailcow_info, calls, gather=["version", "containers"])
    assert (answer["version"], answer["containers"]) == ("2026-07a", {"postfix-mailcow": "running"})


def test_keys_are_read_by_domain(mailcow: Mailcow) -> None:
    key = {"pubkey": "MIIB", "dkim_selector": "s1", "dkim_txt": "v=DKIM1;p=MIIB", "length": "2048", "privkey": "s3cret"}
    calls = [
        ("get/domain/all", [{"domain_name": "example.org"}, {"domain_name": "example.net"}]),
        ("get/dkim/example.org", key),
        ("get/dkim/example.net", {}),
    ]
    expected = {"example.org": {"selector": "s1", "public_key": "MIIB", "txt": "v=DKIM1;p=MIIB", "length": "2048"}}
    assert mailcow.run(mailcow_info, calls, gather=["dkim"])["dkim"] == expected


def test_limits_of_domains_and_mailboxes_are_one_list(mailcow: Mailcow) -> None:
    calls = [("get/rl-domain/all", [{"domain": "example.org"}]), ("get/rl-mbox/all", {})]
    assert mailcow.run(mailcow_info, calls, gather=["rate_limits"])["rate_limits"] == [{"domain": "example.org"}]


def test_wrong_key_is_named(mailcow: Mailcow) -> None:
    refused = (401, b'{"type": "error", "msg": "authentication failed"}')
    assert "API_KEY" in mailcow.run(mailcow_info, [("get/domain/all", refused)], gather=["domains"])["msg"]
