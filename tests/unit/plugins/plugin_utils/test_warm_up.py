"""Filters are imported before Ansible forks."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.plugin_utils import warm_up

FILTERS = sorted(path.stem for path in (Path(__file__).resolve().parents[4] / "plugins/filter").glob("[!_]*.py"))


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in FILTERS:
        monkeypatch.delitem(sys.modules, f"{warm_up.PACKAGE}.{name}", raising=False)


@pytest.mark.usefixtures("fresh")
def test_each_filter_is_imported_under_the_name_that_ansible_loads() -> None:
    warm_up.import_filters()
    assert FILTERS
    assert [name for name in FILTERS if f"{warm_up.PACKAGE}.{name}" not in sys.modules] == []


@pytest.mark.usefixtures("fresh")
def test_filter_without_its_library_is_left_to_its_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, f"{warm_up.PACKAGE}.{FILTERS[0]}", None)
    warm_up.import_filters()
    assert f"{warm_up.PACKAGE}.{FILTERS[-1]}" in sys.modules
