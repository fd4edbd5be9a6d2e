"""The connection to a Redis, over a stand-in for python3-redis."""

from __future__ import annotations

import sys

import pytest
from ansible_collections.vise.platform.plugins.module_utils.redis.client import Client
from ansible_collections.vise.platform.plugins.module_utils.redis.settings import (
    LoadingError,
    RedisError,
    UnreachableError,
)
from ansible_collections.vise.platform.plugins.module_utils.redis.state import State

from .stand_ins import ConnectionFailed, LibraryError, Loading, Server, TooLate


def test_administrator_connects_at_once_and_without_retries(server: Server) -> None:
    Client("/run/redis.sock", "secret")
    assert server.options == {
        "unix_socket_path": "/run/redis.sock",
        "username": "admin",
        "password": "secret",
        "socket_timeout": 60,
        "decode_responses": True,
        "encoding_errors": "surrogateescape",
        "retry": ("at once", 0),
        "single_connection_client": True,
    }


def test_state_has_settings_and_sorted_users(server: Server) -> None:
    server.settings, server.users = {"hz": "10"}, ["user b", "user a"]
    assert Client("/s", "x").read_state() == State({"hz": "10"}, ["user a", "user b"])


def test_commands_are_sent(server: Server) -> None:
    client = Client("/s", "x")
    client.change_settings({"hz": "5", "tls-key-file": "/key"})
    client.load_users()
    assert client.begin_snapshot()
    assert client.read_info() == {"loading": 0}
    assert server.calls == [
        ("connect",),
        ("config_set", "hz", "5", "tls-key-file", "/key"),
        ("acl_load",),
        ("bgsave", "True"),
        ("info",),
    ]


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (ConnectionFailed("no such file"), UnreachableError),
        (TooLate("60 s"), UnreachableError),
        # It answers, and a restart would end the connections of all applications.
        (ConnectionFailed("max number of clients reached"), RedisError),
        (Loading("loading"), LoadingError),
        (LibraryError("immutable config"), RedisError),
    ],
)
@pytest.mark.parametrize("method", ["connect", "config_set", "acl_load", "bgsave", "info", "acl_list"])
def test_errors_of_the_library_are_raised_as_those_of_the_program(
    server: Server, method: str, error: Exception, raised: type[Exception]
) -> None:
    server.errors[method] = [error]
    with pytest.raises(RedisError) as found:
        client = Client("/s", "x")
        client.read_info()
        client.read_state()
        client.change_settings({"a": "b"})
        client.load_users()
        client.begin_snapshot()
    assert (type(found.value), str(found.value)) == (raised, str(error))


def test_running_snapshot_is_no_error(server: Server) -> None:
    server.errors["bgsave"] = [LibraryError("Background save already in progress")]
    assert not Client("/s", "x").begin_snapshot()


def test_missing_library_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(RedisError, match="install the package python3-redis"):
        Client("/s", "x")
