"""The repair of the append-only file: a copy first, redis-check-aof, and what was cut off."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.module_utils.host import programs
from ansible_collections.vise.platform.plugins.module_utils.redis import live, repairs
from ansible_collections.vise.platform.plugins.module_utils.redis.settings import (
    LoadingError,
    RedisError,
    Settings,
    UnreachableError,
)

WHOLE = b"*1\r\n$4\r\nPING\r\n"


class Host:
    """A Redis whose append-only file has an end that redis-check-aof cuts off."""

    def __init__(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self.code = 0
        self.failing = False
        self.append = Path(settings.data) / "appendonlydir"
        self.append.mkdir()
        (self.append / "base.rdb").write_bytes(b"base")
        (self.append / "incr.aof").write_bytes(WHOLE + bytes(10) + b"xy")
        self.connection: Exception | None = UnreachableError("no socket")
        self.run = programs.run
        monkeypatch.setattr(programs, "run", self.act)
        monkeypatch.setattr(live, "stop", lambda: self.calls.append("stop"))
        monkeypatch.setattr(live, "start", lambda _settings: self.calls.append("start"))
        monkeypatch.setattr(live, "connect", self.connect)
        monkeypatch.setattr(live, "is_failing", lambda: self.failing)

    def connect(self, _settings: Settings) -> None:
        """Connect to Redis."""
        if self.connection:
            raise self.connection

    def act(self, argv: list[str], **options: object) -> programs.Result:
        """Run a program; redis-check-aof truncates a file after the answer y."""
        self.calls.append(argv[0])
        if argv[0] != "redis-check-aof":
            return self.run(argv, **options)  # type: ignore[arg-type]
        assert (argv[1:], options["stdin"]) == (["--fix", str(self.append / "appendonly.aof.manifest")], "y\n")
        if not self.code:
            (self.append / "incr.aof").write_bytes(WHOLE)
        return programs.Result(self.code, "not the last file")


@pytest.fixture
def host(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A host with a damaged append-only file."""
    return Host(settings, monkeypatch)


def test_damaged_end_is_cut_off_after_a_copy(host: Host, settings: Settings) -> None:
    done = repairs.repair(settings)
    assert (done.cut, done.content) == (12, 2)
    assert (Path(done.copy) / "appendonlydir/incr.aof").read_bytes() == WHOLE + bytes(10) + b"xy"
    assert [call for call in host.calls if call != "sync"] == ["stop", "cp", "redis-check-aof", "start"]


def test_data_that_cannot_be_repaired_is_named_with_its_copy(host: Host, settings: Settings) -> None:
    host.code = 1
    with pytest.raises(RedisError, match=r"(?s)not the last file.*restore_redis\.yml.*before-repair-"):
        repairs.repair(settings)
    assert "start" not in host.calls


@pytest.mark.parametrize(
    ("answer", "message"), [(None, "there is nothing to repair"), (LoadingError("loading"), "still loads its data")]
)
def test_redis_that_answers_is_not_stopped(
    host: Host, settings: Settings, monkeypatch: pytest.MonkeyPatch, answer: Exception | None, message: str
) -> None:
    monkeypatch.setattr(repairs, "PATIENCE", 0.1)
    host.connection = answer
    with pytest.raises(RedisError, match=message):
        repairs.repair(settings)
    assert host.calls == []


def test_redis_that_loads_its_data_again_and_again_is_repaired(host: Host, settings: Settings) -> None:
    host.connection, host.failing = LoadingError("loading"), True
    assert repairs.repair(settings).cut == 12


@pytest.mark.usefixtures("host")
def test_redis_that_fails_a_moment_later_is_repaired(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([LoadingError("loading"), UnreachableError("gone")])

    def connect(_settings: Settings) -> None:
        if answer := next(answers, None):
            raise answer

    monkeypatch.setattr(live, "connect", connect)
    assert repairs.repair(settings).cut == 12
