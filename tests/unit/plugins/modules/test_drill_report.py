"""The report of a drill on disk: complete at any time, evaluated at the end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.vise.platform.plugins.modules import drill_report


class Ended(Exception):
    """The module's answer."""


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the module; its answer."""

    def ended(_module: Any, **answer: Any) -> None:
        raise Ended(answer)

    monkeypatch.setattr(basic.AnsibleModule, "exit_json", ended)
    monkeypatch.setattr(basic.AnsibleModule, "fail_json", lambda module, **answer: ended(module, failed=True, **answer))

    def run(**arguments: Any) -> dict[str, Any]:
        with patch_module_args(arguments), pytest.raises(Ended) as answer:
            drill_report.main()
        found: dict[str, Any] = answer.value.args[0]
        return found

    return run


def test_drill_is_written_event_by_event_and_evaluated(record: Any, tmp_path: Path) -> None:
    report = record(event="begin", directory=str(tmp_path / "drills"))["report"]
    record(event="stage", stage="restore the database", report=report)
    kept = json.loads(Path(report).read_text())
    assert [stage["ended"] for stage in kept["stages"]] == [None]
    record(event="passed", report=report)
    found = tmp_path / "found.json"
    found.write_text(json.dumps({"newest": kept["began"] - 5, "checks": []}))
    answer = record(event="finish", report=report, found=str(found))
    assert answer["verdict"].startswith("drill passed: RPO 5 s")
    assert Path(report).with_suffix(".md").read_text().startswith("# Drill of ")
    assert "vise_drill_success 1" in (tmp_path / "drills/vise_drill.prom").read_text()


def test_drill_whose_stage_did_not_end_fails_and_leaves_its_report(record: Any, tmp_path: Path) -> None:
    report = record(event="begin", directory=str(tmp_path))["report"]
    record(event="stage", stage="create the hosts", report=report)
    answer = record(event="finish", report=report)
    assert answer["failed"] is True
    assert "the stage `create the hosts` failed" in answer["msg"]
    assert "FAILED" in Path(report).with_suffix(".md").read_text()


def test_drill_ends_when_the_restored_data_is_too_old(record: Any, tmp_path: Path) -> None:
    report = record(event="begin", directory=str(tmp_path), rpo=60)["report"]
    record(event="stage", stage="measure the loss", report=report)
    found = tmp_path / "found.json"
    found.write_text(json.dumps({"newest": json.loads(Path(report).read_text())["began"] - 86400}))
    assert "RPO: 86400 s" in record(event="passed", report=report, found=str(found))["msg"]
    answer = record(event="finish", report=report, found=str(found))
    assert answer["verdict"] == "drill FAILED: RPO: 86400 s of data were lost, the limit is 60 s"


def test_check_mode_writes_nothing(record: Any, tmp_path: Path) -> None:
    record(event="begin", directory=str(tmp_path / "drills"), _ansible_check_mode=True)
    assert not (tmp_path / "drills").exists()


@pytest.mark.parametrize("event", ["begin", "stage", "passed", "finish"])
def test_event_without_its_options_is_refused(record: Any, event: str) -> None:
    assert record(event=event)["failed"] is True
