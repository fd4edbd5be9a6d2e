"""What the modules send to the API: calls, fields, secrets, and texts that mailcow stores in another form."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.mailcow import objects, relays, sync

from tests.contract import api
from tests.contract.trees import Tree
from tests.unit.sandbox.mailcow_api import Api

WORD = "s3cret-Word1"
HOST = "[smtp.example.net]:587"
# All options of an object of each kind, in the order in which they are added.
ENTRIES: dict[str, dict[str, Any]] = {
    "relayhost": {"host": HOST, "username": "u", "password": WORD, "active": True},
    "transport": {"destination": "example.com", "host": HOST, "username": "u", "password": WORD, "active": True},
    "domain": {
        "name": "example.org",
        "description": "d",
        "mailboxes": 5,
        "aliases": 5,
        "default_quota": 10,
        "max_quota": 20,
        "quota": 100,
        "active": True,
        "global_address_list": True,
        "relay": False,
        "relay_all_recipients": False,
        "relay_host": "",
    },
    "mailbox": {
        "address": "alice@example.org",
        "name": "Alice",
        "password": WORD,
        "quota": 5,
        "active": True,
        "protocols": ["imap"],
        "webmail": True,
        "force_password_change": False,
    },
    "alias": {
        "address": "team@example.org",
        "goto": ["alice@example.org"],
        "active": True,
        "internal": False,
        "sender_allowed": True,
        "webmail": True,
        "comment": "c",
    },
    "domain-admin": {"username": "chief", "domains": ["example.org"], "password": WORD, "active": True},
    "app-passwd": {
        "mailbox": "alice@example.org",
        "name": "program",
        "password": WORD,
        "protocols": ["imap"],
        "active": True,
    },
    "rl-domain": {"name": "example.org", "messages": 5, "per": "hour"},
    "rl-mbox": {"name": "alice@example.org", "messages": 5, "per": "hour"},
}
KINDS = {kind.path: kind for kind in objects.KINDS}
# The object in a change of each kind; by default its number.
ITEMS = {
    **dict.fromkeys(("domain", "rl-domain"), "example.org"),
    **dict.fromkeys(("mailbox", "rl-mbox"), "alice@example.org"),
    "alias": 2,
    "domain-admin": "chief",
}
# Fields of a new object that mailcow ignores; the module sets them in a second call, because they still differ.
IGNORED = {("add", "relayhost"): {"active"}, ("add", "domain"): {"relayhost"}}
READ = [("get", path) for path in (*ENTRIES, "alias-domain", "dkim", "status", "mailq")]


@pytest.fixture(autouse=True)
def _scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    # The stand-in's own hash needs a library that only its image has
    monkeypatch.setenv("MAILCOW_PASS_SCHEME", "SSHA256")


def entry(path: str) -> dict[str, Any]:
    """Return an entry as the module compares it."""
    options = dict.fromkeys(objects.LISTS[KINDS[path].option])
    return KINDS[path].normalize({**options, **ENTRIES[path], "state": "present"})


def sent(path: str, verb: str) -> dict[str, Any]:
    """Return the fields that the module sends."""
    kind, options = KINDS[path], {k: v for k, v in sync.given_options(entry(path)).items() if k != "key"}
    if verb == "add":
        return kind.create(options)
    current = sync.Current("1", {**options, "per": "hour"}, {"attributes": {}})
    return kind.update({key: value for key, value in options.items() if key != kind.key}, current)


def test_each_option_is_tried() -> None:
    for path, values in ENTRIES.items():
        assert set(values) == set(objects.LISTS[KINDS[path].option]), path


def test_each_call_of_the_modules_exists(tree: Tree) -> None:
    used = {(verb, path) for path in ENTRIES for verb in ("add", "edit", "delete") if not path.startswith("rl-")}
    used |= {("edit", "rl-domain"), ("edit", "rl-mbox"), ("delete", "dkim"), *READ}
    assert used <= api.calls(tree)


def test_each_field_of_the_modules_is_read(tree: Tree) -> None:
    server = Api()
    for path in ENTRIES:
        for verb in ("add", "edit") if not path.startswith("rl-") else ("edit",):
            missing = api.unread(tree, server, verb, path, sent(path, verb), [ITEMS.get(path, 1)])
            assert missing == IGNORED.get((verb, path), set()), f"{verb} {path}"


@pytest.mark.parametrize("path", sorted(ENTRIES))
def test_values_are_numbers_texts_and_lists_of_texts(path: str) -> None:
    for verb in ("add", "edit"):
        for value in sent(path, verb).values():
            texts = value if isinstance(value, list) else [value]
            assert all(type(one) in (int, str) for one in texts), (path, verb, value)


def masked(tree: Tree, field: str) -> bool:
    """Return whether mailcow hides the value of a field in its log of calls."""
    if tree.name == "stand-in":
        server = Api()
        server.change("add/relayhost", {"hostname": "a", field: "canary"})
        return "canary" not in json.dumps(server.get("logs/api"))
    (pattern,) = re.findall(r'preg_match\("/(\w+)/i", \$key\)', tree.read("data/web/json_api.php"))
    return bool(re.search(pattern, field, re.IGNORECASE))


def test_secrets_of_the_modules_are_hidden_in_the_log_of_calls(tree: Tree) -> None:
    secret = {field for path in ENTRIES for field, value in sent(path, "add").items() if value == WORD}
    assert secret == {"password", "password2", "app_passwd", "app_passwd2"}
    assert {field for field in secret if not masked(tree, field)} == set()
    # Therefore no module sends this one
    assert not masked(tree, "private_key_file")


def stored(tree: Tree, path: str, text: str, verb: str) -> dict[str, str]:
    """Return how mailcow stores a login that contains a colon."""
    if tree.name == "stand-in":
        server = Api()
        fields = {**sent(path, "add"), "username": text, "password": text}
        server.change(f"add/{path}", fields)
        if verb == "edit":
            server.change(f"edit/{path}", {"items": [1], "attr": {"username": text, "password": text}})
        (row,) = server.get(f"{path}/all")
        return {key: row[key] for key in relays.LOGIN}
    return {key: escape(text, api.code(tree, verb, path), key) for key in relays.LOGIN}


def escape(text: str, block: str, key: str) -> str:
    """Return a text as often escaped as the code of the real API does it with a variable."""
    number = len(re.findall(rf"\${key} = str_replace|':{key}' => str_replace", block))
    for _ in range(number):
        text = text.replace(":", "\\:")
    return text


def test_relay_host_with_a_colon_is_escaped_only_when_it_is_added(tree: Tree) -> None:
    assert stored(tree, "relayhost", "a:b", "add") == {"username": "a\\:b", "password": "a\\\\:b"}
    assert stored(tree, "relayhost", "a:b", "edit") == {"username": "a:b", "password": "a:b"}


def add_mailbox(**fields: Any) -> Any:
    """Add a mailbox to the stand-in, without the fields that are None, and return it."""
    server = Api()
    server.change("add/domain", sent("domain", "add"))
    wanted = {**sent("mailbox", "add"), **fields}
    server.change("add/mailbox", {key: value for key, value in wanted.items() if value is not None})
    return server.get("mailbox/alice@example.org")


def test_name_of_a_mailbox_loses_the_signs_of_an_address(tree: Tree) -> None:
    if tree.name == "stand-in":
        assert add_mailbox(name="<Alice>")["name"] == "Alice"
    else:
        blocks = [api.code(tree, verb, "mailbox") for verb in ("add", "edit")]
        assert all("ltrim(rtrim($_data['name'], '>'), '<')" in block for block in blocks)


def test_mailbox_without_a_quota_would_be_unlimited(tree: Tree) -> None:
    if tree.name == "stand-in":
        assert add_mailbox(quota=None)["quota"] == 0
    else:
        template = tree.read("data/web/inc/init_db.inc.php").partition("$default_mailbox_template")[2]
        assert re.findall(r'"quota" => (\d+)', template)[0] == "0"
