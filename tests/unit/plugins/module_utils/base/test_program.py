"""The program vise-base: which problems its commands report."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.vise.platform.plugins.module_utils.base import program
from ansible_collections.vise.platform.plugins.module_utils.host import files, programs


@pytest.fixture(autouse=True)
def host(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """The problems that the parts of the program find."""
    found: dict[str, list[str]] = {"files": [], "live": []}
    monkeypatch.setattr(files, "read_json", lambda _path: {})
    monkeypatch.setattr(program, "find_problems", lambda _settings: list(found["files"]))
    monkeypatch.setattr(program, "find_live_problems", lambda _settings: list(found["live"]))
    return found


@pytest.mark.parametrize(
    ("command", "problems", "code", "output"),
    [
        ("check", {}, 0, "live"),
        ("verify", {}, 0, "live"),
        ("check", {"files": ["a", "b"]}, 1, "a\nb"),
        ("check", {"live": ["c"]}, 0, "live"),
        ("verify", {"files": ["a"], "live": ["c"]}, 1, "a\nc"),
    ],
)
def test_command_reports_problems(
    host: dict[str, list[str]],
    capsys: pytest.CaptureFixture[str],
    command: str,
    problems: dict[str, list[str]],
    code: int,
    output: str,
) -> None:
    host.update(problems)
    assert program.main([command]) == code
    assert capsys.readouterr().out == f"{output}\n"


def test_program_that_fails_is_a_problem(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(_settings: t.Any) -> list[str]:
        raise programs.ProgramError("`apt-config dump` failed")

    monkeypatch.setattr(program, "find_problems", fail)
    assert program.main(["check"]) == 1
    assert capsys.readouterr().out == "`apt-config dump` failed\n"


@pytest.mark.parametrize("arguments", [[], ["apply"]])
def test_other_arguments_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(arguments) == 2
    assert "usage: vise-base check" in capsys.readouterr().err
