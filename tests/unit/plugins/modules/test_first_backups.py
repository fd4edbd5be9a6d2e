"""The first backups of a host: awaited, reported when they still run, and failed with their reason."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.vise.platform.plugins.module_utils.host import units
from ansible_collections.vise.platform.plugins.module_utils.restic import jobs
from ansible_collections.vise.platform.plugins.modules import first_backups

MAIL, FILES = "restic-backup@mail:a.service", "restic-backup@files:a.service"


class Ended(Exception):
    """The module's answer."""


def run(monkeypatch: pytest.MonkeyPatch, *missing: list[str], running: Any = (), **arguments: Any) -> dict[str, Any]:
    """Run the module; `missing` are the units without a backup before and after the wait."""
    answers, warnings = list(missing), []

    def ended(_module: Any, **answer: Any) -> None:
        raise Ended(answer)

    monkeypatch.setattr(basic.AnsibleModule, "exit_json", ended)
    monkeypatch.setattr(basic.AnsibleModule, "fail_json", lambda module, **answer: ended(module, failed=True, **answer))
    monkeypatch.setattr(basic.AnsibleModule, "warn", lambda _module, text: warnings.append(text))
    monkeypatch.setitem(first_backups.TOOLS, "restic", lambda: answers.pop(0))
    monkeypatch.setattr(units, "wait_until_ended", lambda _names, _seconds: list(running))
    monkeypatch.setattr(units, "find_failed", lambda names: [name for name in names if name == FILES])
    monkeypatch.setattr(units, "read_last_messages", lambda name: f"why {name}")
    with patch_module_args({"tool": "restic", **arguments}), pytest.raises(Ended) as answer:
        first_backups.main()
    return {**answer.value.args[0], "warnings": warnings}


def test_no_first_backup_needs_no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, []) == {"changed": False, "complete": [], "running": [], "warnings": []}


def test_completed_backups_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = run(monkeypatch, [MAIL], [])
    assert (answer["complete"], answer["running"], answer["warnings"]) == ([MAIL], [], [])


def test_backup_that_still_runs_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = run(monkeypatch, [MAIL], [MAIL], running=[MAIL], seconds=7)
    assert "failed" not in answer
    assert answer["running"] == [MAIL]
    assert answer["warnings"] == [
        f"the first backup {MAIL} still runs after 7 s; follow it with: journalctl -fu {MAIL}"
    ]


def test_failed_backup_fails_with_its_reason_and_the_command_to_repeat_it(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = run(monkeypatch, [FILES, MAIL], [MAIL])
    assert answer["failed"]
    assert f"{MAIL}: why {MAIL}" in answer["msg"]
    assert answer["msg"].endswith(f"run: systemctl start {MAIL}")
    assert answer["complete"] == [FILES]


def test_incomplete_backup_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = run(monkeypatch, [FILES], [])
    assert "failed" not in answer
    assert answer["warnings"] == [f"the first backup {FILES} is incomplete: why {FILES}"]


def test_check_mode_reads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, _ansible_check_mode=True)["complete"] == []


def test_missing_settings_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> list[str]:
        raise jobs.JobError("run the role restic")

    monkeypatch.setitem(first_backups.TOOLS, "pgbackrest", fail)
    assert run(monkeypatch, tool="pgbackrest")["msg"] == "run the role restic"
