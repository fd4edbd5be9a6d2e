"""Limits of accounts are removed where they exist; everything else that prevents a login or sudo is reported."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.module_utils.accounts import program
from ansible_collections.vise.platform.plugins.module_utils.host import accounts, programs

SETTINGS = {"people": ["ada", "bob"], "deploy": "deploy", "commands": []}
RULES = "Sudoers entry: /etc/sudoers.d/10\n    Options: !authenticate\n    Commands:\n\tALL\n"


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Replace the host; return the calls of programs."""
    found: list[str] = []

    def run(argv: t.Sequence[str]) -> programs.Result:
        found.append(" ".join(argv))
        return programs.Result(0, RULES if argv[-1] != "deploy" else "")

    (tmp_path / "shadow").write_text("ada:!:19000:0:60:7:::\nbob:!:0:0:99999:7:::\ndeploy:!:19000:0:99999:7:::\n")
    monkeypatch.setattr(accounts, "SHADOW", str(tmp_path / "shadow"))
    monkeypatch.setattr(accounts, "explain_shell", lambda _name: "")
    monkeypatch.setattr(program, "NOLOGIN", str(tmp_path / "nologin"))
    monkeypatch.setattr(program, "read_settings", lambda: SETTINGS)
    monkeypatch.setattr(programs, "call", run)
    monkeypatch.setattr(programs, "run", run)
    return found


def test_only_limited_accounts_are_changed(calls: list[str]) -> None:
    assert program.main(["apply"]) == 0
    limits = "--mindays 0 --maxdays -1 --inactive -1 --expiredate -1"
    assert calls == [f"chage {limits} ada", f"chage --lastday -1 {limits} bob"]


@pytest.mark.usefixtures("calls")
def test_each_problem_is_reported(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "nologin").touch()
    assert program.main(["verify"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "ada: its password has expired; run `vise-accounts apply`",
        "bob: it must set a new password at the next login; run `vise-accounts apply`",
        f"{tmp_path}/nologin exists, so that only root can log in: remove it",
    ]


@pytest.mark.usefixtures("calls")
def test_usable_accounts_are_reported_as_usable(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "shadow").write_text("ada:!:19000:0:-1:7:::\nbob:!:19000:0:99999:7:::\n")
    assert (program.main(["verify"]), capsys.readouterr().out) == (0, "usable\n")


@pytest.mark.parametrize(
    ("name", "answer", "message"),
    [
        ("ada", programs.Result(0, f"Defaults: requiretty\n may run\n{RULES}"), "contains requiretty"),
        ("ada", programs.Result(1, "", "sudo: sorry, you must have a tty to run sudo"), "contains requiretty"),
        ("ada", programs.Result(1, "", "sudo: parse error"), "ada cannot use sudo as an administrator: sudo: parse"),
        ("ada", programs.Result(0, f"Defaults: !requiretty\n may run\n{RULES}"), ""),
        ("ada", programs.Result(0, ""), "no rule allows every command without a password"),
        ("deploy", programs.Result(0, RULES), "deploy: /etc/sudoers.d/10 allows it `ALL` as root"),
    ],
)
@pytest.mark.usefixtures("calls")
def test_rules_of_sudo_are_checked(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    answer: programs.Result,
    message: str,
) -> None:
    usual = programs.run
    monkeypatch.setattr(programs, "run", lambda argv: answer if argv[-1] == name else usual(argv))
    assert program.main(["check"]) == int(bool(message))
    assert message in capsys.readouterr().out
