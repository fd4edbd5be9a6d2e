"""The stand-in of mailcow's API with SQLite and a dict in place of MariaDB and Redis."""

from __future__ import annotations

import json
import re
import sqlite3
from typing import Any

from stand_in.api import Request, dispatch
from stand_in.api.store import Store, schema

KEY, READ_ONLY = "0123-key", "4567-read"


class Redis:
    """The commands of Redis that the API uses."""

    def __init__(self) -> None:
        self.hashes: dict[str, dict[str, str]] = {}
        self.texts: dict[str, str] = {}
        self.lists: dict[str, list[str]] = {}
        self.published: list[tuple[str, str]] = []

    def hget(self, name: str, key: str) -> str | None:
        return self.hashes.get(name, {}).get(key)

    def hgetall(self, name: str) -> dict[str, str]:
        return dict(self.hashes.get(name, {}))

    def hkeys(self, name: str) -> list[str]:
        return list(self.hashes.get(name, {}))

    def hset(self, name: str, key: str, value: Any) -> None:
        self.hashes.setdefault(name, {})[key] = str(value)

    def hdel(self, name: str, key: str) -> None:
        self.hashes.get(name, {}).pop(key, None)

    def get(self, name: str) -> str | None:
        return self.texts.get(name)

    def set(self, name: str, value: str) -> None:
        self.texts[name] = value

    def delete(self, name: str) -> None:
        self.hashes.pop(name, None)

    def lpush(self, name: str, line: str) -> None:
        self.lists.setdefault(name, []).insert(0, line)

    def ltrim(self, name: str, first: int, last: int) -> None:
        self.lists[name] = self.lists[name][first : last + 1]

    def lrange(self, name: str, first: int, last: int) -> list[str]:
        return self.lists.get(name, [])[first : last + 1]

    def publish(self, channel: str, text: str) -> None:
        self.published.append((channel, text))


class Cursor:
    """A cursor of SQLite for MariaDB's SQL."""

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self.cursor = cursor

    def execute(self, statement: str, values: tuple[Any, ...]) -> None:
        statement = statement.replace("INT NOT NULL AUTO_INCREMENT", "INTEGER").replace("%s", "?")
        self.cursor.execute(re.sub(r" ON UPDATE CURRENT_TIMESTAMP", "", statement), values)

    def fetchall(self) -> list[Any]:
        return self.cursor.fetchall()

    @property
    def lastrowid(self) -> int | None:
        return self.cursor.lastrowid


class Database:
    """A connection."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:")
        self.connection.row_factory = sqlite3.Row

    def cursor(self) -> Cursor:
        return Cursor(self.connection.cursor())


class Api:
    """A mail server's API, as its client sees it."""

    def __init__(self) -> None:
        self.store = Store(Database(), Redis())
        for statement in schema():
            self.store.run(statement)
        for key, access in ((KEY, "rw"), (READ_ONLY, "ro")):
            self.store.insert("api", {"api_key": key, "access": access, "allow_from": "172.22.1.1,10.1.0.0/16"})

    def ask(self, path: str, body: Any = None, /, **other: Any) -> tuple[int, Any]:
        raw = b"" if body is None else json.dumps(body).encode()
        request = Request("GET" if body is None else "POST", f"/api/v1/{path}", raw, KEY, "172.22.1.1")
        status, content = dispatch(self.store, Request(**{**vars(request), **other}))
        return status, json.loads(json.dumps(content, default=str))

    def get(self, path: str) -> Any:
        return self.ask(f"get/{path}")[1]

    def change(self, path: str, body: Any) -> list[Any]:
        status, content = self.ask(path, body)
        assert status == 200
        return [(each["type"], each["msg"]) for each in content]
