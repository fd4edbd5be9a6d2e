"""The live Redis: verification, changes with and without a restart; systemctl is a stand-in that notes its calls."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.module_utils.host import certificates, programs
from ansible_collections.vise.platform.plugins.module_utils.redis import isolated, live
from ansible_collections.vise.platform.plugins.module_utils.redis.settings import (
    LoadingError,
    RedisError,
    Settings,
    UnreachableError,
)
from ansible_collections.vise.platform.plugins.module_utils.redis.state import State

from .stand_ins import ConnectionFailed, LibraryError, Loading, Server

TLS = {"tls-cert-file": "/tls/chain.pem", "tls-key-file": "/tls/key.pem", "tls-ca-cert-file": "/tls/ca.pem"}
WANTED = {"hz": "10", "bind": "* -::*", "tls-port": "6379", **TLS}


class Unit:
    """systemctl: the verbs that it was given, and the verbs that fail."""

    def __init__(self) -> None:
        self.verbs: list[str] = []
        self.active = "active"
        self.failing: list[str] = []
        self.log = ""
        self.restarts = 0

    def run(self, argv: list[str], **_options: object) -> programs.Result:
        """Stand in for programs.run."""
        if argv[0] == "journalctl":
            return programs.Result(0, self.log)
        if argv[1] == "show":
            return programs.Result(0, f"{self.restarts}\n")
        assert (argv[0], argv[2]) == ("systemctl", "redis-server.service")
        self.verbs.append(argv[1])
        failed = argv[1] in self.failing
        return programs.Result(int(failed), f"{self.active}\n", "Job failed\n" if failed else "")


@pytest.fixture
def unit(monkeypatch: pytest.MonkeyPatch) -> Unit:
    """The unit of Redis."""
    found = Unit()
    monkeypatch.setattr(programs, "run", found.run)
    return found


@pytest.fixture(autouse=True)
def wanted(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    """A live Redis that has the wanted state."""
    server.settings, server.users = dict(WANTED), ["user edu"]

    def read_served(address: str, port: int, client: tuple[str, str]) -> bytes:
        assert (address, port, client) == ("*", 6379, ("/tls/chain.pem", "/tls/key.pem"))
        return b"/tls/chain.pem"

    monkeypatch.setattr(isolated, "read_wanted_state", lambda _settings: State(WANTED, ["user edu"]))
    monkeypatch.setattr(certificates, "read_served", read_served)
    monkeypatch.setattr(certificates, "read_first", str.encode)


def told(server: Server) -> list[tuple[str, ...]]:
    return [call for call in server.calls if call[0] in ("config_set", "acl_load")]


RELOADED = ("config_set", *(word for pair in TLS.items() for word in pair))


def test_wanted_state_is_verified(settings: Settings) -> None:
    live.verify(settings)


def test_changed_settings_are_named(settings: Settings, server: Server) -> None:
    server.settings.update(hz="1", bind="127.0.0.1")
    with pytest.raises(RedisError, match="the live settings differ from the file in bind, hz"):
        live.verify(settings)


def test_changed_users_are_reported(settings: Settings, server: Server) -> None:
    server.users.append("user intruder")
    with pytest.raises(RedisError, match="the live users differ"):
        live.verify(settings)


def test_old_certificate_is_reported(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "read_first", lambda _path: b"renewed")
    with pytest.raises(RedisError, match="not the certificate on disk"):
        live.verify(settings)


@pytest.mark.parametrize("restart", [True, False])
def test_certificate_is_always_loaded_again(settings: Settings, server: Server, unit: Unit, restart: bool) -> None:
    live.apply(settings, restart=restart)
    assert (told(server), unit.verbs) == ([RELOADED], ["is-active"])
    assert (Path(settings.run) / "users.acl").exists()


def test_changes_are_made_without_a_restart(settings: Settings, server: Server, unit: Unit) -> None:
    server.settings["hz"], server.users = "1", []
    live.apply(settings)
    assert told(server) == [("config_set", "hz", "10", *RELOADED[1:]), ("acl_load",)]
    assert unit.verbs == ["is-active"]


def test_stopped_unit_stays_stopped(settings: Settings, server: Server, unit: Unit) -> None:
    unit.active = "inactive"
    live.apply(settings)
    assert (server.calls, unit.verbs) == ([], ["is-active"])


@pytest.mark.parametrize(
    ("method", "error", "restarts"),
    [
        ("config_set", LibraryError("CONFIG SET failed - can't set immutable config"), True),
        ("config_set", LibraryError("can't set protected config"), True),
        ("config_set", LibraryError("argument must be between 1 and 5"), False),
        ("connect", ConnectionFailed("invalid username-password pair"), True),
        ("config_get", Loading("loading"), False),
        ("acl_load", LibraryError("duplicate user"), False),
    ],
)
def test_restart_is_only_for_what_needs_one(
    settings: Settings, server: Server, unit: Unit, method: str, error: Exception, restarts: bool
) -> None:
    server.users = []
    server.errors[method] = [error]
    if restarts:
        live.apply(settings)
        assert [verb for verb in unit.verbs if verb != "is-active"] == ["reset-failed", "restart"]
        unit.verbs.clear()
        server.errors[method] = [error]
        with pytest.raises(RedisError):
            live.apply(settings, restart=False)
    else:
        with pytest.raises(RedisError, match=str(error)):
            live.apply(settings)
    assert set(unit.verbs) == {"is-active"}


def test_rejected_files_restart_nothing(settings: Settings, unit: Unit, monkeypatch: pytest.MonkeyPatch) -> None:
    def reject(_settings: Settings) -> State:
        raise RedisError("Bad directive")

    monkeypatch.setattr(isolated, "read_wanted_state", reject)
    with pytest.raises(RedisError, match="Bad directive"):
        live.apply(settings)
    assert unit.verbs == ["is-active"]


NUL_TAIL = """1:M 1 Jan 2026 * Reading RDB base file on AOF loading...
1:M 1 Jan 2026 # Bad file format reading the append only file appendonly.aof.1.incr.aof: make a backup of your AOF file
"""


def test_failed_start_contains_the_last_words_and_the_way_out(settings: Settings, unit: Unit) -> None:
    unit.failing, unit.log = ["restart"], NUL_TAIL
    with pytest.raises(
        RedisError, match=r"(?s)Job failed; .*Bad file format reading.*Run `vise-redis repair`"
    ) as error:
        live.start(settings, "restart")
    assert "Reading RDB base" not in str(error.value)


@pytest.mark.parametrize(
    ("error", "active", "restarts", "explained"),
    [
        (UnreachableError("no answer"), "activating", 3, True),
        (LoadingError("no answer"), "activating", 3, True),
        (UnreachableError("no answer"), "deactivating", 3, True),
        (UnreachableError("no answer"), "failed", 0, True),
        # Its first start, which may take long.
        (LoadingError("no answer"), "activating", 0, False),
        (UnreachableError("no answer"), "inactive", 0, False),
        (UnreachableError("no answer"), "active", 3, False),
        (RedisError("no answer"), "activating", 3, False),
    ],
)
def test_error_of_a_redis_that_does_not_start_contains_its_last_words(
    unit: Unit, error: RedisError, active: str, restarts: int, explained: bool
) -> None:
    unit.active, unit.restarts, unit.log = active, restarts, NUL_TAIL
    text = live.explain(error)
    assert text.startswith("no answer")
    assert ("Bad file format" in text) == explained


def test_failed_start_names_the_journal(settings: Settings, unit: Unit) -> None:
    unit.failing = ["restart", "stop"]
    with pytest.raises(RedisError, match=r"does not start: Job failed; see journalctl -u redis-server\.service"):
        live.start(settings, "restart")
    with pytest.raises(RedisError, match="does not stop: Job failed"):
        live.stop()
