"""The program vise-docker: what overrides daemon.json, and who controls the daemon."""

from __future__ import annotations

import grp
import json
import pathlib
import typing as t

import pytest
from ansible_collections.vise.platform.plugins.module_utils.docker import program
from ansible_collections.vise.platform.plugins.module_utils.host import files, programs

UNITS = """\
# /usr/lib/systemd/system/docker.service
[Service]
EnvironmentFile=-/etc/default/docker
ExecStart=/usr/sbin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock $DOCKER_OPTS

# /etc/systemd/system/docker.service.d/override.conf
[Service]
ExecStart=
ExecStart=/usr/sbin/dockerd -H fd:// -H tcp://0.0.0.0:2375 --config-file=/opt/daemon.json

# /etc/systemd/system/docker.socket.d/open.conf
[Socket]
SocketMode=0666

# /etc/default/docker
# DOCKER_OPTS="--iptables=true"
DOCKER_OPTS="--iptables=false --data-root /srv"
"""
NORMAL = ["-H", "fd://", "--containerd=/run/containerd/containerd.sock"]
SOCKET = "SocketMode=0660\nSocketUser=root\nSocketGroup=docker\n"
SETTINGS = {"log-driver": "local", "live-restore": True, "no-new-privileges": True}
INFO: dict[str, t.Any] = {
    "LoggingDriver": "local",
    "LiveRestoreEnabled": True,
    "DockerRootDir": "/var/lib/docker",
    "SecurityOptions": ["name=seccomp,profile=builtin", "name=no-new-privileges"],
    "Labels": ["site=one", "vise.generation=0123456789ab"],
}


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        pytest.param(NORMAL, "", id="Debian's unit"),
        pytest.param([*NORMAL, "--debug", "-l", "warn"], "", id="the daemon's own log"),
        pytest.param(
            [*NORMAL, "-H", "tcp://0.0.0.0:2375"],
            "accepts commands at tcp://0.0.0.0:2375: whoever reaches it has root's rights",
            id="network",
        ),
        pytest.param([*NORMAL, "--host=tcp://[::]:2375"], "accepts commands at tcp://[::]:2375", id="long option"),
        pytest.param(
            [*NORMAL, "--dns", "192.0.2.53"], "dockerd runs with --dns=192.0.2.53, which", id="separate value"
        ),
        pytest.param(
            [*NORMAL, "--iptables=false"],
            "dockerd runs with --iptables=false, which the role does not know; remove it from "
            "/etc/default/docker:2, and write `iptables` into docker_settings",
            id="environment file",
        ),
        pytest.param(
            [*NORMAL, "--config-file=/opt/daemon.json"],
            "remove it from /etc/systemd/system/docker.service.d/override.conf:3",
            id="other file",
        ),
        pytest.param([*NORMAL, "--tls"], "the command line of docker.service", id="unknown place"),
    ],
)
def test_option_of_the_command_line_is_a_problem_with_its_line(words: list[str], problem: str) -> None:
    found = "\n".join(program.find_foreign_options(words, UNITS))
    assert problem in found
    assert bool(found) is bool(problem)


@pytest.mark.parametrize(
    ("show", "problem"),
    [
        (SOCKET, ""),
        (
            SOCKET.replace("0660", "0666"),
            "SocketMode=0666, not 0660; remove it from /etc/systemd/system/docker.socket.d/open.conf:2",
        ),
        (SOCKET.replace("=docker", "=users"), "SocketGroup=users, not docker"),
    ],
)
def test_socket_for_other_users_is_a_problem(show: str, problem: str) -> None:
    found = "\n".join(program.find_socket_problems(show, UNITS))
    assert problem in found
    assert bool(found) is bool(problem)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({}, []),
        ({"LoggingDriver": "json-file"}, ['the daemon runs with log-driver "json-file", not "local"']),
        ({"LiveRestoreEnabled": False}, ["the daemon runs with live-restore false, not true"]),
        ({"SecurityOptions": None}, ["the daemon runs with no-new-privileges false, not true"]),
        ({"DockerRootDir": "/srv"}, []),
    ],
)
def test_setting_that_the_daemon_has_not_read_is_a_problem(change: dict[str, t.Any], problem: list[str]) -> None:
    assert program.find_differences({**INFO, **change}, SETTINGS) == problem


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> list[str]:
    """A host with a daemon that differs nowhere; return the commands that ran."""
    calls: list[str] = []

    def call(argv: list[str], **_options: t.Any) -> str:
        calls.append(" ".join(argv))
        return json.dumps(INFO)

    (tmp_path / "docker.sock").write_text("")
    (tmp_path / "docker.sock").chmod(0o660)
    monkeypatch.setattr(programs, "call", call)
    monkeypatch.setattr(program, "SOCKET", str(tmp_path / "docker.sock"))
    monkeypatch.setattr(program, "find_overrides", list)
    monkeypatch.setattr(files, "read_json", lambda _path, _missing: SETTINGS)
    monkeypatch.setattr(grp, "getgrnam", lambda name: grp.struct_group((name, "x", 999_999, [])))
    return calls


@pytest.mark.usefixtures("host")
def test_live_daemon_shows_its_generation(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["verify"]) == 0
    assert capsys.readouterr().out == "live 0123456789ab\n"


@pytest.mark.usefixtures("host")
def test_override_is_reported_instead_of_the_generation(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(program, "find_overrides", lambda: ["dockerd runs with --tls"])
    assert (program.main(["check"]), program.main(["verify"])) == (1, 1)
    assert capsys.readouterr().out == "dockerd runs with --tls\n" * 2


def test_members_and_other_users_lose_the_rights_of_root(
    monkeypatch: pytest.MonkeyPatch, host: list[str], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(grp, "getgrnam", lambda name: grp.struct_group((name, "x", 999_999, ["eve"])))
    (tmp_path / "docker.sock").chmod(0o666)
    assert program.main(["verify"]) == 1
    assert "eve is a member of the group docker" in capsys.readouterr().out
    assert program.main(["apply"]) == 0
    assert "gpasswd --members  docker" in host
    assert (tmp_path / "docker.sock").stat().st_mode & 0o777 == 0o660


def test_daemon_without_an_answer_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(argv: list[str], **_options: t.Any) -> str:
        raise programs.ProgramError(f"`{argv[0]}` failed: Cannot connect to the Docker daemon")

    monkeypatch.setattr(programs, "call", fail)
    assert program.main(["verify"]) == 1
    assert "Cannot connect to the Docker daemon" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["reload"]])
def test_other_arguments_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(arguments) == 2
    assert "usage: vise-docker check" in capsys.readouterr().err
