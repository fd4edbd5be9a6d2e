"""The commands of vise-mailcow; what they do is replaced by notes."""

from __future__ import annotations

import json
import os
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.module_utils.host import locks
from ansible_collections.vise.platform.plugins.module_utils.mailcow_host import (
    administrator,
    copies,
    program,
    repository,
    settings,
    stack,
)

DATA = {
    "directory": "/opt/mailcow-dockerized",
    "repository": "https://git.example.org/mailcow",
    "version": "2026-07a",
    "certificate": "/etc/cert.pem",
    "certificate_key": "/etc/key.pem",
    "port": 8080,
    "start_seconds": 5,
}


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> t.Iterator[Path]:
    """A host with the settings of the role; the umask of the tests returns."""
    (tmp_path / "settings.json").write_text(json.dumps(DATA))
    monkeypatch.setattr(settings, "SETTINGS", tmp_path / "settings.json")
    monkeypatch.setattr(settings, "STATE", tmp_path / "state")
    before = os.umask(0o022)
    yield tmp_path / "state"
    os.umask(before)


def test_settings_are_those_of_the_role() -> None:
    config = settings.read_settings()
    assert (config.directory, config.version, config.port) == (Path("/opt/mailcow-dockerized"), "2026-07a", 8080)


def test_missing_settings_say_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(settings, "SETTINGS", tmp_path / "gone.json")
    assert program.main(["status"]) == 1
    assert capsys.readouterr().err.endswith("gone.json does not exist: run the role mailcow on this host\n")


@pytest.mark.parametrize("command", ["plan", "up"])
def test_actions_of_mailcow_and_of_its_administrator_are_one_list(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(stack, command, lambda _config: ["start postfix-mailcow"])
    monkeypatch.setattr(repository, "release", lambda config: config.version)
    monkeypatch.setattr(administrator, {"plan": "plan", "up": "set_password"}[command], lambda _config: ["set it"])
    assert program.main([command]) == 0
    assert json.loads(capsys.readouterr().out) == {"actions": ["start postfix-mailcow", "set it"]}


@pytest.mark.parametrize("command", ["plan", "ready"])
def test_plan_before_the_first_checkout_queries_no_database(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(stack, "plan", lambda _config: ["check out 2026-07a"])
    monkeypatch.setattr(repository, "release", lambda _config: "")
    assert program.main([command]) == 0
    assert json.loads(capsys.readouterr().out) == {"actions": ["check out 2026-07a"]}


@pytest.mark.parametrize(("actions", "waits"), [([], 1), (["start postfix-mailcow"], 0)])
def test_ready_waits_only_when_nothing_is_to_be_done(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], actions: list[str], waits: int
) -> None:
    waited: list[settings.Settings] = []
    monkeypatch.setattr(stack, "plan", lambda _config: actions)
    monkeypatch.setattr(repository, "release", lambda config: config.version)
    monkeypatch.setattr(administrator, "plan", lambda _config: [])
    monkeypatch.setattr(stack, "wait_until_healthy", waited.append)
    assert program.main(["ready"]) == 0
    assert (json.loads(capsys.readouterr().out), len(waited)) == ({"actions": actions}, waits)


@pytest.mark.parametrize(("problem", "code"), [("", 0), ("the API does not answer", 1)])
def test_health_fails_with_its_problem(
    problem: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(stack, "check_health", lambda _config: problem)
    assert program.main(["health"]) == code
    assert capsys.readouterr().err == (f"vise-mailcow: {problem}\n" if problem else "")


@pytest.mark.parametrize("command", ["dump", "restore"])
def test_directory_is_absolute_because_commands_run_elsewhere(
    command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(copies, command, lambda _config, path: str(path))
    assert program.main([command, "here"]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/here\n"


@pytest.mark.parametrize(("command", "is_exclusive"), [("revert", True), ("status", False)])
def test_only_commands_that_change_something_exclude_each_other(
    command: str, is_exclusive: bool, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def act(_config: object) -> None:
        with locks.lock(str(state / "lock"), wait=False):
            pass

    monkeypatch.setitem(program.COMMANDS, command, act)
    if is_exclusive:
        with pytest.raises(locks.LockedError):
            program.main([command])
        assert state.stat().st_mode & 0o777 == 0o700
    else:
        assert program.main([command]) == 0


def test_new_files_are_for_root_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(program.COMMANDS, "check", lambda _config: (tmp_path / "new").write_text("x"))
    program.main(["check"])
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "error", [settings.Problem("why"), OSError("why"), KeyError("why")], ids=["problem", "system", "key"]
)
def test_error_is_one_line(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_config: object) -> None:
        raise error

    monkeypatch.setitem(program.COMMANDS, "digests", fail)
    assert program.main(["digests"]) == 1
    assert capsys.readouterr().err.replace("'", "") == "vise-mailcow: why\n"


@pytest.mark.parametrize(
    "arguments", [[], ["help"], ["begin"], ["dump"], ["up", "more"], ["begin", "2026-07a", "more"]]
)
def test_usage_is_shown_for_other_arguments(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(arguments) == 2
    assert "usage: vise-mailcow COMMAND" in capsys.readouterr().err
