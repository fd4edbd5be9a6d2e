"""The repository of the fake mailcow, created from the files in sandbox/mailcow."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from lab import mailcow


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    subprocess.run(["git", "init", "-q", "--bare", "--initial-branch=master", str(folder)], check=True)
    stream = b"".join(mailcow.build_commits())
    subprocess.run(["git", "fast-import", "--quiet", "--date-format=raw"], input=stream, cwd=folder, check=True)
    return folder


def git(folder: Path, *argv: str) -> str:
    return subprocess.run(["git", *argv], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def test_each_release_is_a_tag_and_the_branch_is_the_newest(repository: Path) -> None:
    assert tuple(git(repository, "tag").split()) == mailcow.RELEASES
    assert git(repository, "rev-parse", "master") == git(repository, "rev-parse", mailcow.RELEASES[-1])


def test_same_files_give_the_same_commits() -> None:
    assert list(mailcow.build_commits()) == list(mailcow.build_commits())


@pytest.mark.parametrize("release", mailcow.RELEASES)
def test_release_uses_its_own_image_in_every_service(repository: Path, release: str) -> None:
    compose = yaml.safe_load(git(repository, "show", f"{release}:docker-compose.yml"))
    assert {each["image"] for each in compose["services"].values()} == {
        f"registry.vln.test/{mailcow.REPOSITORY}:{release}"
    }


def test_only_the_last_release_does_not_sign(repository: Path) -> None:
    path = "data/conf/rspamd/local.d/dkim_signing.conf"
    signs = ["use_redis" in git(repository, "show", f"{release}:{path}") for release in mailcow.RELEASES]
    assert signs == [True, True, True, False]


def test_links_are_preserved_and_settings_of_an_administrator_are_ignored(repository: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", str(repository), "clone")
    clone = tmp_path / "clone"
    assert (clone / ".env").readlink() == Path("mailcow.conf")
    written = ["mailcow.conf", "docker-compose.override.yml", "data/assets/ssl/key.pem", "data/conf/postfix/extra.cf"]
    for name in written:
        (clone / name).write_text("")
    assert git(clone, "status", "--short") == ""


def test_variables_of_the_compose_file_without_a_default_are_those_of_mailcow() -> None:
    text = (mailcow.FOLDER / "repository/docker-compose.yml").read_text()
    needed = set(re.findall(r"\$\{(\w+)\}", text))
    assert needed == {"ADDITIONAL_SAN", "TZ", "DBNAME", "DBUSER", "DBPASS", "DBROOT", "REDISPASS", "MAILCOW_HOSTNAME"}
