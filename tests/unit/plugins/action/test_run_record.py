"""The record of a run: nothing is executed on a host that the run has not changed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.plugins.action import ActionBase
from ansible_collections.vise.platform.plugins.action import run_record
from ansible_collections.vise.platform.plugins.plugin_utils import run_lease, run_records


class Action(run_record.ActionModule):
    """The action plugin, whose module returns nothing."""

    def __init__(self, check_mode: bool = False) -> None:
        self.calls: list[dict[str, Any]] = []
        self._task = SimpleNamespace(check_mode=check_mode)
        self._templar = SimpleNamespace(template=lambda value: value)

    def _execute_module(self, _name: str, arguments: dict[str, Any], **_options: Any) -> dict[str, Any]:
        self.calls.append(arguments)
        return {"changed": False, "invocation": {}}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(run_lease, "find_directory", lambda: tmp_path)
    monkeypatch.setattr(ActionBase, "run", lambda *_arguments: {})
    return tmp_path


def test_host_without_a_lease_or_a_change_gets_no_execution(folder: Path) -> None:
    run_records.note_change(folder, "b", "x")
    action = Action()
    assert action.run(task_vars={"inventory_hostname": "a"}) == {"changed": False}
    assert action.calls == []


def test_lease_without_a_change_ends_without_a_record() -> None:
    run_lease.mark_used("a")
    action = Action()
    action.run(task_vars={"inventory_hostname": "a"})
    assert [(call["run"] != "", call["record"]) for call in action.calls] == [(True, {})]


def test_changes_of_the_host_are_recorded(folder: Path) -> None:
    run_records.note_change(folder, "a", "nginx : Configure")
    run_records.note_change(folder, "b", "other")
    action = Action()
    assert action.run(task_vars={"inventory_hostname": "a", "inventory_dir": str(folder)}) == {"changed": False}
    assert action.calls[0]["record"]["changed"] == {"a": ["nginx : Configure"]}


def test_check_mode_executes_nothing(folder: Path) -> None:
    run_records.note_change(folder, "a", "x")
    action = Action(check_mode=True)
    assert action.run(task_vars={"inventory_hostname": "a"}) == {"changed": False}
    assert action.calls == []
