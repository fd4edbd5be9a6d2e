"""Releases in real git repositories: changes of a host are kept, merged, or a conflict."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.module_utils.mailcow_host import (
    changes,
    checkout,
    exports,
    repository,
    settings,
)

MAIN = "data/conf/postfix/main.cf"
FTS = "data/conf/dovecot/conf.d/fts.conf"
MAP = "data/conf/rspamd/custom/global_rcpt_blacklist.map"
SOGO = "data/conf/sogo/sogo.conf"
LINES = "".join(f"line {number}\n" for number in range(9))
FIRST = {
    MAIN: f"{LINES}# DO NOT EDIT ANYTHING BELOW #\n# Overrides #\n",
    FTS: "plugin {\n  vsz_limit=128 MB\n}\n",
    MAP: "# a map\n",
    SOGO: LINES,
    "data/conf/gone.conf": "gone\n",
}
SECOND = {
    MAIN: f"first\n{LINES}# DO NOT EDIT ANYTHING BELOW #\n# Overrides #\n",
    FTS: "plugin {\n  vsz_limit=512 MB\n  new=1\n}\n",
    MAP: "# a map\n",
    SOGO: LINES.replace("line 8", "line 8 of the release"),
    "data/conf/new.conf": "new\n",
}


class Host:
    """A host with a checkout of the first release, and a repository with two."""

    def __init__(self, root: Path) -> None:
        self.repository, self.directory = root / "repository", root / "mailcow"
        self.repository.mkdir()
        self.git("init", "--quiet")
        for tag, files in (("2026-03b", FIRST), ("2026-07a", SECOND)):
            self.git("rm", "--quiet", "-r", "--ignore-unmatch", ".")
            for name, text in files.items():
                write(self.repository / name, text)
            self.git("add", "--all")
            self.git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--message", tag)
            self.git("tag", tag)
        self.config = settings.Settings(self.directory, f"file://{self.repository}", "2026-03b", "", "", 8080, 1)
        self.directory.mkdir()
        self.go("2026-03b")

    def git(self, *arguments: str) -> str:
        done = subprocess.run(["git", "-C", self.repository, *arguments], capture_output=True, text=True, check=True)
        return done.stdout

    def go(self, tag: str) -> None:
        checkout.switch(self.config, repository.fetch(self.config, tag))

    def read(self, name: str) -> str:
        return (self.directory / name).read_text()


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture(name="host")
def fixture_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    return Host(tmp_path)


def test_release_is_checked_out_and_recorded(host: Host) -> None:
    assert (repository.release(host.config), checkout.is_foreign(host.config)) == ("2026-03b", False)
    host.go("2026-07a")
    assert (repository.release(host.config), changes.find_changes(host.config)) == ("2026-07a", [])
    assert (host.read("data/conf/new.conf"), (host.directory / "data/conf/gone.conf").exists()) == ("new\n", False)


def test_changes_survive_an_upgrade_and_the_way_back(host: Host) -> None:
    write(host.directory / MAP, "evil@example.org\n")
    write(host.directory / SOGO, LINES.replace("line 1", "line 1 of the administrator"))
    write(host.directory / "data/conf/postfix/extra.cf", "a = b\n")
    (host.directory / MAP).chmod(0o664)
    host.go("2026-07a")
    assert host.read(MAP) == "evil@example.org\n"
    assert (host.directory / MAP).stat().st_mode & 0o777 == 0o664
    assert "line 1 of the administrator" in host.read(SOGO)
    assert "line 8 of the release" in host.read(SOGO)
    assert host.read("data/conf/postfix/extra.cf") == "a = b\n"
    host.go("2026-03b")
    assert host.read(SOGO) == LINES.replace("line 1", "line 1 of the administrator")
    assert [change.path for change in changes.find_changes(host.config)] == [MAP, SOGO]


def test_what_containers_write_is_no_change(host: Host) -> None:
    with (host.directory / MAIN).open("a") as file:
        file.write("\npostscreen_dnsbl_sites = a\n\n# User Overrides\nmyhostname = mail\n")
    write(host.directory / FTS, FIRST[FTS].replace("128", "256"))
    assert changes.find_changes(host.config) == []
    host.go("2026-07a")
    assert (host.read(MAIN), host.read(FTS)) == (SECOND[MAIN], SECOND[FTS])


def test_change_above_the_part_of_a_container_is_kept(host: Host) -> None:
    text = FIRST[MAIN].replace("line 5", "line 5 of the administrator")
    write(host.directory / MAIN, f"{text}\nmyhostname = mail\n")
    host.go("2026-07a")
    assert host.read(MAIN) == SECOND[MAIN].replace("line 5", "line 5 of the administrator")


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        (SOGO, LINES.replace("line 8", "line 8 of the administrator"), "the same lines were changed"),
        ("data/conf/gone.conf", "mine\n", "the release does not contain this file any more"),
        ("data/conf/new.conf", "mine\n", "the release contains this file too"),
        (SOGO, None, "it was removed here, and the release changes it"),
    ],
)
def test_conflict_names_the_file_and_changes_nothing(host: Host, name: str, text: str | None, reason: str) -> None:
    if text is None:
        (host.directory / name).unlink()
    else:
        write(host.directory / name, text)
    write(host.directory / MAP, "evil@example.org\n")
    with pytest.raises(settings.Problem, match=rf"{name} cannot be merged: {reason}.*\nNothing was changed"):
        host.go("2026-07a")
    assert repository.release(host.config) == "2026-03b"
    assert host.read(MAP) == "evil@example.org\n"
    assert (host.directory / name).exists() == (text is not None)


def test_same_file_as_in_the_release_and_a_removed_one_are_no_conflict(host: Host) -> None:
    write(host.directory / "data/conf/new.conf", "new\n")
    (host.directory / "data/conf/gone.conf").unlink()
    (host.directory / MAP).unlink()
    host.go("2026-07a")
    assert not (host.directory / MAP).exists()


def test_killed_switch_can_run_again(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    write(host.directory / MAP, "evil@example.org\n")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkout, "record", killed)
        with pytest.raises(KeyboardInterrupt):
            host.go("2026-07a")
    assert repository.release(host.config) == "2026-03b"
    (host.directory / ".git/index.lock").touch()
    host.go("2026-07a")
    assert (repository.release(host.config), host.read(MAP)) == ("2026-07a", "evil@example.org\n")
    assert host.read("data/conf/new.conf") == "new\n"


def test_checkout_that_was_moved_by_hand_is_foreign(host: Host) -> None:
    subprocess.run(["git", "-C", host.directory, "fetch", "--quiet", "origin"], check=False)
    repository.fetch(host.config, "2026-07a")
    subprocess.run(["git", "-C", host.directory, "checkout", "--quiet", "2026-07a"], check=True)
    assert checkout.is_foreign(host.config)


def test_binary_file_that_only_the_host_changes_is_kept(host: Host) -> None:
    content = bytes(range(256))
    (host.directory / MAP).write_bytes(content)
    host.go("2026-07a")
    assert (host.directory / MAP).read_bytes() == content


def test_backup_brings_changed_and_added_files_to_a_fresh_host(host: Host, tmp_path: Path) -> None:
    write(host.directory / MAP, "evil@example.org\n")
    write(host.directory / SOGO, LINES.replace("line 1", "line 1 of the administrator"))
    write(host.directory / "data/hooks/postfix/a.sh", "#!/bin/sh\n")
    (host.directory / "data/hooks/postfix/a.sh").chmod(0o755)
    write(host.directory / "mailcow.conf", "DBPASS=old\n")
    (host.directory / "data/conf/gone.conf").unlink()
    exports.export(host.config, tmp_path / "dump")
    fresh = host.config._replace(directory=tmp_path / "fresh")
    fresh.directory.mkdir()
    checkout.switch(fresh, repository.fetch(fresh, "2026-07a"))
    write(fresh.directory / "mailcow.conf", "DBPASS=new\n")
    exports.apply_import(fresh, tmp_path / "dump", exports.plan_import(fresh, tmp_path / "dump"))
    assert (fresh.directory / MAP).read_text() == "evil@example.org\n"
    assert "line 1 of the administrator" in (fresh.directory / SOGO).read_text()
    assert "line 8 of the release" in (fresh.directory / SOGO).read_text()
    assert (fresh.directory / "data/hooks/postfix/a.sh").stat().st_mode & 0o777 == 0o755
    assert (fresh.directory / "mailcow.conf").read_text() == "DBPASS=new\n"


def test_restore_with_a_conflict_names_the_release_of_the_backup(host: Host, tmp_path: Path) -> None:
    write(host.directory / SOGO, LINES.replace("line 8", "line 8 of the administrator"))
    exports.export(host.config, tmp_path / "dump")
    write(host.directory / SOGO, LINES)
    host.go("2026-07a")
    with pytest.raises(settings.Problem, match=r"made with release 2026-03b.*sogo\.conf(.|\n)*mail_release=2026-03b"):
        exports.plan_import(host.config, tmp_path / "dump")


def test_backup_without_files_of_the_checkout_changes_nothing(host: Host, tmp_path: Path) -> None:
    assert exports.plan_import(host.config, tmp_path / "nothing") == {}
