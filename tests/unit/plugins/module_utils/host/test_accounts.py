"""What limits an account, and what is ended and reported when it is closed."""

from __future__ import annotations

import os
import pwd
import time
from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.module_utils.host import accounts, files, programs

TODAY = 20_000
NAME = pwd.getpwuid(os.getuid()).pw_name
UID = str(os.getuid())


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ("!:19000:0:99999:7:::", ""),
        ("!:19000:0:-1:7:-1:-1:", ""),
        ("!:19000::::::", ""),
        ("!::0:60:7:::", "its password expires after 60 days"),
        ("!:19999:0:60:7:::", "its password expires after 60 days"),
        ("!:19939:0:60:7:::", "its password has expired"),
        ("!:0:0:99999:7:::", "it must set a new password at the next login"),
        ("!:19000:0:99999:7::19999:", "the account has expired"),
        ("!:19000:0:99999:7::20001:", "the account will expire"),
        ("!:19000:0:99999:7::0:", "the account has expired"),
    ],
)
def test_limits_of_an_account_are_explained(fields: str, reason: str) -> None:
    assert accounts.read_aging(f"root:*:1:0:99999:7:::\nada:{fields}\n")["ada"].explain(TODAY) == reason


@pytest.mark.parametrize(
    ("fields", "closed"),
    [("!$6$x:1:0:9:7::1:", True), ("!:1:0:9:7:::", False), ("$6$x:1:0:9:7::1:", False), ("!:1:0:9:7::20000:", False)],
)
def test_only_a_locked_account_that_expired_on_the_first_day_is_closed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fields: str, closed: bool
) -> None:
    (tmp_path / "shadow").write_text(f"ada:{fields}\n")
    monkeypatch.setattr(accounts, "SHADOW", str(tmp_path / "shadow"))
    assert accounts.read_closed(["ada", "other"]) == (["ada"] if closed else [])


def test_run_of_the_account_itself_is_recognized(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUDO_UID", raising=False)
    monkeypatch.setattr(files, "read_text", lambda _path: "4294967295")
    assert not accounts.is_own(NAME)
    monkeypatch.setenv("SUDO_UID", UID)
    assert accounts.is_own(NAME)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Replace programs and the paths of the host; return the calls."""
    found: list[str] = []
    answers = {"pkill": programs.Result(1, ""), "find": programs.Result(0, "/srv/a\n/srv/b\n")}

    def run(argv: list[str], **_options: object) -> programs.Result:
        found.append(" ".join(argv))
        return answers.get(argv[0], programs.Result(0, ""))

    monkeypatch.setattr(programs, "run", run)
    for name in ("SAVED", "CRONTABS", "AT_JOBS", "LINGER"):
        monkeypatch.setattr(accounts, name, str(tmp_path / name))
        (tmp_path / name).mkdir()
    mentions = {str(tmp_path / "sudoers.d/*"): accounts.MENTIONS["/etc/sudoers.d/*"]}
    monkeypatch.setattr(accounts, "MENTIONS", mentions)
    return found


def test_closed_account_is_locked_first_and_all_that_runs_for_it_is_ended(tmp_path: Path, calls: list[str]) -> None:
    (tmp_path / "LINGER" / NAME).touch()
    (tmp_path / "AT_JOBS/a0001").touch()
    (tmp_path / "CRONTABS" / NAME).write_bytes(b"* * * * * \xff\n")
    (tmp_path / "sudoers.d").mkdir()
    (tmp_path / "sudoers.d/own").write_text(f"{NAME} ALL=(ALL) ALL\n")
    (tmp_path / "sudoers.d/other").write_text(f"{NAME}x ALL=(ALL) ALL\n")
    left = accounts.close(NAME)
    assert calls[0] == f"usermod --lock --expiredate 1 --groups  {NAME}"
    assert calls[1:3] == [f"loginctl terminate-user {NAME}", f"systemctl stop user@{UID}.service user-{UID}.slice"]
    # Only in this namespace: in a container, the number is another account.
    assert calls[3] == f"pkill -KILL --ns {os.getpid()} --nslist pid -U {UID}"
    assert [path for name in ("LINGER", "AT_JOBS", "CRONTABS") for path in (tmp_path / name).iterdir()] == []
    assert (tmp_path / f"SAVED/{NAME}.crontab").read_bytes() == b"* * * * * \xff\n"
    assert left == [
        f"{NAME}: the crontab was removed; a copy is {tmp_path}/SAVED/{NAME}.crontab",
        f"{NAME}: {tmp_path}/sudoers.d/own still names the account; remove the line or the file",
        f"{NAME}: files outside of {pwd.getpwnam(NAME).pw_dir} still belong to the account: /srv/a /srv/b",
    ]


def test_process_that_does_not_end_is_an_error(calls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "run", lambda _argv, **_options: programs.Result(0, "12 stuck"))
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    with pytest.raises(programs.ProgramError, match=f"processes of {NAME} do not end: 12 stuck"):
        accounts.close(NAME)
    assert calls == []
