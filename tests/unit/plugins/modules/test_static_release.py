from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.module_utils import releases
from ansible_collections.vise.platform.plugins.modules import static_release

FILES = {"index.html": "0" * 64}


def never(_argv: object) -> tuple[int, str]:
    raise AssertionError


def converge(root: Path, check_mode: bool = False) -> tuple[releases.Found, list[str]]:
    wanted = releases.Wanted(str(root / "docs"), releases.identity(FILES), FILES)
    return static_release.converge(wanted, "", check_mode, never)


@pytest.mark.parametrize(("program", "needs"), [(None, ["files", "brotli"]), ("/usr/bin/brotli", ["files"])])
def test_what_the_host_lacks_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str | None, needs: list[str]
) -> None:
    monkeypatch.setattr("shutil.which", lambda _: program)
    assert converge(tmp_path)[1] == needs
    assert list(tmp_path.iterdir()) == []


def test_check_mode_plans_and_changes_nothing(tmp_path: Path) -> None:
    found, needs = converge(tmp_path, check_mode=True)
    assert (found.changed, needs) == (True, [])
    assert found.diff()["after"] == "index.html 000000000000\n"
    assert list(tmp_path.iterdir()) == []
