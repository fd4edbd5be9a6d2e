from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tools import bench

COMPONENT: dict[str, Any] = {
    "packages": ["nginx"],
    "absent_packages": ["apache2"],
    "groups": [{"name": "ops", "gid": None, "system": True}],
    "users": [],
    "directories": [{"path": "/srv", "owner": "root", "group": "root", "mode": "0755"}],
    "files": [
        {
            "dest": "/a",
            "owner": "root",
            "group": "root",
            "mode": None,
            "secret": True,
            "content": "{{ text }}",
        }
    ],
    "links": [{"path": "/l", "target": "/a"}],
    "absent": ["/gone"],
    "units": [{"name": "nginx", "state": "any", "enabled": True}],
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(bench, "CACHE", tmp_path)
    return tmp_path


def test_component_becomes_one_builtin_task_an_item() -> None:
    tasks = list(bench.plain_tasks(COMPONENT))
    assert [next(iter(task)).rpartition(".")[2] for task in tasks] == [
        *("apt", "apt", "group", "file", "copy", "file", "file", "systemd_service")
    ]
    assert tasks[2]["ansible.builtin.group"] == {"name": "ops", "system": True}
    assert tasks[-1]["ansible.builtin.systemd_service"] == {"name": "nginx", "enabled": True}


def test_secret_file_is_copied_as_it_is_and_not_logged() -> None:
    task = list(bench.plain_tasks(COMPONENT))[4]
    assert Path(task["ansible.builtin.copy"]["src"]).read_text() == "{{ text }}"
    assert task["ansible.builtin.copy"]["mode"] == "0600"
    assert task["no_log"] is True


def test_play_of_a_host_holds_its_own_components_only() -> None:
    executions: list[dict[str, Any]] = [{"host": host, "component": COMPONENT} for host in ("a", "b")]
    executions.append({"host": "a", "component": None})
    assert len(bench.plain_play("a", executions)["tasks"]) == 8


def test_report_shows_counts_and_ratio() -> None:
    text = bench.report([{"host": "a"}, {"host": "a"}], 5.0, Counter({"a": 20}), 10.0)
    assert "  a: 2 executions, as plain tasks 20" in text
    assert "ratio 0.50" in text
