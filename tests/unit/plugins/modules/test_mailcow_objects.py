"""The module against the stand-in of mailcow's API: a description is created, changed and deleted in one run each."""

from __future__ import annotations

import contextlib
import io
import json
import typing as t
from urllib.error import HTTPError

import pytest
from ansible.module_utils import basic, urls
from ansible.module_utils.testing import patch_module_args
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
    monkeypatch.setattr(urls.Request, "open", lambda _self, method, url, **more: server.open_url(url, method, **more))
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


TEXTS = [
    "a:b",
    "a\\:b\\\\c",
    'it\'s "quoted"',
    "a & b &amp; c",
    "<b>fett</b> x",
    "Größe ß € 漢字 😀",
    "50 % {{ x }} $HOME #1",
]


def texts(text: str) -> dict[str, t.Any]:
    """Return a description with the text in each option that takes any text."""
    return {
        "relay_hosts": [{"host": HOST, "username": text, "password": text}],
        "transports": [
            {"destination": "example.com", "host": "[mx.example.com]:25", "username": text, "password": text}
        ],
        "domains": [{"name": "example.org", "description": text}],
        "mailboxes": [{"address": "alice@example.org", "name": text, "password": PASSWORD}],
        "aliases": [{"address": "team@example.org", "goto": ["alice@example.org"], "comment": text}],
        "app_passwords": [{"mailbox": "alice@example.org", "name": text, "password": PASSWORD}],
    }


def stored(server: Server) -> set[str]:
    """Return all texts as the programs of mailcow read them."""
    relay, transport, domain, mailbox, alias = (
        server.api.get(f"{path}/all")[0] for path in ("relayhost", "transport", "domain", "mailbox", "alias")
    )
    logins = {row[key] for row in (relay, transport) for key in ("username", "password")}
    return logins | {domain["description"], mailbox["name"], alias["private_comment"]}


@pytest.mark.parametrize("text", TEXTS)
def test_text_is_stored_as_it_is_described_when_it_is_added(server: Server, text: str) -> None:
    assert server.run(**texts(text))["changed"]
    # mailcow removes these two signs from a name
    assert stored(server) == {text, text.lstrip("<")}
    assert not server.run(**texts(text))["changed"]


@pytest.mark.parametrize("text", TEXTS)
def test_text_is_stored_as_it_is_described_when_it_is_changed(server: Server, text: str) -> None:
    server.run(**texts("before"))
    assert server.run(**texts(text))["changed"]
    assert stored(server) == {text, text.lstrip("<")}
    assert not server.run(**texts(text))["changed"]


def test_two_transports_of_one_server_keep_a_login_with_a_colon(server: Server) -> None:
    login = {"host": "[mx.example.com]:25", "username": "u", "password": "a:b"}
    wanted = [{"destination": name, **login} for name in ("example.com", "example.net")]
    server.run(transports=wanted)
    assert [row["password"] for row in server.api.get("transport/all")] == ["a:b", "a:b"]
    assert not server.run(transports=wanted)["changed"]


NAMES: dict[str, t.Any] = {
    "domains": [{"name": "Müller.Example", "mailboxes": 2}, {"name": "Example.ORG", "description": "", "aliases": 5}],
    "mailboxes": [{"address": "Alice@Müller.Example", "password": PASSWORD, "name": ""}],
    "aliases": [{"address": "Team@EXAMPLE.org", "goto": ["alice@müller.example", "Bob@Example.net"]}],
    "purge_aliases": ["Müller.Example", "EXAMPLE.org"],
    "domain_admins": [{"username": "chief", "domains": ["Müller.Example"], "password": PASSWORD}],
    "app_passwords": [{"mailbox": "Alice@MÜLLER.example", "name": "a", "password": PASSWORD}],
    "limits": [{"name": "MÜLLER.example", "messages": 5}, {"name": "ALICE@müller.example", "messages": 5}],
}


def test_international_and_upper_case_names_converge(server: Server) -> None:
    assert server.run(**NAMES)["changed"]
    (alias,) = server.api.get("alias/all")
    assert (alias["address"], alias["goto"]) == ("team@example.org", "Bob@example.net,alice@xn--mller-kva.example")
    assert {row["domain_name"] for row in server.api.get("domain/all")} == {"example.org", "xn--mller-kva.example"}
    assert server.api.get("domain/example.org")["description"] == "example.org"
    assert not server.run(**NAMES)["changed"]


@pytest.mark.parametrize("name", ["straße.example", "a..müller", "\u200dx.example"])
def test_name_without_a_unique_ascii_form_is_refused(server: Server, name: str) -> None:
    assert name in server.run(domains=[{"name": name}])["msg"]
    assert server.api.get("domain/all") == {}


def test_numbers_and_flags_that_mailcow_would_ignore_converge(server: Server) -> None:
    domain = {"name": "example.org", "aliases": 5, "relay": True, "relay_all_recipients": True}
    server.run(domains=[domain])
    changed = [{**domain, "aliases": 0, "relay": False, "relay_all_recipients": False}]
    assert server.run(domains=changed)["changed"]
    assert (server.api.get("domain/example.org")["backupmx"], server.run(domains=changed)["changed"]) == (0, False)
    server.run(domains=[domain])
    assert server.run(domains=[{"name": "example.org", "relay": False}])["changed"]


@pytest.mark.parametrize("key", ["default_quota", "max_quota", "quota"])
def test_quota_of_zero_is_refused_before_anything_changes(server: Server, key: str) -> None:
    answer = server.run(domains=[{"name": "example.org", key: 0}, {"name": "example.net"}])
    assert f"domain example.org: {key} must be 1 or more" in answer["msg"]
    assert server.api.get("domain/all") == {}
