"""The stand-in of mailcow's API behaves like the real one: errors with status 200, and the same mixed types."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from stand_in import docker_client
from stand_in.api import admins, faults, limits, passwords
from stand_in.api.store import is_address, is_domain, number

from tests.unit.sandbox.mailcow_api import READ_ONLY, Api

PASSWORD = "Correct-Horse1"  # noqa: S105 (of nobody)
BOX = {"local_part": "anna", "domain": "one.test", "password": PASSWORD, "password2": PASSWORD, "quota": "512"}


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Api:
    # bcrypt takes 50 ms, and only the image has its package.
    monkeypatch.setenv("MAILCOW_PASS_SCHEME", "SSHA256")
    monkeypatch.setattr(docker_client, "run", lambda *_words: {"type": "success", "msg": ""})
    return Api()


@pytest.fixture
def filled(api: Api) -> Api:
    """An API with a domain without a key, and a mailbox."""
    added = api.change("add/domain", {"domain": "one.test", "key_size": "0"})
    assert added == [("success", ["domain_added", "one.test"])]
    assert api.change("add/mailbox", BOX) == [("success", ["mailbox_added", "anna@one.test"])]
    return api


@pytest.mark.parametrize(
    ("other", "status", "message"),
    [
        ({"key": "wrong"}, 401, "authentication failed"),
        ({"address": "172.30.0.4"}, 401, "api access denied for ip 172.30.0.4"),
        ({"key": READ_ONLY, "method": "POST", "path": "/api/v1/add/domain", "body": b"{}"}, 403, "access denied"),
        ({"path": "/api/v1/get/nonsense"}, 404, "route not found"),
        ({"method": "POST", "path": "/api/v1/add/nonsense", "body": b"{}"}, 404, "route not found"),
        ({"method": "POST", "path": "/api/v1/add/domain", "body": b"{"}, 400, "valid json"),
        ({"path": "/api/v1/add/domain", "body": b"{}"}, 405, "only POST"),
        ({"method": "POST"}, 405, "only GET"),
    ],
    ids=["key", "address", "read-only", "get", "add", "json", "verb", "get-by-post"],
)
def test_refused_request_has_its_status(api: Api, other: dict[str, Any], status: int, message: str) -> None:
    got, content = api.ask("get/domain/all", **other)
    assert (got, content["type"]) == (status, "error")
    assert message in content["msg"]


@pytest.mark.parametrize("address", ["172.22.1.1", "10.1.200.3", "::ffff:10.1.0.1"])
def test_listed_address_is_allowed(api: Api, address: str) -> None:
    assert api.ask("get/domain/all", key=READ_ONLY, address=address) == (200, {})


def test_wrong_key_counts_as_a_failed_login(api: Api) -> None:
    api.ask("get/domain/all", key="wrong", address="172.30.0.4")
    assert api.store.redis.published == [("F2B_CHANNEL", "mailcow UI: Invalid password for API_USER by 172.30.0.4")]


@pytest.mark.parametrize("kind", ["domain", "mailbox", "alias", "domain-admin", "relayhost", "transport", "rl-mbox"])
def test_empty_list_is_an_empty_object(api: Api, kind: str) -> None:
    assert api.get(f"{kind}/all") == {}
    assert api.get(f"{kind}/unknown") == {}


def test_new_domain_has_sizes_in_bytes_sums_as_texts_and_a_key(api: Api) -> None:
    added = api.change("add/domain", {"domain": "One.Test", "active": "1", "maxquota": "2048"})
    assert added == [("danger", "mailbox_defquota_exceeds_mailbox_maxquota")]
    added = api.change("add/domain", {"domain": "One.Test", "active": "1"})
    assert added == [("success", ["dkim_added", "one.test"]), ("success", ["domain_added", "one.test"])]
    found = api.get("domain/one.test")
    assert (found["domain_name"], found["active"], found["max_quota_for_mbox"]) == ("one.test", 1, 10240 << 20)
    assert (found["quota_used_in_domain"], found["bytes_total"], found["rl"]) == ("0", 0, False)
    assert "tags" not in found
    key = api.get("dkim/one.test")
    assert (key["length"], key["dkim_selector"], key["privkey"]) == ("2048", "dkim", "")
    assert key["dkim_txt"] == f"v=DKIM1;k=rsa;t=s;s=email;p={key['pubkey']}"
    assert "BEGIN PRIVATE KEY" in api.store.redis.hget("DKIM_PRIV_KEYS", "dkim.one.test")


@pytest.mark.parametrize("size", [0, "0"])
def test_domain_with_key_size_0_has_no_key(api: Api, size: Any) -> None:
    added = api.change("add/domain", {"domain": "one.test", "active": 1, "key_size": size})
    assert added == [("success", ["domain_added", "one.test"])]
    assert api.get("dkim/one.test") == {}
    assert api.store.redis.hget("DKIM_PRIV_KEYS", "dkim.one.test") is None


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"domain": "one.test"}, ["domain_exists", "one.test"]),
        ({"domain": "no domain"}, "domain_invalid"),
        ({"domain": "two.test", "quota": "1", "maxquota": "2", "defquota": "1"}, "mailbox_quota_exceeds_domain_quota"),
        ({"domain": "two.test", "defquota": "0"}, "defquota_empty"),
    ],
)
def test_domain_is_refused_with_status_200(filled: Api, attributes: dict[str, str], message: Any) -> None:
    assert filled.change("add/domain", attributes) == [("danger", message)]


def test_domain_changes_only_given_attributes_and_not_below_the_usage(filled: Api) -> None:
    change = {"items": "one.test", "attr": {"description": "new", "backupmx": "1"}}
    assert filled.change("edit/domain", change) == [("success", ["domain_modified", "one.test"])]
    found = filled.get("domain/one.test")
    assert (found["description"], found["backupmx"], found["gal"], found["mboxes_in_domain"]) == ("new", 1, 1, 1)
    lower = {"items": ["one.test"], "attr": {"maxquota": "256", "defquota": "128"}}
    assert filled.change("edit/domain", lower) == [("danger", ["max_quota_in_use", 512])]
    assert filled.change("edit/domain", {"items": ["x.test"], "attr": {}}) == [("danger", "domain_invalid")]


def test_domain_with_mailboxes_is_not_deleted(filled: Api) -> None:
    assert filled.change("delete/domain", ["one.test"]) == [("danger", ["domain_not_empty", "one.test"])]
    assert filled.change("delete/mailbox", ["anna@one.test"]) == [("success", ["mailbox_removed", "anna@one.test"])]
    assert filled.change("delete/domain", ["one.test"]) == [("success", ["domain_removed", "one.test"])]
    assert filled.get("domain/all") == {}


def test_mailbox_has_attributes_as_texts_and_its_quota_in_bytes(filled: Api) -> None:
    found = filled.get("mailbox/anna@one.test")
    assert (found["quota"], found["active"], found["attributes"]["imap_access"]) == (512 << 20, 1, "1")
    assert (found["rl"], found["rl_scope"], found["percent_in_use"]) == (False, "domain", 0)
    assert [each["username"] for each in filled.get("mailbox/all/one.test")] == ["anna@one.test"]
    hashed = filled.store.one("SELECT password FROM mailbox")
    assert hashed is not None
    assert hashed["password"].startswith("{SSHA256}")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, ["object_exists", "anna@one.test"]),
        ({"local_part": "no address"}, "mailbox_invalid"),
        ({"domain": "two.test"}, "access_denied"),
        ({"local_part": "bob", "password2": "other"}, "password_mismatch"),
        ({"local_part": "bob", "password": "short", "password2": "short"}, "password_complexity"),
        ({"local_part": "bob", "password": "", "password2": ""}, "password_complexity"),
        ({"local_part": "bob", "quota": "20000"}, ["mailbox_quota_exceeded", 10240]),
        ({"local_part": "bob", "quota": "10000"}, ["mailbox_quota_left_exceeded", 9728]),
    ],
)
def test_mailbox_is_refused_with_the_reason(filled: Api, change: dict[str, str], message: Any) -> None:
    assert filled.change("add/mailbox", {**BOX, **change}) == [("danger", message)]


def test_mailbox_over_the_limit_of_its_domain_is_refused(filled: Api) -> None:
    filled.change("edit/domain", {"items": ["one.test"], "attr": {"mailboxes": "1"}})
    refused = filled.change("add/mailbox", {**BOX, "local_part": "bob"})
    assert refused == [("danger", ["max_mailbox_exceeded", 1, 1])]


def test_mailbox_changes_only_given_attributes(filled: Api) -> None:
    before = filled.store.one("SELECT password FROM mailbox")
    change = {"items": ["anna@one.test"], "attr": {"name": "Anna", "smtp_access": "0", "quota": 1024, "active": "0"}}
    assert filled.change("edit/mailbox", change) == [("success", ["mailbox_modified", "anna@one.test"])]
    found = filled.get("mailbox/anna@one.test")
    assert (found["name"], found["quota"], found["active"]) == ("Anna", 1 << 30, 0)
    assert (found["attributes"]["smtp_access"], found["attributes"]["imap_access"]) == ("0", "1")
    assert filled.store.one("SELECT password FROM mailbox") == before
    filled.change("edit/mailbox", {"items": ["anna@one.test"], "attr": {"password": "Other-1", "password2": "Other-1"}})
    assert filled.store.one("SELECT password FROM mailbox") != before
    assert filled.change("edit/mailbox", {"items": ["nobody@one.test"], "attr": {}}) == [("danger", "access_denied")]


def test_alias_has_its_targets_and_loses_a_deleted_mailbox(filled: Api) -> None:
    attributes = {"address": "info@one.test,@one.test", "goto": "anna@one.test", "active": "1"}
    added = filled.change("add/alias", attributes)
    assert [severity for severity, _ in added] == ["success", "success"]
    number_of = {each["address"]: each["id"] for each in filled.get("alias/all")}
    assert filled.get(f"alias/{number_of['@one.test']}")["is_catch_all"] == 1
    change = {"items": [number_of["info@one.test"]], "attr": {"goto": "anna@one.test,x@two.test", "active": "0"}}
    assert filled.change("edit/alias", change) == [("success", ["alias_modified", "info@one.test"])]
    found = filled.get("alias/info@one.test")
    assert (found["goto"], found["active"]) == ("anna@one.test,x@two.test", 0)
    filled.change("delete/mailbox", ["anna@one.test"])
    assert [each["goto"] for each in filled.get("alias/all")] == ["x@two.test"]


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"address": "anna@one.test", "goto": "x@two.test"}, ["is_alias_or_mailbox", "anna@one.test"]),
        ({"address": "x@two.test", "goto": "anna@one.test"}, ["domain_not_found", "two.test"]),
        ({"address": "x@one.test", "goto": "nowhere"}, ["goto_invalid", "nowhere"]),
        ({"address": "x@one.test", "goto": ""}, "goto_empty"),
        ({"address": "", "goto": "anna@one.test"}, "alias_empty"),
    ],
)
def test_alias_is_refused_with_the_reason(filled: Api, attributes: dict[str, str], message: Any) -> None:
    assert filled.change("add/alias", attributes) == [("danger", message)]


def test_imported_key_replaces_the_old_one_on_request(filled: Api) -> None:
    filled.change("add/dkim", {"domains": "one.test", "dkim_selector": "old", "key_size": "1024"})
    private = filled.store.redis.hget("DKIM_PRIV_KEYS", "old.one.test")
    attributes = {"domain": "one.test", "dkim_selector": "new", "private_key_file": private}
    refused = filled.change("add/dkim_import", attributes)
    assert refused == [("danger", ["dkim_domain_or_sel_exists", "one.test"])]
    assert filled.get("dkim/one.test")["dkim_selector"] == "old"
    done = filled.change("add/dkim_import", {**attributes, "overwrite_existing": "1"})
    assert done[-1] == ("success", ["dkim_added", "one.test"])
    assert filled.store.redis.hkeys("DKIM_PRIV_KEYS") == ["new.one.test"]
    wrong = filled.change("add/dkim_import", {**attributes, "private_key_file": "no key"})
    assert wrong[0][1][0] == "private_key_error"


def test_log_of_calls_hides_only_passwords_as_the_real_one(filled: Api) -> None:
    filled.change("add/dkim_import", {"domain": "one.test", "private_key_file": "canary"})
    shown = json.dumps(filled.get("logs/api"))
    assert "canary" in shown
    assert PASSWORD not in shown


def test_duplicated_key_signs_for_another_domain(filled: Api) -> None:
    filled.change("add/dkim", {"domains": "one.test", "key_size": "1024"})
    assert filled.change("add/dkim_duplicate", {"from_domain": "one.test", "to_domain": "two.test"})[0][0] == "success"
    assert filled.get("dkim/two.test") == filled.get("dkim/one.test")
    assert filled.change("delete/dkim", ["one.test"]) == [("success", ["dkim_removed", "one.test"])]
    assert filled.get("dkim/one.test") == {}


def test_rate_limit_has_texts_and_is_removed_by_0(filled: Api) -> None:
    change = {"items": ["anna@one.test"], "attr": {"rl_value": 10, "rl_frame": "h"}}
    assert filled.change("edit/rl-mbox", change) == [("success", ["rl_saved", "anna@one.test"])]
    assert filled.get("rl-mbox/anna@one.test") == {"value": "10", "frame": "h"}
    assert filled.get("mailbox/anna@one.test")["rl_scope"] == "mailbox"
    filled.change("edit/rl-mbox", {**change, "attr": {"rl_value": "0", "rl_frame": "h"}})
    assert filled.get("rl-mbox/anna@one.test") == {}
    assert filled.change("edit/rl-domain", {"items": ["x.test"], "attr": {"rl_frame": "h"}}) == [
        ("danger", "access_denied")
    ]


def test_domain_administrator_needs_domains_and_a_valid_password(filled: Api) -> None:
    attributes = {"username": "chief", "domains": ["one.test", "x.test"], "active": "1"}
    assert filled.change("add/domain-admin", attributes) == [("danger", "password_complexity")]
    added = filled.change("add/domain-admin", {**attributes, "password": PASSWORD, "password2": PASSWORD})
    assert added == [("danger", ["domain_invalid", "x.test"]), ("success", ["domain_admin_added", "chief"])]
    found = filled.get("domain-admin/chief")
    assert (found["selected_domains"], found["unselected_domains"], found["active"]) == (["one.test"], "", 1)
    assert filled.change("delete/domain-admin", ["chief"]) == [("success", ["domain_admin_removed", "chief"])]


def test_first_administrator_has_the_shipped_password(api: Api) -> None:
    assert not admins.login(api.store, "admin", "moohoo", "192.0.2.1")
    admins.first(api.store)
    assert admins.login(api.store, " Admin ", "moohoo", "192.0.2.1")
    assert api.get("domain-admin/all") == {}
    api.store.update("admin", "username", "admin", {"password": passwords.hashed(PASSWORD)})
    admins.first(api.store)
    assert admins.login(api.store, "admin", PASSWORD, "192.0.2.1")
    assert not admins.login(api.store, "admin", "moohoo", "192.0.2.1")
    assert len(api.store.redis.published) == 2


def test_domain_administrator_cannot_log_in_as_global_one(filled: Api) -> None:
    attributes = {"username": "chief", "domains": "one.test", "password": PASSWORD, "password2": PASSWORD}
    filled.change("add/domain-admin", {**attributes, "active": "1"})
    assert not admins.login(filled.store, "chief", PASSWORD, "192.0.2.1")


def test_app_password_has_only_the_given_protocols(filled: Api) -> None:
    attributes = {"username": "anna@one.test", "app_name": "phone", "active": "1", "protocols": ["imap_access"]}
    filled.change("add/app-passwd", {**attributes, "app_passwd": PASSWORD, "app_passwd2": PASSWORD})
    (found,) = filled.get("app-passwd/all/anna@one.test")
    assert (found["name"], found["imap_access"], found["smtp_access"]) == ("phone", 1, 0)
    assert filled.change("delete/app-passwd", [found["id"]]) == [("success", ["app_passwd_removed", found["id"]])]
    assert filled.change("delete/app-passwd", [99]) == [("danger", "app_passwd_id_invalid")]


def test_name_of_an_app_password_is_escaped_as_often_as_in_the_real_api(filled: Api) -> None:
    attributes = {"username": "anna@one.test", "app_name": "a & 'b'", "active": "1"}
    filled.change("add/app-passwd", {**attributes, "app_passwd": PASSWORD, "app_passwd2": PASSWORD})

    def shown() -> Any:
        return filled.get("app-passwd/all/anna@one.test")[0]["name"]

    assert shown() == "a &amp;amp; &amp;#039;b&amp;#039;"
    for attr, name in (({"app_name": "a & b"}, "a &amp;amp; b"), ({"active": "0"}, "a &amp;amp;amp;amp; b")):
        filled.change("edit/app-passwd", {"items": [1], "attr": {"username": "anna@one.test", **attr}})
        assert shown() == name


@pytest.mark.parametrize(
    ("host", "kept"), [("192.0.2.1", "[192.0.2.1]"), ("2001:DB8::1", "[2001:DB8::1]"), ("mx.test:25", "mx.test:25")]
)
def test_next_hop_that_is_an_address_is_stored_in_brackets(filled: Api, host: str, kept: str) -> None:
    for verb, body in (
        ("add", {"destination": "three.test", "nexthop": host}),
        ("edit", {"items": [1], "attr": {"nexthop": host}}),
    ):
        filled.change(f"{verb}/transport", body)
        assert filled.get("transport/all")[0]["nexthop"] == kept


def test_new_relay_host_is_always_active(filled: Api) -> None:
    filled.change("add/relayhost", {"hostname": "192.0.2.1", "active": "0"})
    (relay,) = filled.get("relayhost/all")
    assert (relay["hostname"], relay["active"]) == ("192.0.2.1", 1)


def test_transport_and_relay_host_are_stored_with_their_logins(filled: Api) -> None:
    attributes = {"destination": "three.test", "nexthop": "[10.0.0.1]:25", "active": "1"}
    assert filled.change("add/transport", attributes) == [("success", ["relayhost_added", ""])]
    assert filled.change("add/transport", attributes) == [("danger", ["transport_dest_exists", "three.test"])]
    assert filled.change("add/relayhost", {"hostname": ""}) == [("danger", ["invalid_host", ""])]
    filled.change("add/relayhost", {"hostname": "relay.test:587", "username": "u", "password": "p"})
    (relay,) = filled.get("relayhost/all")
    filled.change("edit/domain", {"items": ["one.test"], "attr": {"relayhost": relay["id"]}})
    assert filled.get(f"relayhost/{relay['id']}")["used_by_domains"] == "one.test"


def test_unban_is_queued_for_the_filter(api: Api) -> None:
    api.store.redis.hset("F2B_ACTIVE_BANS", "172.30.0.4/32", 4102444800)
    (ban,) = api.get("fail2ban")["active_bans"]
    assert (ban["ip"], ban["queued_for_unban"]) == ("172.30.0.4", 0)
    api.change("edit/fail2ban", {"items": ["172.30.0.4/32"], "attr": {"action": "unban"}})
    assert api.get("fail2ban")["active_bans"][0]["queued_for_unban"] == 1


@pytest.mark.parametrize("mode", ["down", "500", "slow", "html"])
def test_fault_applies_to_matching_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    file = tmp_path / "fault"
    monkeypatch.setattr(faults, "FILE", file)
    assert faults.mode("/api/v1/get/domain/all", file) == "none"
    assert faults.order([mode, "add/mailbox"]) == 0
    assert faults.mode("/api/v1/add/mailbox", file) == mode
    assert faults.mode("/api/v1/get/domain/all", file) == "none"
    assert faults.order(["none"]) == 0
    assert faults.mode("/api/v1/add/mailbox", file) == "none"
    assert faults.order(["unheard"]) == 2


@pytest.mark.parametrize(("value", "wanted"), [("1", 1), (1, 1), (True, 1), ("12 MB", 12), ("x", 0), ("", 0)])
def test_text_is_converted_to_a_number_as_in_php(value: Any, wanted: int) -> None:
    assert number(value) == wanted


@pytest.mark.parametrize("name", ["one.test", "a-b.c", "localhost"])
def test_domain_name_is_valid(name: str) -> None:
    assert is_domain(name)


@pytest.mark.parametrize("name", ["", "no domain", "-a.test", "a..test", "a" * 64 + ".test"])
def test_domain_name_is_not_valid(name: str) -> None:
    assert not is_domain(name)


@pytest.mark.parametrize("text", ["@one.test", "a b@one.test", "a@", "a@localhost", ".a@one.test"])
def test_address_is_not_valid(text: str) -> None:
    assert not is_address(text)


def test_hash_is_not_hashed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAILCOW_PASS_SCHEME", "SSHA512")
    assert passwords.hashed("{SSHA256}abc") == "{SSHA256}abc"
    assert passwords.hashed("abc").startswith("{SSHA512}")
    assert passwords.hashed("abc") != passwords.hashed("abc")


@pytest.mark.parametrize(("address", "wanted"), [("10.1.2.3", True), ("10.2.0.1", False), ("fd30::1", False)])
def test_address_is_matched_with_a_list_of_networks(address: str, wanted: bool) -> None:
    assert limits.allowed(address, "nonsense, 10.1.0.0/16; 192.0.2.1") is wanted
