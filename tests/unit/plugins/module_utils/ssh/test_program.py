"""The program reads sshd's own evaluation, and refuses with file and line; it moves the port from a socket to sshd."""

from __future__ import annotations

import os
import typing as t

import pytest
from ansible_collections.vise.platform.plugins.module_utils.host import files, programs
from ansible_collections.vise.platform.plugins.module_utils.ssh import accounts, config, program
from ansible_collections.vise.platform.plugins.module_utils.ssh.policy import Account, Effective

SETTINGS: dict[str, t.Any] = {"port": 22, "home_keys_for": ["root"], "accepted": {}}
OWN = {"passwordauthentication": ("no",), "kbdinteractiveauthentication": ("no",), "port": ("22",)}
EXEC_START = "{ path=/usr/sbin/sshd ; argv[]=/usr/sbin/sshd -D $SSHD_OPTS ; ignore_errors=no }"
MAIN = "Include /etc/ssh/sshd_config.d/*.conf\n"


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Replace the files of a host, by path; `effective` is what `sshd -T` adds to the role's settings, one per line."""
    texts = {config.MAIN: MAIN, program.OWN: "Port 22\n", program.OPTIONS: "# x\nSSHD_OPTS=\n", "effective": ""}

    def evaluate(_account: Account, _port: int, *arguments: str) -> Effective:
        own = "-f" in arguments
        return {**OWN, **({} if own else config.parse_effective(texts["effective"]))}

    monkeypatch.setattr(files, "read_text", lambda path: texts.get(path, ""))
    monkeypatch.setattr(programs, "call", lambda _argv, **_options: EXEC_START)
    monkeypatch.setattr(program, "evaluate", evaluate)
    monkeypatch.setattr(accounts, "read_accounts", lambda _names: [Account("ada", ("ada",))])
    monkeypatch.setattr(accounts, "has_login_shell", lambda _name: True)
    real = config.parse
    listed = lambda _pattern: sorted(path for path in texts if path.startswith("/etc/ssh/sshd_config.d/"))  # noqa: E731
    monkeypatch.setattr(config, "parse", lambda path, read: real(path, read, listed))
    return texts


def refuse(settings: dict[str, t.Any] | None = None) -> str:
    try:
        program.refuse_findings({**SETTINGS, **(settings or {})})
    except program.SshError as error:
        return str(error)
    return ""


def test_settings_of_the_role_alone_are_accepted(host: dict[str, str]) -> None:
    assert refuse() == ""
    host["/etc/ssh/sshd_config.d/50-cloud-init.conf"] = "PasswordAuthentication yes\n"
    assert refuse() == ""


def test_foreign_setting_in_force_is_refused_with_its_line_unless_it_is_accepted(host: dict[str, str]) -> None:
    path = "/etc/ssh/sshd_config.d/00-a.conf"
    host[path] = "# x\nPasswordAuthentication yes\n"
    host["effective"] = "passwordauthentication yes\n"
    assert f"- {path}:2: `PasswordAuthentication yes`: passwordauthentication is `yes`" in refuse()
    assert refuse({"accepted": {path: ["PasswordAuthentication"]}}) == ""
    assert refuse({"accepted": {"/etc/ssh/other": ["PasswordAuthentication"]}}) != ""


def test_many_findings_are_counted(host: dict[str, str]) -> None:
    host["/etc/ssh/sshd_config.d/x.conf"] = "Match Address 10.0.0.0/8\n" + "PasswordAuthentication yes\n" * 15
    assert "- and 5 more" in refuse()


def test_missing_include_is_refused_with_the_line_to_write(host: dict[str, str]) -> None:
    host[config.MAIN] = "UsePAM yes\n"
    assert "/etc/ssh/sshd_config does not include /etc/ssh/sshd_config.d/00-vise.conf: write `Include" in refuse()


def test_argument_of_the_service_is_a_foreign_setting(host: dict[str, str]) -> None:
    host[program.OPTIONS] = '# x\n\nSSHD_OPTS="-o PasswordAuthentication=yes"\n'
    host["effective"] = "passwordauthentication yes\n"
    assert "- /etc/default/ssh:3: `PasswordAuthentication yes`" in refuse()


def test_service_with_another_configuration_file_is_refused(host: dict[str, str]) -> None:
    host[program.OPTIONS] = "SSHD_OPTS=-f /etc/other\n"
    assert "ssh.service starts sshd with `-f /etc/other`" in refuse()


@pytest.mark.parametrize(
    ("masked", "active", "enabled", "expected"),
    [
        (True, True, True, ["stop ssh.socket", "restart ssh.service"]),
        (True, False, False, []),
        (False, False, True, ["stop ssh.service", "start ssh.socket", "start ssh.service"]),
        (False, True, True, []),
        (False, False, False, []),
    ],
)
def test_port_moves_between_socket_and_service(
    monkeypatch: pytest.MonkeyPatch, masked: bool, active: bool, enabled: bool, expected: list[str]
) -> None:
    calls: list[str] = []
    answers = {"is-active": active, "is-enabled": enabled}
    monkeypatch.setattr(os.path, "realpath", lambda path: "/dev/null" if masked else path)
    monkeypatch.setattr(programs, "run", lambda argv: programs.Result(0 if answers[argv[1]] else 1, ""))
    monkeypatch.setattr(programs, "call", lambda argv: calls.append(" ".join(argv[1:])))
    assert program.activate() == 0
    assert calls == expected


def test_unknown_command_prints_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["nonsense"]) == 2
    assert "usage: vise-ssh check" in capsys.readouterr().err
