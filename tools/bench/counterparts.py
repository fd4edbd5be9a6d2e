"""Convert the arguments of components into plain builtin tasks and into a pyinfra deploy, for `make bench`.

Each item becomes one task or operation, as it is usual there. Checks, probes and generations of a component have no
counterpart, and neither have the other modules of the roles, so the other versions do less.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Task = dict[str, Any]
Execution = dict[str, Any]
# Name of the operation and its arguments.
Operation = tuple[str, dict[str, Any]]


def drop_unset(account: dict[str, Any]) -> dict[str, Any]:
    """Return only the properties that have a value."""
    return {key: value for key, value in account.items() if value is not None}


def store_file(folder: Path, content: str) -> str:
    """Write a rendered file and return its path; inline in a task, Ansible would template its content again."""
    path = folder / hashlib.sha256(content.encode()).hexdigest()
    path.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
    path.write_text(content)
    return str(path)


def file_mode(file: dict[str, Any]) -> str:
    """Return the mode of a file, by default that of the component module."""
    return str(file["mode"] or ("0600" if file["secret"] else "0644"))


def plain_tasks(component: dict[str, Any], folder: Path) -> Iterator[Task]:
    """Convert one component into builtin tasks."""
    if component["packages"]:
        yield {"ansible.builtin.apt": {"name": component["packages"]}}
    if component["absent_packages"]:
        yield {"ansible.builtin.apt": {"name": component["absent_packages"], "state": "absent"}}
    for group in component["groups"]:
        yield {"ansible.builtin.group": drop_unset(group)}
    for user in component["users"]:
        yield {"ansible.builtin.user": drop_unset(user)}
    for directory in component["directories"]:
        yield {"ansible.builtin.file": {**directory, "state": "directory"}}
    for file in component["files"]:
        options = {"dest": file["dest"], "owner": file["owner"], "group": file["group"], "mode": file_mode(file)}
        yield {
            "ansible.builtin.copy": {**options, "src": store_file(folder, file["content"])},
            "no_log": file["secret"],
        }
    for link in component["links"]:
        yield {"ansible.builtin.file": {"path": link["path"], "src": link["target"], "state": "link"}}
    for path in component["absent"]:
        yield {"ansible.builtin.file": {"path": path, "state": "absent"}}
    for unit in component["units"]:
        state = {} if unit["state"] == "any" else {"state": unit["state"]}
        yield {"ansible.builtin.systemd_service": {"name": unit["name"], "enabled": unit["enabled"], **state}}


def pyinfra_operations(component: dict[str, Any], folder: Path) -> Iterator[Operation]:
    """Convert one component into operations of pyinfra."""
    if component["packages"]:
        yield "apt.packages", {"packages": component["packages"]}
    if component["absent_packages"]:
        yield "apt.packages", {"packages": component["absent_packages"], "present": False}
    for group in component["groups"]:
        yield "server.group", rename_keys(group, name="group")
    for user in component["users"]:
        yield "server.user", {**rename_keys(user, name="user"), "ensure_home": False}
    for directory in component["directories"]:
        yield "files.directory", rename_keys(directory, owner="user")
    for file in component["files"]:
        options = {"dest": file["dest"], "user": file["owner"], "group": file["group"], "mode": file_mode(file)}
        yield "files.put", {**options, "src": store_file(folder, file["content"])}
    for link in component["links"]:
        yield "files.link", link
    for path in component["absent"]:
        yield "files.file", {"path": path, "present": False}
    for unit in component["units"]:
        running = None if unit["state"] == "any" else unit["state"] == "started"
        yield "systemd.service", {"service": unit["name"], "enabled": unit["enabled"], "running": running}


def rename_keys(item: dict[str, Any], **names: str) -> dict[str, Any]:
    """Return the properties that have a value, with some keys renamed."""
    return {names.get(key, key): value for key, value in drop_unset(item).items()}


def list_components(host: str, executions: list[Execution]) -> list[dict[str, Any]]:
    """Return the arguments of all components of one host, each once: one that installs packages is executed twice."""
    found = [one["component"] for one in executions if one["host"] == host and one["component"]]
    return list({component["name"]: component for component in found}.values())


def list_plain_tasks(host: str, executions: list[Execution], folder: Path) -> list[Task]:
    """Return the builtin tasks of one host."""
    return [task for component in list_components(host, executions) for task in plain_tasks(component, folder)]


def build_plain_play(hosts: list[str]) -> dict[str, Any]:
    """Return a play in which each host runs its own tasks, from a file next to the playbook, with strategy free."""
    tasks = [{"ansible.builtin.include_tasks": "{{ inventory_hostname }}.json"}]
    return {"name": "Plain tasks", "hosts": hosts, "gather_facts": False, "strategy": "free", "tasks": tasks}


def build_pyinfra_host(host: str, executions: list[Execution], folder: Path) -> tuple[str, dict[str, Any]]:
    """Return one host of pyinfra's inventory: the connection that Ansible used, and its operations."""
    connection = next(one["connection"] for one in executions if one["host"] == host and one["component"])
    operations = [
        operation
        for component in list_components(host, executions)
        for operation in pyinfra_operations(component, folder)
    ]
    address = {"ssh_hostname": connection["address"], "ssh_user": connection["user"], "ssh_key": connection["key"]}
    # A sandbox host gets a new host key each time it is created, and there is no SSH agent.
    options = {"ssh_strict_host_key_checking": "off", "ssh_known_hosts_file": "/dev/null", "ssh_allow_agent": False}
    return host, {**address, **options, "operations": operations}
