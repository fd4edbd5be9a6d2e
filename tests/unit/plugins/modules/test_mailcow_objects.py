"""The module against the stand-in of mailcow's API: a description is created, changed and deleted in one run each."""

from __future__ import annotations

import contextlib
import io
import json
import typing as t
from urllib.error import HTTPError

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.vise.platform.plugins.module_utils.mailcow import client
from ansible_collections.vise.platform.plugins.modules import mailcow_objects
from stand_in import docker_client

from tests.unit.plugins.mailcow import Answer
from tests.unit.sandbox.mailcow_api import KEY, Api

HOST = "[smtp.example.net]:587"
PASSWORD = "s3cret-Word1"  # noqa: S105
FULL: dict[str, t.Any] = {
    "relay_hosts": [{"host": HOST, "username": "u", "password": PASSWORD}],
    "transports": [{"destination": "example.com", "host": "192.0.2.1"}],
    "domains": [{"name": "example.org", "mailboxes": 2, "relay_host": HOST}],
    "mailboxes": [{"address": "alice@example.org", "password": PASSWORD, "quota": 512}],
    "aliases": [{"address": "team@example.org", "goto": ["alice@example.org"]}],
    "domain_admins": [{"username": "chief", "domains": ["example.org"], "password": PASSWORD}],
    "app_passwords": [{"mailbox": "alice@example.org", "name": "a & b", "protocols": ["smtp"], "password": PASSWORD}],
    "limits": [{"name": "example.org", "messages": 500}, {"name": "alice@example.org", "messages": 9, "per": "day"}],
}
ADDED = [
    f"add relayhost {HOST}",
    "add transport example.com",
    "add domain example.org",
    "add mailbox alice@example.org",
    "add alias team@example.org",
    "add domain-admin chief",
    "add app-passwd alice@example.org a & b",
    "edit rl-domain example.org: messages, per",
    "edit rl-mbox alice@example.org: messages, per",
]
OTHER: dict[str, t.Any] = {
    "relay_hosts": [{"host": HOST, "state": "absent"}, {"host": "other.example.net"}],
    "transports": [{"destination": "example.com", "host": "192.0.2.2"}],
    "domains": [{"name": "example.org", "state": "absent"}, {"name": "example.net", "relay_host": "other.example.net"}],
    "mailboxes": [
        {"address": "alice@example.org", "state": "absent"},
        {"address": "b@example.net", "password": PASSWORD},
    ],
    "aliases": [{"address": "team@example.net", "goto": ["b@example.net"]}],
    "purge_aliases": ["example.org", "example.net"],
    "domain_admins": [{"username": "chief", "domains": ["example.net"]}],
    "app_passwords": [{"mailbox": "b@example.net", "name": "app", "password": PASSWORD}],
    "limits": [{"name": "b@example.net", "messages": 5}],
}
KEYS = {
    "relay_hosts": "host",
    "transports": "destination",
    "domains": "name",
    "mailboxes": "address",
    "aliases": "address",
    "domain_admins": "username",
    "limits": "name",
}
NOTHING: dict[str, t.Any] = {
    option: [{key: each[key], "state": "absent"} for each in FULL[option]] for option, key in KEYS.items()
} | {"app_passwords": [{"mailbox": "alice@example.org", "name": "a & b", "state": "absent"}]}


class Server:
    """Runs the module against the stand-in."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.api, self.capsys, self.calls = Api(), capsys, list[str]()

    def open_url(self, url: str, method: str, data: bytes | None, **_: t.Any) -> Answer:
        """Answer one call."""
        path = url.partition("/api/v1/")[2]
        self.calls.append(path)
        status, content = self.api.ask(path, json.loads(data) if data else None, method=method)
        text = json.dumps(content).encode()
        if status >= 300:
            raise HTTPError(url, status, "", {}, io.BytesIO(text))  # type: ignore[arg-type]
        return Answer(status, text)

    def run(self, check: bool = False, **options: t.Any) -> dict[str, t.Any]:
        """Run the module and return its result."""
        self.calls.clear()
        basic._ANSIBLE_ARGS = None
        arguments = {"api_key": KEY, "_ansible_check_mode": check, "_ansible_diff": True, **options}
        with patch_module_args(arguments), contextlib.suppress(SystemExit):
            mailcow_objects.main()
        text = self.capsys.readouterr().out
        assert KEY not in text
        assert PASSWORD not in text
        answer: dict[str, t.Any] = json.loads(text)
        return answer


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Server:
    monkeypatch.setenv("MAILCOW_PASS_SCHEME", "SSHA256")
    monkeypatch.setattr(docker_client, "run", lambda *_words: {"type": "success", "msg": ""})
    server = Server(capsys)
    monkeypatch.setattr(client, "open_url", server.open_url)
    return server


def test_everything_is_added_in_one_run(server: Server) -> None:
    answer = server.run(**FULL)
    assert answer["actions"] == ADDED
    (domain,) = server.api.get("domain/all")
    assert domain["relayhost"] == "1"
    assert server.api.get("rl-mbox/alice@example.org") == {"value": "9", "frame": "d"}


def test_second_run_changes_nothing_and_reads_each_list_once(server: Server) -> None:
    server.run(**FULL)
    answer = server.run(**FULL)
    assert (answer["changed"], answer["actions"], answer["diff"]) == (False, [], [])
    assert len(server.calls) == len(set(server.calls)) == 9
    assert all(call.startswith("get/") for call in server.calls)


def test_check_mode_plans_everything_and_changes_nothing(server: Server) -> None:
    answer = server.run(check=True, **FULL)
    assert answer["actions"] == ADDED
    assert [each["after_header"] for each in answer["diff"]][:2] == [f"relayhost {HOST}", "transport example.com"]
    assert all(call.startswith("get/") for call in server.calls)
    assert server.api.get("domain/all") == {}


def test_everything_is_replaced_in_one_run(server: Server) -> None:
    server.run(**FULL)
    assert server.run(**OTHER)["actions"] == [
        "delete alias team@example.org",
        "delete mailbox alice@example.org",
        "add relayhost other.example.net",
        "edit transport example.com: host",
        "add domain example.net",
        "edit domain-admin chief: domains",
        "delete domain example.org",
        "add mailbox b@example.net",
        "add alias team@example.net",
        "add app-passwd b@example.net app",
        "edit rl-mbox b@example.net: messages, per",
        f"delete relayhost {HOST}",
    ]
    assert not server.run(**OTHER)["changed"]
    assert server.api.get("domain-admin/chief")["selected_domains"] == ["example.net"]


def test_everything_is_deleted_in_one_run(server: Server) -> None:
    server.run(**FULL)
    assert len(server.run(**NOTHING)["actions"]) == len(ADDED)
    for path in ("domain", "mailbox", "alias", "domain-admin", "relayhost", "transport"):
        assert server.api.get(f"{path}/all") == {}
    assert server.api.store.redis.hashes["RL_VALUE"] == {}
    assert not server.run(**NOTHING)["changed"]


def test_alias_survives_the_mailbox_that_was_its_only_target(server: Server) -> None:
    server.run(**FULL)
    before = server.api.get("alias/team@example.org")["id"]
    wanted: dict[str, t.Any] = {
        "mailboxes": [
            {"address": "alice@example.org", "state": "absent"},
            {"address": "b@example.org", "password": PASSWORD},
        ],
        "aliases": [{"address": "team@example.org", "goto": ["b@example.org"]}],
    }
    server.run(**wanted)
    alias = server.api.get("alias/team@example.org")
    assert (alias["id"], alias["goto"]) == (before, "b@example.org")


def test_lists_that_are_not_given_are_unchanged(server: Server) -> None:
    server.run(**FULL)
    assert not server.run(domains=FULL["domains"])["changed"]
    assert len(server.api.get("mailbox/all")) == 1


def test_mailbox_takes_the_place_of_a_deleted_one_in_a_full_domain(server: Server) -> None:
    server.run(**{**FULL, "domains": [{"name": "example.org", "mailboxes": 1, "relay_host": HOST}]})
    boxes = [{"address": "alice@example.org", "state": "absent"}, {"address": "b@example.org", "password": PASSWORD}]
    assert server.run(mailboxes=boxes)["changed"]
    assert [each["username"] for each in server.api.get("mailbox/all")] == ["b@example.org"]


@pytest.mark.parametrize("option", KEYS)
def test_entry_without_its_name_is_refused(server: Server, option: str) -> None:
    wanted: dict[str, t.Any] = {option: [{}]}
    assert f"missing required arguments: {KEYS[option]} found in {option}" in server.run(**wanted)["msg"]
    assert server.calls == []
