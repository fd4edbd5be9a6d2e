"""The commands of vise-redis: usage, exit codes and messages."""

from __future__ import annotations

import os
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.host import programs
from ansible_collections.vise.platform.plugins.module_utils.redis import data, dumps, isolated, live, program, repairs
from ansible_collections.vise.platform.plugins.module_utils.redis.settings import RedisError, Settings


@pytest.fixture(autouse=True)
def loaded(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    """The settings of the role."""
    monkeypatch.setattr(Settings, "load", lambda: settings)


@pytest.mark.parametrize(
    "arguments", [[], ["unknown"], ["dump"], ["dump", "a", "b"], ["verify", "more"], ["restore"], ["reload", "x"]]
)
def test_other_usage_is_explained(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(arguments) == 2
    assert "vise-redis restore FILE" in capsys.readouterr().err


def test_usage_names_every_command() -> None:
    assert sorted(line.split("vise-redis ")[1].split()[0] for line in program.USAGE.splitlines()) == sorted(
        program.COMMANDS
    )


@pytest.mark.parametrize(
    ("arguments", "name", "expected"),
    [(["apply"], "apply", {}), (["reload"], "apply", {"restart": False}), (["verify"], "verify", {})],
)
def test_command_works_on_the_live_redis(
    arguments: list[str],
    name: str,
    expected: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    calls = []
    monkeypatch.setattr(live, name, lambda _settings, **options: calls.append(options))
    assert program.main(arguments) == 0
    assert calls == [expected]
    assert capsys.readouterr().out == ("live\n" if arguments == ["verify"] else "")


def test_check_loads_the_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(isolated, "read_wanted_state", lambda _settings, **options: calls.append(options))
    assert program.main(["check"]) == 0
    assert calls == [{"certificate": True}]


@pytest.mark.parametrize(
    ("arguments", "where", "name", "answer", "printed"),
    [
        (["load", "/dump"], dumps, "count_keys", 7, "7 keys\n"),
        (["restore", "/dump"], dumps, "restore", (7, "/aside"), "7 keys are live; the previous data is in /aside\n"),
        (
            ["repair"],
            repairs,
            "repair",
            repairs.Repair(12, 2, "/copy"),
            "12 bytes were cut off, 2 of them not NUL; a copy of the data is in /copy\n",
        ),
        (["prepare"], data, "prepare_start", "/d", "the append-only file was created from /d\n"),
        (["prepare"], data, "prepare_start", "", ""),
    ],
)
def test_command_on_the_data_prints_its_result(
    arguments: list[str],
    where: Any,
    name: str,
    answer: object,
    printed: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    operands: list[str] = []

    def act(_settings: Settings, *words: str) -> object:
        operands.extend(words)
        return answer

    monkeypatch.setattr(where, name, act)
    assert program.main(arguments) == 0
    assert (operands, capsys.readouterr().out) == (arguments[1:], printed)


@pytest.mark.parametrize("error", [RedisError("why"), OSError("why"), programs.ProgramError("why"), ValueError("why")])
def test_error_is_a_message(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_settings: Settings) -> None:
        raise error

    monkeypatch.setattr(live, "verify", fail)
    assert program.main(["verify"]) == 1
    assert capsys.readouterr() == ("", "why\n")


def test_cli_is_the_administrators_without_a_password_in_its_arguments(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(os, "execvpe", lambda *arguments: calls.append(arguments))
    with open(f"{settings.run}/admin", "w", encoding="utf-8") as handle:  # noqa: PTH123
        handle.write("secret")
    assert program.main(["cli", "CONFIG", "GET", "*"]) == 0
    ((name, argv, environment),) = calls
    assert (name, argv[1:]) == ("redis-cli", ["-s", settings.socket, "--user", "admin", "CONFIG", "GET", "*"])
    assert environment["REDISCLI_AUTH"] == "secret"
    assert "secret" not in argv
