from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.module_utils import releases
from ansible_collections.vise.platform.plugins.modules import static_release

FILES = {"index.html": "0" * 64}


def fail_on_run(_argv: object) -> tuple[int, str]:
    raise AssertionError


def converge(root: Path, check_mode: bool = False, prepare: bool = False) -> tuple[releases.Current, bool, list[str]]:
    wanted = releases.Wanted(str(root / "docs"), releases.compute_id(FILES), FILES)
    return static_release.converge(wanted, static_release.Options("", prepare, check_mode), fail_on_run)


@pytest.mark.parametrize(("program", "prerequisites"), [(None, ["files", "brotli"]), ("/usr/bin/brotli", ["files"])])
def test_missing_prerequisites_are_returned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str | None, prerequisites: list[str]
) -> None:
    monkeypatch.setattr("shutil.which", lambda _: program)
    assert converge(tmp_path)[2] == prerequisites
    assert list(tmp_path.iterdir()) == []


def test_check_mode_plans_and_changes_nothing(tmp_path: Path) -> None:
    current, changed, prerequisites = converge(tmp_path, check_mode=True)
    assert (current.changed, changed, prerequisites) == (True, True, [])
    assert current.build_diff()["after"] == "index.html 000000000000\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("in_use", [False, True])
def test_only_a_site_that_no_visitor_gets_is_prepared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_use: bool
) -> None:
    monkeypatch.setattr(releases, "is_in_use", lambda _: in_use)
    current, changed, prerequisites = converge(tmp_path, prepare=True)
    assert current.changed
    assert changed is bool(prerequisites) is not in_use
