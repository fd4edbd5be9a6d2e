from __future__ import annotations

from pathlib import Path
from typing import Any

from tools.bench import counterparts

FILE: dict[str, Any] = {
    "dest": "/a",
    "owner": "web",
    "group": "root",
    "mode": None,
    "secret": True,
    "content": "{{ text }}",
}
COMPONENT: dict[str, Any] = {
    "name": "demo",
    "packages": ["nginx"],
    "absent_packages": ["apache2"],
    "groups": [{"name": "ops", "gid": None, "system": True}],
    "users": [{"name": "web", "group": "ops", "uid": None, "home": "/srv/web"}],
    "directories": [{"path": "/srv", "owner": "web", "group": "root", "mode": "0755"}],
    "files": [FILE],
    "links": [{"path": "/l", "target": "/a"}],
    "absent": ["/gone"],
    "units": [
        {"name": "nginx", "state": "any", "enabled": True},
        {"name": "old.timer", "state": "stopped", "enabled": False},
    ],
}
CONNECTION = {"address": "192.0.2.1", "user": "root", "key": "/key"}
EXECUTIONS: list[dict[str, Any]] = [
    {"host": "a", "component": None},
    {"host": "a", "component": COMPONENT, "connection": CONNECTION},
    {"host": "b", "component": COMPONENT, "connection": CONNECTION},
]


def test_each_item_of_a_component_becomes_one_builtin_task(tmp_path: Path) -> None:
    tasks = list(counterparts.plain_tasks(COMPONENT, tmp_path))
    assert [next(iter(task)).rpartition(".")[2] for task in tasks] == [
        *("apt", "apt", "group", "user", "file", "copy", "file", "file", "systemd_service", "systemd_service")
    ]
    assert tasks[2]["ansible.builtin.group"] == {"name": "ops", "system": True}
    assert tasks[-2]["ansible.builtin.systemd_service"] == {"name": "nginx", "enabled": True}


def test_secret_file_is_copied_unchanged_and_not_logged(tmp_path: Path) -> None:
    task = list(counterparts.plain_tasks(COMPONENT, tmp_path))[5]
    assert Path(task["ansible.builtin.copy"]["src"]).read_text() == "{{ text }}"
    assert task["ansible.builtin.copy"]["mode"] == "0600"
    assert task["no_log"] is True


def test_each_item_of_a_component_becomes_one_pyinfra_operation(tmp_path: Path) -> None:
    content = counterparts.store_file(tmp_path, FILE["content"])
    assert list(counterparts.pyinfra_operations(COMPONENT, tmp_path)) == [
        ("apt.packages", {"packages": ["nginx"]}),
        ("apt.packages", {"packages": ["apache2"], "present": False}),
        ("server.group", {"group": "ops", "system": True}),
        ("server.user", {"user": "web", "group": "ops", "home": "/srv/web", "ensure_home": False}),
        ("files.directory", {"path": "/srv", "user": "web", "group": "root", "mode": "0755"}),
        ("files.put", {"dest": "/a", "user": "web", "group": "root", "mode": "0600", "src": content}),
        ("files.link", {"path": "/l", "target": "/a"}),
        ("files.file", {"path": "/gone", "present": False}),
        ("systemd.service", {"service": "nginx", "enabled": True, "running": None}),
        ("systemd.service", {"service": "old.timer", "enabled": False, "running": False}),
    ]


def test_host_gets_only_its_own_components(tmp_path: Path) -> None:
    assert len(counterparts.list_plain_tasks("a", EXECUTIONS, tmp_path)) == 10
    name, data = counterparts.build_pyinfra_host("a", EXECUTIONS, tmp_path)
    assert (name, data["ssh_hostname"], data["ssh_user"], data["ssh_key"]) == ("a", "192.0.2.1", "root", "/key")
    assert data["operations"] == list(counterparts.pyinfra_operations(COMPONENT, tmp_path))


def test_component_that_was_executed_twice_counts_once() -> None:
    other = {**EXECUTIONS[0], "component": {**COMPONENT, "name": "other"}}
    names = [one["name"] for one in counterparts.list_components("a", [*EXECUTIONS, other, *EXECUTIONS])]
    assert names == ["demo", "other"]
