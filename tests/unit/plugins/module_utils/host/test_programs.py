from __future__ import annotations

import os
import pwd
import signal
import time
from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.module_utils.host import programs


def test_result_has_exit_code_and_both_outputs() -> None:
    result = programs.run(["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert result == programs.Result(3, "out\n", "err\n")
    assert (result.failed, result.text) == (True, "out\nerr")


def test_missing_program_is_a_result() -> None:
    result = programs.run(["no-such-program", "x"])
    assert (result.code, result.err) == (127, "no-such-program: program not found")


def test_missing_working_directory_is_not_reported_as_a_missing_program(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="gone"):
        programs.run(["true"], directory=str(tmp_path / "gone"))


def test_environment_of_the_caller_is_not_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "of the operator")
    monkeypatch.setenv("TMPDIR", "/kept")
    assert programs.run(["sh", "-c", "echo $PGHOST $A $LC_ALL"], environment={"A": "b"}).out == "b C.UTF-8\n"
    assert programs.run(["sh", "-c", "echo $PGHOST $TMPDIR"], keep=("TMPDIR", "UNSET")).out == "/kept\n"


def test_program_at_a_terminal_gets_only_the_variables_of_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "of the operator")
    monkeypatch.setenv("TERM", "vt100")
    replaced: list[object] = []
    monkeypatch.setattr(os, "execvpe", lambda *given: replaced.extend(given))
    programs.replace_process(["psql", "-l"], {"A": "b"})
    assert replaced[:2] == ["psql", ["psql", "-l"]]
    variables = replaced[2]
    assert isinstance(variables, dict)
    assert variables.items() >= {"A": "b", "TERM": "vt100", "HOME": "/nonexistent"}.items()
    assert "PGHOST" not in variables


def test_standard_input_is_the_given_text_or_empty() -> None:
    assert programs.run(["cat"], stdin="a\nb").out == "a\nb"
    assert programs.run(["cat"]).out == ""


def test_program_that_takes_too_long_ends_with_its_children() -> None:
    begun = time.monotonic()
    result = programs.run(["sh", "-c", "echo begun; sleep 60 & sleep 60"], timeout=0.3)
    assert (result.code, result.out) == (124, "begun\n")
    assert "timed out after 0.3 s" in result.err
    # Both outputs are closed only when the child of the shell has ended too.
    assert time.monotonic() - begun < 50


def test_daemon_that_keeps_the_output_open_does_not_delay_the_end_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "PATIENCE", ((signal.SIGTERM, 0.1), (signal.SIGKILL, 0.1)))
    begun = time.monotonic()
    result = programs.run(["sh", "-c", "echo begun; setsid sleep 30 & sleep 30"], timeout=0.3)
    assert (result.code, result.out) == (124, "begun\n")
    assert time.monotonic() - begun < 25


def test_program_in_the_background_writes_to_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "of the operator")
    argv = ["sh", "-c", "echo $PGHOST $A $PWD; echo err >&2; exit 3"]
    with (tmp_path / "out").open("wb") as out, (tmp_path / "err").open("wb") as err:
        child = programs.start(argv, out=out, err=err, environment={"A": "b"}, directory=str(tmp_path))
        assert child.wait() == 3
        assert programs.start(argv, out=out).wait() == 3
    assert (tmp_path / "out").read_text() == f"b {tmp_path}\n/\nerr\n"
    assert (tmp_path / "err").read_text() == "err\n"


def test_program_in_the_background_leads_a_process_group(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as out:
        child = programs.start(["sleep", "60"], out=out)
    assert os.getpgid(child.pid) == child.pid
    child.kill()
    assert child.wait() == -9


def test_secrets_are_hidden_in_both_outputs_and_the_longest_first() -> None:
    argv = ["sh", "-c", "echo abcd; echo ab >&2"]
    assert programs.run(argv, hide=["ab", "abcd", ""]) == programs.Result(0, "(hidden)\n", "(hidden)\n")


def test_failure_names_the_command_the_exit_code_and_the_reason() -> None:
    assert programs.call(["echo", "a"]) == "a\n"
    with pytest.raises(programs.ProgramError) as raised:
        programs.call(["sh", "-c", "echo out; echo why >&2; exit 5"])
    assert str(raised.value) == "`sh -c echo out; echo why >&2; exit 5` failed (exit 5): why"
    with pytest.raises(programs.ProgramError, match=r"exit 1\): it printed nothing"):
        programs.call(["false"])


def test_program_runs_as_a_user_with_that_users_groups() -> None:
    # Only root can choose; everybody else stays the same user.
    user = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    groups = programs.run(["id", "-Gn", user]).out.split()
    assert programs.run(["id", "-un"], user=user).out == f"{user}\n"
    assert set(programs.run(["id", "-Gn"], user=user).out.split()) == set(groups)


def test_unknown_user_is_an_error() -> None:
    with pytest.raises(KeyError, match="no-such-user"):
        programs.run(["true"], user="no-such-user")
