"""One run at a time changes a host: runbooks take its lease, and modules renew it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tools import collection, leases

PLAYBOOKS = sorted((collection.ROOT / "playbooks").glob("*.yml"))
LEASE = {"name": "Take it", "vise.platform.run_lease": None}
RESTORE = {"name": "Restore", "vise.platform.restic_restore": {}}


def test_modules_renew_the_lease_while_they_change_a_host() -> None:
    assert leases.find_unrenewed(collection.ROOT) == []
    assert {"component", "database_restore", "restic_restore"} <= leases.list_changing(collection.ROOT)


@pytest.mark.parametrize("playbook", PLAYBOOKS, ids=lambda path: path.stem)
def test_runbook_takes_the_lease_before_its_first_change(playbook: Path) -> None:
    assert leases.find_untaken(collection.ROOT, playbook) == []


@pytest.mark.parametrize(
    ("tasks", "complaints"),
    [
        ([RESTORE], 1),
        ([{"block": [RESTORE]}], 1),
        ([{"name": "Run", "ansible.builtin.command": "true"}], 1),
        ([LEASE, RESTORE], 0),
        ([{"name": "Read", "ansible.builtin.command": "true", "changed_when": False}], 0),
        ([{**RESTORE, "delegate_to": "localhost"}], 0),
        ([{"name": "Read", "vise.platform.database_inspection": {}}], 0),
    ],
)
def test_change_without_a_lease_is_noticed(tasks: list[dict[str, object]], complaints: int, tmp_path: Path) -> None:
    (tmp_path / "x.yml").write_text(yaml.safe_dump([{"hosts": "all", "tasks": tasks}]))
    assert len(leases.find_untaken(collection.ROOT, tmp_path / "x.yml")) == complaints
