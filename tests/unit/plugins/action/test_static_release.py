from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.vise.platform.plugins.action.static_release import NAME, hash_source, pack


def test_every_file_of_the_source_is_hashed(tmp_path: Path) -> None:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("x")
    (tmp_path / "assets/a.js").write_text("y")
    assert sorted(hash_source(str(tmp_path))) == ["assets/a.js", "index.html"]


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


@pytest.mark.parametrize(("name", "valid"), [("docs", True), ("a-1", True), ("../x", False), ("", False), ("A", False)])
def test_name_must_be_a_single_directory_name(name: str, valid: bool) -> None:
    assert bool(NAME.fullmatch(name)) is valid
