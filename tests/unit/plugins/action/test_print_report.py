"""A report is printed as it is, written to a file, and decides the exit status."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.play_context import PlayContext
from ansible.playbook.task import Task
from ansible.template import Templar
from ansible_collections.vise.platform.plugins.action.print_report import ActionModule

DOCUMENT = {"ok": True}


def run(monkeypatch: pytest.MonkeyPatch, **arguments: Any) -> tuple[dict[str, Any], list[str]]:
    """Return the result of the action and what it printed."""
    loader = DataLoader()
    task = Task.load({"name": "Print", "vise.platform.print_report": {}})
    task.args = {"text": "a table", "document": DOCUMENT, **arguments}
    connection = SimpleNamespace(transport="local", _shell=SimpleNamespace(tmpdir=None))
    action = ActionModule(task, connection, PlayContext(), loader, Templar(loader), None)
    printed: list[str] = []
    monkeypatch.setattr(action._display, "display", printed.append)
    return action.run(task_vars={}), printed


def test_text_is_printed_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    result, printed = run(monkeypatch)
    assert printed == ["\na table\n"]
    assert (result["failed"], result["changed"]) == (False, False)


def test_document_is_printed_and_written_as_json(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    result, printed = run(monkeypatch, format="json", file=str(tmp_path / "status.json"))
    assert not result["failed"]
    assert json.loads(printed[0]) == json.loads((tmp_path / "status.json").read_text()) == DOCUMENT


def test_problem_fails_the_task_after_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    result, printed = run(monkeypatch, problem="2 need attention")
    assert printed
    assert (result["failed"], result["msg"]) == (True, "2 need attention")


def test_file_that_cannot_be_written_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    result, _printed = run(monkeypatch, file=str(tmp_path / "missing/status.json"))
    assert result["failed"]
    assert result["msg"] == f"{tmp_path}/missing/status.json cannot be written: No such file or directory"
