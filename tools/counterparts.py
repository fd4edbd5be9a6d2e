"""The end state that components were asked for, written for others: as plain builtin tasks, and as a pyinfra deploy.

One task or operation an item, as one would write it there. What belongs to a component alone (its check, its probe, its
generation) has no counterpart, nor have roles' other modules: the others do less.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Task = dict[str, Any]
Execution = dict[str, Any]
# The operation's name and its arguments.
Operation = tuple[str, dict[str, Any]]


def given(account: dict[str, Any]) -> dict[str, Any]:
    """Leave out what was not asked for."""
    return {key: value for key, value in account.items() if value is not None}


def kept(folder: Path, content: str) -> str:
    """Keep a rendered file; standing in a task it would be taken for a template."""
    path = folder / hashlib.sha256(content.encode()).hexdigest()
    path.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
    path.write_text(content)
    return str(path)


def mode_of(file: dict[str, Any]) -> str:
    """Say a file's mode as the component does when none is given."""
    return str(file["mode"] or ("0600" if file["secret"] else "0644"))


def plain_tasks(component: dict[str, Any], folder: Path) -> Iterator[Task]:
    """Write one component as builtin tasks."""
    if component["packages"]:
        yield {"ansible.builtin.apt": {"name": component["packages"]}}
    if component["absent_packages"]:
        yield {"ansible.builtin.apt": {"name": component["absent_packages"], "state": "absent"}}
    for group in component["groups"]:
        yield {"ansible.builtin.group": given(group)}
    for user in component["users"]:
        yield {"ansible.builtin.user": given(user)}
    for directory in component["directories"]:
        yield {"ansible.builtin.file": {**directory, "state": "directory"}}
    for file in component["files"]:
        copied = {"dest": file["dest"], "owner": file["owner"], "group": file["group"], "mode": mode_of(file)}
        yield {"ansible.builtin.copy": {**copied, "src": kept(folder, file["content"])}, "no_log": file["secret"]}
    for link in component["links"]:
        yield {"ansible.builtin.file": {"path": link["path"], "src": link["target"], "state": "link"}}
    for path in component["absent"]:
        yield {"ansible.builtin.file": {"path": path, "state": "absent"}}
    for unit in component["units"]:
        state = {} if unit["state"] == "any" else {"state": unit["state"]}
        yield {"ansible.builtin.systemd_service": {"name": unit["name"], "enabled": unit["enabled"], **state}}


def operations(component: dict[str, Any], folder: Path) -> Iterator[Operation]:
    """Write one component as operations of pyinfra."""
    if component["packages"]:
        yield "apt.packages", {"packages": component["packages"]}
    if component["absent_packages"]:
        yield "apt.packages", {"packages": component["absent_packages"], "present": False}
    for group in component["groups"]:
        yield "server.group", renamed(group, name="group")
    for user in component["users"]:
        yield "server.user", {**renamed(user, name="user"), "ensure_home": False}
    for directory in component["directories"]:
        yield "files.directory", renamed(directory, owner="user")
    for file in component["files"]:
        put = {"dest": file["dest"], "user": file["owner"], "group": file["group"], "mode": mode_of(file)}
        yield "files.put", {**put, "src": kept(folder, file["content"])}
    for link in component["links"]:
        yield "files.link", link
    for path in component["absent"]:
        yield "files.file", {"path": path, "present": False}
    for unit in component["units"]:
        running = None if unit["state"] == "any" else unit["state"] == "started"
        yield "systemd.service", {"service": unit["name"], "enabled": unit["enabled"], "running": running}


def renamed(item: dict[str, Any], **names: str) -> dict[str, Any]:
    """Say what was asked for in other words."""
    return {names.get(key, key): value for key, value in given(item).items()}


def components(host: str, executions: list[Execution]) -> list[dict[str, Any]]:
    """What was asked for on one host."""
    return [one["component"] for one in executions if one["host"] == host and one["component"]]


def plain_tasks_of(host: str, executions: list[Execution], folder: Path) -> list[Task]:
    """Write the tasks of one host."""
    return [task for component in components(host, executions) for task in plain_tasks(component, folder)]


def plain_play(hosts: list[str]) -> dict[str, Any]:
    """Write a play in which each host gets its own tasks, from the file beside it, at its own pace."""
    tasks = [{"ansible.builtin.include_tasks": "{{ inventory_hostname }}.json"}]
    return {"name": "Plain tasks", "hosts": hosts, "gather_facts": False, "strategy": "free", "tasks": tasks}


def pyinfra_host(host: str, executions: list[Execution], folder: Path) -> tuple[str, dict[str, Any]]:
    """Write one host of pyinfra's inventory: how Ansible reached it, and the operations it gets."""
    way = next(one["way"] for one in executions if one["host"] == host and one["component"])
    todo = [operation for component in components(host, executions) for operation in operations(component, folder)]
    reached = {"ssh_hostname": way["address"], "ssh_user": way["user"], "ssh_key": way["key"]}
    # A sandbox host has a new key whenever it is made, and there is no agent to ask.
    hurried = {"ssh_strict_host_key_checking": "off", "ssh_known_hosts_file": "/dev/null", "ssh_allow_agent": False}
    return host, {**reached, **hurried, "todo": todo}
