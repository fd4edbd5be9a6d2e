"""The lease that a runbook takes: nothing in check mode, and a refusal that names the other run."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.plugins.action import ActionBase
from ansible_collections.vise.platform.plugins.action import run_lease as action_plugin
from ansible_collections.vise.platform.plugins.plugin_utils import run_lease

OTHER = {"run": "b", "who": "bob", "origin": "desk", "command": "restore_files.yml", "since": 1796000400, "silent": 61}
HOST = {"inventory_hostname": "web-1"}


class Action(action_plugin.ActionModule):
    """The action plugin, whose module returns these results."""

    def __init__(self, *results: dict[str, Any], check_mode: bool = False) -> None:
        self.results, self.ends = list(results), list[str]()
        self._task = SimpleNamespace(check_mode=check_mode)
        self._templar = SimpleNamespace(template=lambda value: value)

    def _execute_module(self, _name: str, arguments: dict[str, Any], **_options: Any) -> dict[str, Any]:
        self.ends.append(arguments["lease"]["ends"])
        return {"changed": False, "invocation": {}, **self.results.pop(0)}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_lease, "find_directory", lambda: tmp_path)
    monkeypatch.setattr(run_lease, "has_ended", lambda _lease: False)
    monkeypatch.setattr(ActionBase, "run", lambda *_arguments: {})


def test_host_with_a_lease_is_known_until_the_end() -> None:
    assert Action({}).run(task_vars=HOST) == {"changed": False}
    assert run_lease.is_used("web-1")


def test_second_run_is_refused_with_the_name_of_the_first() -> None:
    action = Action({"held_by": OTHER})
    result = action.run(task_vars=HOST)
    assert result["failed"]
    assert result["msg"].startswith(
        "refused, nothing was changed: bob runs restore_files.yml from desk on this host since 01:00 UTC"
    )
    assert not run_lease.is_used("web-1")


def test_lease_of_a_killed_run_of_this_controller_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_lease, "has_ended", lambda lease: lease["run"] == "b")
    action = Action({"held_by": OTHER}, {})
    assert "failed" not in action.run(task_vars=HOST)
    assert action.ends == ["", "b"]


def test_check_mode_executes_nothing() -> None:
    action = Action(check_mode=True)
    assert action.run(task_vars=HOST) == {"changed": False}
    assert not run_lease.is_used("web-1")


def test_host_that_cannot_write_a_lease_has_none() -> None:
    assert Action({"failed": True, "msg": "no space"}).run(task_vars=HOST)["failed"]
    assert not run_lease.is_used("web-1")
