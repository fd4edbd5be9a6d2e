from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.module_utils import releases
from ansible_collections.vise.platform.plugins.modules import static_release

FILES = {"index.html": "0" * 64}


def fail_on_run(_argv: object) -> tuple[int, str]:
    raise AssertionError


def converge(root: Path, check_mode: bool = False) -> tuple[releases.Current, list[str]]:
    wanted = releases.Wanted(str(root / "docs"), releases.compute_id(FILES), FILES)
    return static_release.converge(wanted, "", check_mode, fail_on_run)


@pytest.mark.parametrize(("program", "prerequisites"), [(None, ["files", "brotli"]), ("/usr/bin/brotli", ["files"])])
def test_missing_prerequisites_are_returned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str | None, prerequisites: list[str]
) -> None:
    monkeypatch.setattr("shutil.which", lambda _: program)
    assert converge(tmp_path)[1] == prerequisites
    assert list(tmp_path.iterdir()) == []


def test_check_mode_plans_and_changes_nothing(tmp_path: Path) -> None:
    current, prerequisites = converge(tmp_path, check_mode=True)
    assert (current.changed, prerequisites) == (True, [])
    assert current.build_diff()["after"] == "index.html 000000000000\n"
    assert list(tmp_path.iterdir()) == []
