"""Files of others are kept with owner and mode, and each version of them once."""

from __future__ import annotations

import stat
from pathlib import Path

from ansible_collections.vise.platform.plugins.module_utils.component import copies


def keep(folder: Path, *paths: Path) -> list[Path]:
    return [Path(one.copy) for one in copies.keep("demo", map(str, paths), str(folder / "kept"))]


def test_copy_has_the_content_and_the_mode_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xff of others")
    (tmp_path / "a").chmod(0o2640)
    (copy,) = keep(tmp_path, tmp_path / "a", tmp_path / "does not exist")
    assert copy.parts[-len(tmp_path.parts) :] == (*tmp_path.parts[1:], "a")
    assert (copy.read_bytes(), stat.S_IMODE(copy.stat().st_mode)) == (b"\xff of others", 0o2640)
    assert stat.S_IMODE((tmp_path / "kept").stat().st_mode) == 0o700


def test_copy_of_a_link_is_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("gone")
    (copy,) = keep(tmp_path, tmp_path / "link")
    assert copy.readlink() == Path("gone")


def test_each_version_of_a_file_is_kept_once(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    first = keep(tmp_path, tmp_path / "a")
    assert keep(tmp_path, tmp_path / "a") == first
    (tmp_path / "a").write_text("2")
    second = keep(tmp_path, tmp_path / "a")
    assert [path.read_text() for path in (*first, *second)] == ["1", "2"]
    (tmp_path / "a").write_text("1")
    assert keep(tmp_path, tmp_path / "a") == first
