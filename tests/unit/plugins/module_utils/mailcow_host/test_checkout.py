"""Releases in real git repositories: changes of a host are kept, merged, or a conflict."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.module_utils.mailcow_host import (
    changes,
    checkout,
    commands,
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

    def here(self, *arguments: str) -> None:
        """Run git in the checkout, as an administrator does."""
        options = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", "-C", self.directory, *options, *arguments], capture_output=True, check=True)

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


@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
def test_changes_that_git_does_not_report_are_kept(host: Host, flag: str) -> None:
    write(host.directory / MAP, "evil@example.org\n")
    write(host.directory / SOGO, LINES.replace("line 1", "line 1 of the administrator"))
    host.here("update-index", flag, MAP, SOGO)
    assert [change.path for change in changes.find_changes(host.config)] == [MAP, SOGO]
    host.go("2026-07a")
    assert host.read(MAP) == "evil@example.org\n"
    assert "line 1 of the administrator" in host.read(SOGO)
    assert "line 8 of the release" in host.read(SOGO)


@pytest.mark.parametrize("name", ["core.autocrlf", "core.sparseCheckout", "core.fsmonitor"])
def test_settings_of_the_checkout_have_no_effect(host: Host, name: str) -> None:
    host.here("config", name, "true")
    host.go("2026-07a")
    assert (host.directory / SOGO).read_bytes() == SECOND[SOGO].encode()
    assert changes.find_changes(host.config) == []


@pytest.mark.parametrize("hook", ["post-index-change", "reference-transaction"])
def test_hooks_of_the_checkout_do_not_run(host: Host, hook: str) -> None:
    write(host.directory / ".git/hooks" / hook, f"#!/bin/sh\ntouch {host.directory}/ran\nexit 1\n")
    (host.directory / ".git/hooks" / hook).chmod(0o755)
    host.go("2026-07a")
    assert not (host.directory / "ran").exists()


def test_checkout_of_another_owner_is_read(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    revision = repository.fetch(host.config, "2026-07a")
    monkeypatch.setitem(commands.OWN_SETTINGS, "GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    checkout.switch(host.config, revision)
    assert repository.release(host.config) == "2026-07a"


def test_changed_mode_is_kept_and_merged_with_the_content_of_the_release(host: Host) -> None:
    for name in (MAP, SOGO):
        (host.directory / name).chmod(0o755)
    host.go("2026-07a")
    assert [(host.directory / name).stat().st_mode & 0o777 for name in (MAP, SOGO)] == [0o755, 0o755]
    assert host.read(SOGO) == SECOND[SOGO]


def test_mode_of_the_release_applies_to_a_changed_file(host: Host) -> None:
    (host.repository / MAP).chmod(0o755)
    host.git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--all", "--message", "2026-09")
    host.git("tag", "2026-09")
    write(host.directory / MAP, "evil@example.org\n")
    (host.directory / MAP).chmod(0o640)
    host.go("2026-09")
    assert (host.read(MAP), (host.directory / MAP).stat().st_mode & 0o777) == ("evil@example.org\n", 0o750)


def test_link_instead_of_a_file_is_kept(host: Host, tmp_path: Path) -> None:
    write(tmp_path / "own.map", "evil@example.org\n")
    (host.directory / MAP).unlink()
    (host.directory / MAP).symlink_to(tmp_path / "own.map")
    host.go("2026-07a")
    assert ((host.directory / MAP).is_symlink(), host.read(MAP)) == (True, "evil@example.org\n")


@pytest.mark.parametrize("name", [SOGO, "data/conf/new.conf"])
def test_link_in_place_of_a_file_that_the_release_changes_is_a_conflict(host: Host, name: str, tmp_path: Path) -> None:
    (host.directory / name).unlink(missing_ok=True)
    (host.directory / name).symlink_to(tmp_path / "own")
    with pytest.raises(settings.Problem, match=rf"{name} cannot be merged"):
        host.go("2026-07a")
    assert (host.directory / name).is_symlink()


def test_own_file_below_a_file_of_the_release_is_a_conflict(host: Host) -> None:
    write(host.directory / "data/conf/new.conf/mine", "mine\n")
    with pytest.raises(settings.Problem, match=r"new\.conf/mine cannot be merged"):
        host.go("2026-07a")
    assert host.read("data/conf/new.conf/mine") == "mine\n"


def test_own_file_in_place_of_a_directory_of_the_release_is_a_conflict(host: Host) -> None:
    write(host.repository / "data/own/new.conf", "new\n")
    host.git("add", "--all")
    host.git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--message", "2026-09")
    host.git("tag", "2026-09")
    write(host.directory / "data/own", "mine\n")
    with pytest.raises(settings.Problem, match=r"data/own cannot be merged"):
        host.go("2026-09")
    assert host.read("data/own") == "mine\n"


def test_directory_in_place_of_a_file_of_the_release_is_a_conflict(host: Host) -> None:
    (host.directory / MAP).unlink()
    (host.directory / MAP).mkdir()
    with pytest.raises(settings.Problem, match=rf"{MAP} cannot be merged: it is a directory"):
        host.go("2026-07a")


def test_file_that_was_renamed_here_is_kept_under_its_new_name(host: Host) -> None:
    host.here("mv", MAP, f"{MAP}.own")
    host.go("2026-07a")
    assert (host.read(f"{MAP}.own"), (host.directory / MAP).exists()) == (FIRST[MAP], False)


def test_files_that_were_added_to_or_removed_from_the_index_are_no_conflict(host: Host) -> None:
    write(host.directory / "data/conf/mine.conf", "mine\n")
    host.here("add", "--all")
    host.here("rm", "--cached", "--quiet", SOGO)
    host.go("2026-07a")
    assert (host.read("data/conf/mine.conf"), host.read(SOGO)) == ("mine\n", SECOND[SOGO])
    assert changes.find_untracked(host.config) == ["data/conf/mine.conf"]


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
    for name in ("index.lock", "shallow.lock", "HEAD.lock", "refs/tags/2026-07a.lock", "refs/vise/installed.lock"):
        (host.directory / ".git" / name).touch()
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


def test_backup_has_links_modes_own_repositories_and_names_of_any_encoding(host: Host, tmp_path: Path) -> None:
    odd = os.fsdecode(b"data/hooks/\xe9 *\n.sh")
    theme = host.directory / "data/web/theme"
    write(theme / "own.css", "own\n")
    subprocess.run(["git", "init", "--quiet", theme], check=True)
    (theme / "link.css").symlink_to("own.css")
    write(host.directory / odd, "odd\n")
    (host.directory / MAP).chmod(0o755)
    exports.export(host.config, tmp_path / "dump")
    fresh = host.config._replace(directory=tmp_path / "fresh")
    fresh.directory.mkdir()
    checkout.switch(fresh, repository.fetch(fresh, "2026-07a"))
    exports.apply_import(fresh, tmp_path / "dump", exports.plan_import(fresh, tmp_path / "dump"))
    assert (fresh.directory / odd).read_text() == "odd\n"
    assert (fresh.directory / "data/web/theme/link.css").readlink() == Path("own.css")
    assert (fresh.directory / "data/web/theme/.git/HEAD").is_file()
    assert (fresh.directory / MAP).stat().st_mode & 0o777 == 0o755


def test_restore_with_a_conflict_names_the_release_of_the_backup(host: Host, tmp_path: Path) -> None:
    write(host.directory / SOGO, LINES.replace("line 8", "line 8 of the administrator"))
    exports.export(host.config, tmp_path / "dump")
    write(host.directory / SOGO, LINES)
    host.go("2026-07a")
    with pytest.raises(settings.Problem, match=r"made with release 2026-03b.*sogo\.conf(.|\n)*mail_release=2026-03b"):
        exports.plan_import(host.config, tmp_path / "dump")


def test_backup_without_files_of_the_checkout_changes_nothing(host: Host, tmp_path: Path) -> None:
    assert exports.plan_import(host.config, tmp_path / "nothing") == {}
