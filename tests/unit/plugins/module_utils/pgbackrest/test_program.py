"""The command lines of vise-pgbackrest."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
from ansible_collections.vise.platform.plugins.module_utils.host import users
from ansible_collections.vise.platform.plugins.module_utils.pgbackrest import jobs, program


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """The jobs that ran, with their arguments after the settings."""
    found: list[tuple[object, ...]] = []

    def record(name: str) -> Callable[..., int]:
        def run(_settings: object, *given: str) -> int:
            found.append((name, *given))
            return 0

        return run

    for name in ("check", "ready", "stanza", "watch_queue", "backup", "finished"):
        monkeypatch.setattr(jobs, name, record(name))
    monkeypatch.setattr(users, "become", lambda user: found.append(("become", user)))
    monkeypatch.setattr(jobs.Settings, "load", lambda _path: SimpleNamespace())
    return found


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("check", [("check",)]),
        ("ready", [("ready",)]),
        ("stanza", [("stanza",)]),
        ("queue", [("watch_queue",)]),
        # Files that root leaves in the directory of postgres would be in the way of the unit.
        ("backup diff", [("become", "postgres"), ("backup", "diff")]),
        ("finished yearly", [("finished", "yearly", "success")]),
    ],
)
def test_command_runs_its_job(line: str, expected: list[tuple[str, ...]], calls: list[tuple[object, ...]]) -> None:
    assert program.main(line.split()) == 0
    assert calls == expected


def test_result_of_the_unit_is_passed_on(calls: list[tuple[object, ...]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_RESULT", "timeout")
    assert program.main(["finished", "full"]) == 0
    assert calls == [("finished", "full", "timeout")]


@pytest.mark.parametrize("line", ["", "help", "backup", "backup daily", "check full", "finished", "backup full diff"])
def test_other_arguments_are_answered_with_the_usage(
    line: str, calls: list[tuple[object, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.main(line.split()) == 2
    assert capsys.readouterr().err.startswith("usage: vise-pgbackrest check")
    assert calls == []


@pytest.mark.parametrize("error", [jobs.JobError("no answer"), OSError("no answer"), ValueError("no answer")])
def test_error_is_a_message_without_a_traceback(
    error: Exception,
    calls: list[tuple[object, ...]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_settings: object) -> int:
        raise error

    monkeypatch.setattr(jobs, "ready", fail)
    assert program.main(["ready"]) == 1
    assert capsys.readouterr().err == "vise-pgbackrest: no answer\n"
    assert calls == []


def test_failed_job_is_the_exit_code(calls: list[tuple[object, ...]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "check", lambda _settings: True)
    assert program.main(["check"]) == 1
    assert calls == []
