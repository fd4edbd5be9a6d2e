"""The command line; the functions of the jobs are stand-ins that note their calls."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.host import programs
from ansible_collections.vise.platform.plugins.module_utils.restic import jobs, plan, program, restoring

ENTRY = {"name": "a", "url": "s3:https://s3/b", "key": "AK", "key_secret": "S", "password": "W"}
SETTINGS = plan.Settings.from_json(
    {"host": "h", "sets": [], "keep": {}, "check_days": 3, "answer_seconds": 5, "ca_file": ""}, [ENTRY], []
)


@pytest.fixture(autouse=True)
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The calls of the functions, which return 0."""
    noted: list[tuple[Any, ...]] = []

    def note(name: str) -> Any:
        def stand_in(*given: Any, **options: Any) -> int:
            noted.append((name, *given, *options.items()))
            return 0

        return stand_in

    for table in (program.ALL, program.ONE):
        for command, function in table.items():
            monkeypatch.setitem(table, command, note(function.__name__))
    monkeypatch.setattr(jobs, "check", note("check"))
    monkeypatch.setattr(jobs, "record_result", note("record_result"))
    monkeypatch.setattr(jobs, "load_settings", lambda: SETTINGS)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(os, "umask", lambda _mask: 0)
    return noted


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("backup files:a", ("backup", SETTINGS, "files:a")),
        ("check a", ("check", SETTINGS, "a")),
        ("check a --all", ("check", SETTINGS, "a", ("all_parts", True))),
        ("prune a", ("prune", SETTINGS, "a")),
        ("check-credentials", ("check_new_credentials", SETTINGS)),
        ("ready", ("ready", SETTINGS)),
        ("initialize", ("initialize", SETTINGS)),
        ("note backup files:a", ("record_result", "backup", "files:a")),
    ],
)
def test_each_command_calls_its_function(
    arguments: str, expected: tuple[Any, ...], calls: list[tuple[Any, ...]]
) -> None:
    assert program.main(arguments.split()) == 0
    assert calls == [expected]


@pytest.mark.parametrize(
    "arguments",
    [
        *("", "help", "backup", "backup a b", "check", "check a all", "prune", "restore a", "restore a b c d e"),
        *("with a", "initialize a", "note backup"),
    ],
)
def test_usage_is_shown_for_other_arguments(
    arguments: str, calls: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.main(arguments.split()) == 2
    assert "usage: vise-restic backup SET:REPOSITORY" in capsys.readouterr().err
    assert calls == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["files", "out"], ("files", "latest", "")),
        (["files", "out", "0123abcd"], ("files", "0123abcd", "")),
        (["files", "out", "latest", "web-1"], ("files", "latest", "web-1")),
    ],
)
def test_restore_prints_its_report(
    arguments: list[str],
    expected: tuple[str, str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    requests: list[restoring.Request] = []

    def restore(_config: plan.Settings, request: restoring.Request) -> dict[str, Any]:
        requests.append(request)
        return {"files": 3}

    monkeypatch.setattr(restoring, "restore", restore)
    monkeypatch.chdir(tmp_path)
    assert program.main(["restore", *arguments]) == 0
    assert json.loads(capsys.readouterr().out) == {"files": 3}
    name, snapshot, host = expected
    assert requests == [restoring.Request(name, snapshot, host, target=str(tmp_path / "out"))]


def test_restic_runs_with_the_credential_in_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[tuple[list[str], dict[str, str]]] = []
    monkeypatch.setattr(os, "execvpe", lambda _file, argv, variables: ran.append((argv, variables)))
    with pytest.raises(TypeError):
        program.main(["with", "a", "snapshots", "--json"])  # it ends only in a test, where it is not replaced
    assert ran[0][0] == ["restic", "snapshots", "--json"]
    assert ran[0][1].items() >= {"RESTIC_PASSWORD": "W", **programs.ENVIRONMENT}.items()


def test_unknown_repository_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["with", "z", "snapshots"]) == 1
    assert capsys.readouterr().err == "vise-restic: this host has no repository 'z', only: a\n"


@pytest.mark.parametrize("error", [jobs.JobError("why"), OSError("why"), ValueError("why")])
def test_failure_is_one_line(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_given: object) -> int:
        raise error

    monkeypatch.setitem(program.ONE, "backup", fail)
    assert program.main(["backup", "files:a"]) == 1
    assert capsys.readouterr().err == "vise-restic: why\n"


def test_incomplete_backup_has_its_own_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(program.ONE, "backup", lambda *_given: plan.UNREADABLE)
    assert program.main(["backup", "files:a"]) == 3


def test_termination_is_an_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    handlers: dict[int, Any] = {}
    monkeypatch.setattr(signal, "signal", handlers.__setitem__)
    program.main(["initialize"])
    with pytest.raises(SystemExit) as raised:
        handlers[signal.SIGTERM](signal.SIGTERM, None)
    assert raised.value.code == 143
