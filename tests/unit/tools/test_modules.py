from __future__ import annotations

from pathlib import Path

import pytest

from tools import modules

from .conftest import put


@pytest.fixture
def plugins(tmp_path: Path) -> Path:
    put(tmp_path, "meta/runtime.yml", "action_groups: {platform: [zone]}\n")
    put(tmp_path, "plugins/modules/zone.py", "")
    put(tmp_path, "plugins/modules/__init__.py", "")
    put(tmp_path, "plugins/action/zone.py", "")
    put(tmp_path, "tests/unit/plugins/modules/test_zone.py", "")
    put(tmp_path, "tests/unit/plugins/action/test_zone.py", "")
    return tmp_path


def test_good_collection_has_no_complaints(plugins: Path) -> None:
    assert modules.action_group(plugins) + modules.unit_tests(plugins) == []


def test_module_outside_the_action_group_is_named(plugins: Path) -> None:
    put(plugins, "plugins/modules/mailbox.py", "")
    assert modules.action_group(plugins) == ["mailbox is not in the action group of meta/runtime.yml"]


def test_name_in_the_action_group_that_is_no_module_is_named(plugins: Path) -> None:
    (plugins / "plugins/modules/zone.py").unlink()
    assert modules.action_group(plugins) == ["the action group names zone, which is no module"]


@pytest.mark.parametrize("kind", ["modules", "action"])
def test_plugin_without_a_unit_test_is_named(plugins: Path, kind: str) -> None:
    (plugins / f"tests/unit/plugins/{kind}/test_zone.py").unlink()
    assert modules.unit_tests(plugins) == [f"plugins/{kind}/zone.py has no tests/unit/plugins/{kind}/test_zone.py"]
