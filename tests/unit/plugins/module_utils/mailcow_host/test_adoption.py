"""A mailcow that somebody else has installed; git is real, Docker answers what a test says."""

from __future__ import annotations

import shutil
import subprocess
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.module_utils.mailcow_host import (
    adoption,
    checkout,
    commands,
    copies,
    repository,
    settings,
    stack,
)

CONF = {
    "COMPOSE_PROJECT_NAME": "mailcowdockerized",
    "DBNAME": "mailcow",
    "DBUSER": "mailcow",
    "DBPASS": "one",
    "DBROOT": "two",
    "REDISPASS": "three",
}


class Host:
    """A host on which mailcow's own installer and updater have worked: HEAD is a merge of the release."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory, self.done = root / "mailcow", list[str]()
        self.volumes, self.docker, self.started = "", "/usr/bin/docker", dict[str, str]()
        self.directory.mkdir()
        self.config = settings.Settings(self.directory, "", "2026-07a", "", "", 0, 0)
        monkeypatch.setattr(checkout, "run", self.run)
        monkeypatch.setattr(shutil, "which", lambda _name: self.docker)
        monkeypatch.setattr(copies, "create_snapshot", lambda _config, name: self.done.append(name.rpartition("-")[0]))
        monkeypatch.setattr(stack, "compose", lambda _config, *arguments: self.done.append(arguments[0]))

    def run(self, argv: list[str], **_options: t.Any) -> str:
        assert self.docker
        label = argv[argv.index("--filter") + 1]
        return self.volumes if "volume" in argv else self.started.get(label, "")

    def install(self) -> None:
        (self.directory / "mailcow.conf").write_text("".join(f"{name}={value}\n" for name, value in CONF.items()))
        (self.directory / "sogo.conf").write_text("of the release\n")
        self.git("init", "--quiet")
        self.git("add", "sogo.conf")
        self.git("commit", "--quiet", "--message", "release")
        self.git("tag", "2026-07a")
        (self.directory / "sogo.conf").write_text("of the administrator\n")
        self.git("commit", "--quiet", "--all", "--message", "After update")

    def git(self, *arguments: str) -> None:
        options = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", "-C", self.directory, *options, *arguments], check=True)

    def adopt(self, agreed: bool = True, dry_run: bool = False, **variables: str) -> str:
        return adoption.adopt(self.config, {**CONF, **variables}, agreed, dry_run)


@pytest.fixture(name="host")
def fixture_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    return Host(tmp_path, monkeypatch)


def test_host_without_mailcow_is_accepted(host: Host) -> None:
    assert (host.adopt(agreed=False), host.done) == ("", [])


def test_own_mailcow_is_accepted(host: Host) -> None:
    host.install()
    checkout.record(host.config, repository.head(host.config))
    assert (host.adopt(agreed=False), host.done) == ("", [])


def test_foreign_mailcow_is_refused_with_its_release_and_its_changes(host: Host) -> None:
    host.install()
    (host.directory / "sogo.conf").write_text("changed again\n")
    with pytest.raises(settings.Problem, match=r"did not check out: commit .* of 2026-07a; changed files: sogo\.conf"):
        host.adopt(agreed=False)
    assert host.done == []


def test_volumes_of_a_mailcow_in_another_directory_are_refused(host: Host) -> None:
    host.volumes = "mailcowdockerized_mysql-vol-1\nmailcowdockerized_vmail-vol-1\n"
    with pytest.raises(settings.Problem, match="contains no mailcow, but Docker has 2 volumes of the project"):
        host.adopt(agreed=False)
    with pytest.raises(settings.Problem, match="set mailcow_directory to the directory of this mailcow"):
        host.adopt()


def test_mailcow_of_another_project_in_another_directory_is_refused(host: Host) -> None:
    host.started = {"label=com.docker.compose.service=postfix-mailcow": "/opt/our mail\n"}
    with pytest.raises(settings.Problem, match="containers of a mailcow that was started in /opt/our mail"):
        host.adopt(agreed=False)


@pytest.mark.parametrize("kind", ["none", "file", "damaged"])
def test_mailcow_without_a_directory_of_git_is_refused(host: Host, tmp_path: Path, kind: str) -> None:
    host.install()
    (host.directory / "docker-compose.yml").touch()
    (host.directory / ".git").rename(tmp_path / "moved")
    if kind == "file":
        (host.directory / ".git").write_text(f"gitdir: {tmp_path}/moved\n")
    if kind == "damaged":
        (host.directory / ".git").mkdir()
    with pytest.raises(settings.Problem, match="Nothing was changed"):
        host.adopt(agreed=False)
    problem = "contains no checkout" if kind == "damaged" else "is not a directory: clone mailcow's repository"
    with pytest.raises(settings.Problem, match=problem):
        host.adopt()
    assert host.done == []


def test_mailcow_of_another_owner_is_recognised(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.install()
    monkeypatch.setitem(commands.OWN_SETTINGS, "GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(settings.Problem, match="did not check out: commit"):
        host.adopt(agreed=False)


def test_host_without_docker_has_no_mailcow(host: Host) -> None:
    host.docker = ""
    assert host.adopt(agreed=False) == ""


def test_adoption_makes_a_snapshot_and_keeps_the_changes(host: Host) -> None:
    host.install()
    assert host.adopt().startswith("before-adoption-")
    assert host.done == ["before-adoption", "start"]
    assert repository.release(host.config) == "2026-07a"
    assert (host.directory / "sogo.conf").read_text() == "of the administrator\n"
    assert (host.adopt(agreed=False), host.done) == ("", ["before-adoption", "start"])


def test_adoption_changes_nothing_in_check_mode(host: Host) -> None:
    host.install()
    assert host.adopt(dry_run=True)
    assert host.done == []
    assert checkout.is_foreign(host.config)


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        ({"DBPASS": "x"}, "DBPASS of .*mailcow.conf differs: set mailcow_database_password to its value"),
        ({"REDISPASS": "x"}, "set mailcow_redis_password to its value"),
    ],
)
def test_adoption_with_other_passwords_is_refused(host: Host, variables: dict[str, t.Any], problem: str) -> None:
    host.install()
    with pytest.raises(settings.Problem, match=rf"{problem}\nNothing was changed"):
        adoption.adopt(host.config, {**CONF, **variables}, True, False)
    assert host.done == []


def test_adoption_does_not_upgrade(host: Host) -> None:
    host.install()
    host.config = host.config._replace(version="2026-09")
    with pytest.raises(settings.Problem, match=r"runs release 2026-07a: set mailcow_version.*upgrade_mail\.yml"):
        host.adopt()
