"""The module's result for each result of the program."""

from __future__ import annotations

import contextlib
import json
import typing as t
from pathlib import Path

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.vise.platform.plugins.modules import mailcow_stack


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "vise-mailcow"
    monkeypatch.setattr(mailcow_stack, "PROGRAM", str(path))
    monkeypatch.setattr(mailcow_stack, "ANSWERS", str(tmp_path / "answers.json"))
    return path


def answering(path: Path, text: str, status: int = 0) -> None:
    path.write_text(f'#!/bin/sh\necho "$@" >>{path}.calls\n{text}\nexit {status}\n')
    path.chmod(0o755)


def run(capsys: pytest.CaptureFixture[str], check: bool = False, **options: t.Any) -> dict[str, t.Any]:
    basic._ANSIBLE_ARGS = None
    given = {"_ansible_check_mode": check, "_ansible_diff": True, **options}
    with patch_module_args(given), contextlib.suppress(SystemExit):
        mailcow_stack.main()
    answer: dict[str, t.Any] = json.loads(capsys.readouterr().out)
    return answer


@pytest.mark.parametrize(("check", "called"), [(False, "up"), (True, "plan")])
def test_actions_are_a_change(capsys: pytest.CaptureFixture[str], program: Path, check: bool, called: str) -> None:
    answering(program, """echo '{"actions": ["start postfix-mailcow"]}'""")
    answer = run(capsys, check)
    assert (answer["changed"], answer["actions"]) == (True, ["start postfix-mailcow"])
    assert answer["diff"] == {"prepared": "> start postfix-mailcow\n"}
    assert Path(f"{program}.calls").read_text() == f"{called}\n"


def test_no_action_is_no_change(capsys: pytest.CaptureFixture[str], program: Path) -> None:
    answering(program, """echo '{"actions": []}'""")
    assert not run(capsys)["changed"]


def test_failure_has_the_message_of_the_program(capsys: pytest.CaptureFixture[str], program: Path) -> None:
    answering(program, "echo 'vise-mailcow: mailcow is not up' >&2", 1)
    answer = run(capsys)
    assert (answer["failed"], answer["msg"]) == (True, "vise-mailcow: mailcow is not up")


def test_check_mode_before_the_role_has_run_reports_all_actions(
    capsys: pytest.CaptureFixture[str], program: Path
) -> None:
    assert not program.exists()
    assert len(run(capsys, check=True)["actions"]) == 3


PORTS = {"SMTP_PORT": "25"}
BEFORE = [[25, "greeting", "", 6, "greeting '220'"]]


def calls(program: Path) -> str:
    return Path(f"{program}.calls").read_text()


def test_run_without_a_change_needs_no_answers(capsys: pytest.CaptureFixture[str], program: Path) -> None:
    answering(program, """echo '{"actions": []}'""")
    answer = run(capsys, ports=PORTS)
    assert (answer["changed"], "awaited_answers" in answer, calls(program)) == (False, False, "ready\n")


def test_change_waits_for_the_answers_and_keeps_them_until_they_are_confirmed(
    capsys: pytest.CaptureFixture[str], program: Path
) -> None:
    answering(program, """echo '{"actions": ["start postfix-mailcow"]}'""")
    answer = run(capsys, ports=PORTS)
    assert (answer["changed"], answer["awaited_answers"], calls(program)) == (False, [], "ready\n")
    assert run(capsys, ports=PORTS, answers=BEFORE)["changed"]
    assert calls(program) == "ready\nup\n"
    # The run was killed here: the next one compares, although nothing differs any more.
    answering(program, """echo '{"actions": []}'""")
    assert run(capsys, ports=PORTS)["awaited_answers"] == BEFORE
    assert not run(capsys, ports=PORTS, answers=[], state="confirmed")["changed"]
    assert "awaited_answers" not in run(capsys, ports=PORTS)


def test_check_mode_needs_no_answers(capsys: pytest.CaptureFixture[str], program: Path) -> None:
    answering(program, """echo '{"actions": ["start postfix-mailcow"]}'""")
    assert run(capsys, check=True, ports=PORTS)["changed"]
    assert calls(program) == "plan\n"


@pytest.mark.parametrize("text", ["", "1", "{"])
def test_damaged_file_of_answers_counts_as_none(text: str, program: Path) -> None:
    program.with_name("answers.json").write_text(text)
    assert mailcow_stack.read_answers() == []
