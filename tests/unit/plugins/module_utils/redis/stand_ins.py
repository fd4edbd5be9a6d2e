"""What stands in for Debian's python3-redis, which the controller does not have."""

from __future__ import annotations

import sys
import types
from collections.abc import Mapping
from typing import Any

import pytest


class LibraryError(Exception):
    """The library's RedisError."""


class ConnectionFailed(LibraryError):
    """The library's ConnectionError."""


class Loading(ConnectionFailed):
    """The library's BusyLoadingError."""


class TooLate(LibraryError):
    """The library's TimeoutError."""


class Server:
    """A server: what it answers, and what it was told."""

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}
        self.calls: list[tuple[str, ...]] = []
        self.settings: dict[str, str] = {}
        self.users: list[str] = []
        self.infos: list[dict[str, Any]] = [{"loading": 0}]  # one answer each; the last one stays
        self.errors: dict[str, list[Exception]] = {}  # by method, one each

    def answer(self, *call: str) -> None:
        """Note a call, or fail."""
        self.calls.append(call)
        if self.errors.get(call[0]):
            raise self.errors[call[0]].pop(0)


class Library:
    """The class redis.Redis."""

    def __init__(self, server: Server, **options: Any) -> None:
        self.server = server
        server.options = options
        server.answer("connect")

    def config_get(self, pattern: str) -> dict[str, str]:
        """Return settings."""
        self.server.answer("config_get", pattern)
        return self.server.settings

    def config_set(self, *words: str) -> None:
        """Change settings."""
        self.server.answer("config_set", *words)
        self.server.settings.update(zip(words[::2], words[1::2], strict=True))

    def acl_list(self) -> list[str]:
        """Return users."""
        self.server.answer("acl_list")
        return self.server.users

    def acl_load(self) -> None:
        """Load users."""
        self.server.answer("acl_load")

    def info(self) -> Mapping[str, Any]:
        """Return the status."""
        self.server.answer("info")
        return self.server.infos.pop(0) if len(self.server.infos) > 1 else self.server.infos[0]

    def bgsave(self, schedule: bool) -> None:
        """Begin a snapshot."""
        self.server.answer("bgsave", str(schedule))


def install(monkeypatch: pytest.MonkeyPatch) -> Server:
    """Make `import redis` import the stand-in; return the server that it connects to."""
    server = Server()
    modules = {name: types.ModuleType(name) for name in ("redis", "redis.backoff", "redis.exceptions", "redis.retry")}
    vars(modules["redis"]).update(
        Redis=lambda **options: Library(server, **options), exceptions=modules["redis.exceptions"]
    )
    vars(modules["redis.backoff"]).update(NoBackoff=lambda: "at once")
    vars(modules["redis.retry"]).update(Retry=lambda backoff, retries: (backoff, retries))
    errors = {
        "RedisError": LibraryError,
        "ConnectionError": ConnectionFailed,
        "BusyLoadingError": Loading,
        "TimeoutError": TooLate,
    }
    vars(modules["redis.exceptions"]).update(errors)
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    return server
