"""The API of a tree: its calls, and the fields that each call reads."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from stand_in import api as stand_in_api
from stand_in import docker_client
from stand_in.api.store import Reply

from tests.contract.trees import Tree
from tests.unit.sandbox.mailcow_api import Api

Call = tuple[str, str]  # the verb and the kind of object
# Where the real API reads the fields of a call: the file, and the type of object in the function mailbox().
PLACES: dict[str, tuple[str, str]] = {
    "relayhost": ("transports", ""),
    "transport": ("transports", ""),
    "domain": ("mailbox", "domain"),
    "mailbox": ("mailbox", "mailbox"),
    "alias": ("mailbox", "alias"),
    "domain-admin": ("domain_admin", ""),
    "app-passwd": ("app_passwd", ""),
    "rl-domain": ("ratelimit", "domain"),
    "rl-mbox": ("ratelimit", "mailbox"),
}
FUNCTIONS = {"relayhost": "relayhost", "transport": "transport"}


class Recorder(dict[str, Any]):
    """The fields of a request, which records those that are read."""

    def __init__(self, fields: dict[str, Any]) -> None:
        super().__init__(fields)
        self.read: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        self.read.add(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self.read.add(key)
        return super().get(key, default)

    def __contains__(self, key: object) -> bool:
        self.read.add(str(key))
        return super().__contains__(key)


def block(text: str, indent: int, name: str) -> str:
    """Return the parts of all switches in PHP that begin with a case, up to the next case of the same switch."""
    pad = " " * indent
    parts = re.split(rf"\n{pad}case ['\"]([\w-]+)['\"]:", text)
    return "".join(part for case, part in zip(parts[1::2], parts[2::2], strict=True) if case == name)


def code(tree: Tree, verb: str, kind: str) -> str:
    """Return the code of the real API that reads the fields of a call."""
    file, part = PLACES[kind]
    text = tree.read(f"data/web/inc/functions.{file}.inc.php")
    if kind in FUNCTIONS:
        text = text[re.search(rf"^function {FUNCTIONS[kind]}\(", text, re.MULTILINE).start() :]  # type: ignore[union-attr]
        text = text.partition("\nfunction ")[0]
    return block(block(text, 4, verb), 8, part) if part else text.partition("\n    case ")[0] + block(text, 4, verb)


def calls(tree: Tree) -> set[Call]:
    """Return the calls of the API: verb and kind."""
    if tree.name == "stand-in":
        tables: dict[str, Iterable[str]] = {"get": stand_in_api.GET, "add": stand_in_api.ADD}
        tables |= {"edit": stand_in_api.EDIT, "delete": stand_in_api.DELETE}
        return {(verb, kind) for verb, table in tables.items() for kind in table}
    text = tree.read("data/web/json_api.php")
    found = set[Call]()
    for verb in ("get", "add", "edit", "delete"):
        found |= {(verb, kind) for kind in re.findall(r'\n {8,10}case "([\w-]+)":', block(text, 4, verb))}
    return found


def unread(tree: Tree, api: Api, verb: str, kind: str, fields: dict[str, Any], items: list[Any]) -> set[str]:
    """Return the fields of a request that a call does not read. The stand-in executes the call."""
    if tree.name != "stand-in":
        names = set(re.findall(r"\$_data\['(\w+)'\]", code(tree, verb, kind)))
        return fields.keys() - names
    recorder, reply = Recorder(fields), Reply(verb, kind)
    docker_client.run = lambda *_words: {"type": "success", "msg": ""}
    if verb == "add":
        stand_in_api.ADD[kind](api.store, reply, recorder)
    else:
        stand_in_api.EDIT[kind](api.store, reply, items, recorder)
    assert [message["msg"] for message in reply.messages if message["type"] == "danger"] == []
    return fields.keys() - recorder.read
