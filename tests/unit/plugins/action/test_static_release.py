from __future__ import annotations

import os
import tarfile
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.vise.platform.plugins.action.static_release import describe_left_out, hash_source, pack


def test_every_file_of_the_source_is_hashed(tmp_path: Path) -> None:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("x")
    (tmp_path / "assets/a.js").write_text("y")
    files, left_out = hash_source(str(tmp_path))
    assert (sorted(files), left_out) == (["assets/a.js", "index.html"], [])


def test_hidden_files_and_backups_are_left_out(tmp_path: Path) -> None:
    public = ["index.html", ".well-known/security.txt", "a b.html", "-x", "line\nbreak", "empty"]
    hidden = [".env", ".git/config", "assets/.vite/manifest.json", ".well-known/.htpasswd", "a/.well-known/x"]
    backups = ["index.html~", "page.html.bak", "a.orig", ".index.html.swp", "#page#"]
    for name in [*public, *hidden, *backups]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    # A link in a directory that is left out does not matter.
    (tmp_path / ".git/link").symlink_to("/etc")
    files, left_out = hash_source(str(tmp_path))
    assert set(files) == set(public)
    assert left_out == sorted([*backups, ".env", ".git/", "assets/.vite/", ".well-known/.htpasswd", "a/.well-known/"])


def test_warning_names_what_was_left_out() -> None:
    text = describe_left_out("docs", [f".{number}" for number in range(9)])
    assert text.endswith("were not published: .0, .1, .2, .3, .4, .5, .6, .7 and 1 more")


def test_special_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("x")
    os.mkfifo(tmp_path / "queue")
    with pytest.raises(AnsibleActionFail, match="queue is a special file"):
        hash_source(str(tmp_path))


def test_directory_that_cannot_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "index.html").write_text("x")
    (tmp_path / "closed").mkdir()
    scan = os.scandir

    def refuse(path: str) -> Any:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(AnsibleActionFail, match=r"cannot be read: .*Permission denied"):
        hash_source(str(tmp_path))


def test_two_names_of_one_file_are_two_files_in_the_archive(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    os.link(tmp_path / "a", tmp_path / "b")
    pack(str(tmp_path), ["a", "b"], str(tmp_path / "site.tar.gz"))
    with tarfile.open(tmp_path / "site.tar.gz") as packed:
        assert all(member.isreg() for member in packed.getmembers())


def test_missing_source_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AnsibleActionFail, match="is not a directory on the controller: build the site first"):
        hash_source(str(tmp_path / "none"))


@pytest.mark.parametrize("names", [[], ["about.html"]])
def test_directory_without_index_html_is_an_error(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).write_text("x")
    with pytest.raises(AnsibleActionFail, match=rf"has no index.html \({len(names)} files\)"):
        hash_source(str(tmp_path))


@pytest.mark.parametrize("target", ["/etc", "/etc/hostname"])
def test_link_in_the_source_is_an_error(tmp_path: Path, target: str) -> None:
    (tmp_path / "index.html").write_text("x")
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(AnsibleActionFail, match="link is a link"):
        hash_source(str(tmp_path))


def test_archive_contains_only_the_given_files(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("x")
    pack(str(tmp_path), ["index.html"], str(tmp_path / "site.tar.gz"))
    with tarfile.open(tmp_path / "site.tar.gz") as packed:
        assert packed.getnames() == ["index.html"]
