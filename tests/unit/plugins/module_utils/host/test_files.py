from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.module_utils.host import files


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_access_does_not_depend_on_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        files.replace_file(str(tmp_path / "open"), "text", mode=0o644)
        files.replace_file(str(tmp_path / "secret"), "text")
    finally:
        os.umask(before)
    assert (mode(tmp_path / "open"), mode(tmp_path / "secret")) == (0o644, 0o600)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_directories_do_not_depend_on_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        files.make_directories(str(tmp_path / "a/b/secret"), 0o750)
        files.make_directories(str(tmp_path / "a/open"))
    finally:
        os.umask(before)
    assert [mode(tmp_path / name) for name in ("a", "a/b", "a/b/secret", "a/open")] == [0o755, 0o755, 0o750, 0o755]


def test_directory_that_exists_keeps_its_permissions(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("own")
    files.make_directories(str(tmp_path / "own"))
    files.make_directories(str(tmp_path / "link/below"))
    assert (mode(tmp_path / "own"), mode(tmp_path / "own/below")) == (0o700, 0o755)


def test_file_at_the_path_of_a_directory_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError):
        files.make_directories(str(tmp_path / "file"))


def test_file_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old, and longer than the new text")
    files.replace_file(str(path), "new")
    assert path.read_text() == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_link_is_replaced_and_its_target_is_unchanged(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("of root")
    link.symlink_to(target)
    files.replace_file(str(link), "new")
    assert (target.read_text(), link.read_text(), link.is_symlink()) == ("of root", "new", False)


def test_staged_file_of_a_killed_run_is_replaced_even_if_it_is_a_link(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("of root")
    Path(files.staged_path(str(tmp_path / "a"))).symlink_to(other)
    files.replace_file(str(tmp_path / "a"), "new")
    assert (other.read_text(), (tmp_path / "a").read_text()) == ("of root", "new")


def test_failed_write_keeps_the_old_content_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    with pytest.raises(KeyError, match="no-such-user"):
        files.replace_file(str(path), "new", owner="no-such-user")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_existing_file_is_not_created_again(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    with pytest.raises(FileExistsError):
        files.create_file(str(tmp_path / "a"), "new")
    assert (tmp_path / "a").read_text() == "old"


def test_bytes_and_undecodable_text_are_written_unchanged(tmp_path: Path) -> None:
    files.replace_file(str(tmp_path / "a"), b"\xff\n")
    assert (tmp_path / "a").read_bytes() == b"\xff\n"
    files.replace_file(str(tmp_path / "a"), b"\xff\n".decode("utf-8", "surrogateescape"))
    assert (tmp_path / "a").read_bytes() == b"\xff\n"


def test_missing_file_reads_as_empty(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert files.read_text(str(tmp_path / "gone")) == files.read_text(str(tmp_path / "file/below")) == ""
    assert files.read_json(str(tmp_path / "gone")) is None
    assert files.read_json(str(tmp_path / "gone"), {}) == {}


def test_json_is_read_as_it_was_written_and_damaged_json_is_an_error(tmp_path: Path) -> None:
    files.write_json(str(tmp_path / "a"), {"b": [1, "ü"]})
    assert files.read_json(str(tmp_path / "a")) == {"b": [1, "ü"]}
    (tmp_path / "a").write_text("{")
    with pytest.raises(ValueError, match="Expecting"):
        files.read_json(str(tmp_path / "a"))


def test_file_is_removed_and_a_missing_one_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    files.remove_file(str(tmp_path / "a"))
    files.remove_file(str(tmp_path / "a"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "expected"), [("key.pem", False), (".lock", False), ("a.vise-new", False)])
def test_staged_content_is_known_by_its_name(name: str, expected: bool) -> None:
    assert files.is_staged(name) is expected
    assert files.is_staged(Path(files.staged_path(f"/etc/{name}")).name)
