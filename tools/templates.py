"""Render a role's templates as the component action does, with the role's defaults and with the cases of its tests.

A role's cases are in tests/unit/roles/<role>/template_vars.yml: case name -> variables. The entry `always` is not a
case: its variables belong to every case, the defaults included. It holds what a caller must set (required options,
facts).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.vise.platform.plugins.action.component import expand_destination, render_template

Variables = dict[str, Any]
COMPONENT = "vise.platform.component"
TEMPLATE = "ansible.builtin.template"
HOST = {"inventory_hostname": "host-1", "inventory_hostname_short": "host-1"}


def load_yaml(path: Path) -> Any:
    """Read YAML whose strings Ansible may template; return None when the file does not exist."""
    return DataLoader().load_from_file(str(path), trusted_as_template=True) if path.exists() else None


def load_cases(role: Path, root: Path) -> dict[str, Variables]:
    """Return the variables of each case: the case's own on top of the role's defaults, then the role's vars."""
    own: dict[str, Variables] = dict(load_yaml(root / "tests/unit/roles" / role.name / "template_vars.yml") or {})
    defaults = {**HOST, **(load_yaml(role / "defaults/main.yml") or {}), **own.pop("always", {})}
    role_vars = load_yaml(role / "vars/main.yml") or {}
    return {name: {**defaults, **variables, **role_vars} for name, variables in {"defaults": {}, **own}.items()}


def list_tasks(role: Path) -> Iterator[dict[str, Any]]:
    """Yield the role's tasks, including those in blocks."""
    queue: list[dict[str, Any]] = []
    for path in sorted(role.glob("tasks/**/*.yml")):
        queue += load_yaml(path) or []
    while queue:
        task = queue.pop(0)
        queue += [inner for part in ("block", "rescue", "always") for inner in task.get(part, [])]
        yield task


def list_scopes(task: dict[str, Any], variables: Variables) -> Iterator[Variables]:
    """Yield the variables that a task sees: with its own vars, and once for each item of its loop."""
    scope = {**variables, **task.get("vars", {})}
    if "loop" not in task:
        yield scope
        return
    name = task.get("loop_control", {}).get("loop_var", "item")
    for item in Templar(loader=DataLoader(), variables=scope).template(task["loop"]):
        yield {**scope, name: item}


def list_templates(task: dict[str, Any], scope: Variables) -> Iterator[tuple[str, Variables]]:
    """Yield each template that a task renders, with its variables."""
    templar = Templar(loader=DataLoader(), variables=scope)
    if TEMPLATE in task:
        yield templar.template(task[TEMPLATE]["src"]), scope
    for entry in templar.template(task.get(COMPONENT, {})).get("files", []):
        for item in [None] if entry.get("each") is None else entry["each"]:
            extra = {} if item is None else {"item": item}
            dest = expand_destination(entry["dest"], item)
            if entry.get("content") is None:
                yield entry.get("src") or f"{Path(dest).name}.j2", {**scope, **entry.get("vars", {}), **extra}


def render_templates(role: Path, variables: Variables) -> Iterator[tuple[str, str]]:
    """Yield the name and the rendered text of each template; raises AnsibleError for an undefined variable."""
    for task in list_tasks(role):
        if COMPONENT not in task and TEMPLATE not in task:
            continue
        for scope in list_scopes(task, variables):
            for name, visible in list_templates(task, scope):
                templar = Templar(loader=DataLoader(), variables=visible)
                yield name, render_template(DataLoader(), templar, str(role / "templates" / name), visible)


def find_problems(role: Path, root: Path) -> list[str]:
    """Return a text for each template that fails in a case, and for each template that no case renders."""
    problems, reached = [], set()
    for case, variables in load_cases(role, root).items():
        try:
            for name, _text in render_templates(role, variables):
                reached.add(name)
        except AnsibleError as error:
            problems.append(f"{role.name}: case {case}: {error}")
    present = {str(path.relative_to(role / "templates")) for path in role.glob("templates/**/*.j2")}
    where = f"add a case to tests/unit/roles/{role.name}/template_vars.yml"
    return problems + [f"{role.name}: no case renders templates/{name}: {where}" for name in sorted(present - reached)]
