"""Render a role's templates as the component action does, under the role's defaults and under the cases of its tests.

A role's cases are in tests/unit/roles/<role>/template_vars.yml: case name -> variables. The case `always` is no case
of its own: it lies beneath all others, the plain defaults too, and holds what a caller must give (required options,
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


def load(path: Path) -> Any:
    """Read YAML whose strings Ansible may template; an absent file is None."""
    return DataLoader().load_from_file(str(path), trusted_as_template=True) if path.exists() else None


def cases(role: Path, root: Path) -> dict[str, Variables]:
    """Return the variables of each case, the role's own defaults beneath."""
    given: dict[str, Variables] = dict(load(root / "tests/unit/roles" / role.name / "template_vars.yml") or {})
    beneath = {**HOST, **(load(role / "defaults/main.yml") or {}), **given.pop("always", {})}
    above = load(role / "vars/main.yml") or {}
    return {name: {**beneath, **variables, **above} for name, variables in {"defaults": {}, **given}.items()}


def tasks(role: Path) -> Iterator[dict[str, Any]]:
    """Yield the role's tasks, those inside blocks too."""
    waiting: list[dict[str, Any]] = []
    for path in sorted(role.glob("tasks/**/*.yml")):
        waiting += load(path) or []
    while waiting:
        task = waiting.pop(0)
        waiting += [inner for part in ("block", "rescue", "always") for inner in task.get(part, [])]
        yield task


def scopes(task: dict[str, Any], variables: Variables) -> Iterator[Variables]:
    """Yield what the task sees: its own vars, and with a loop each item."""
    scope = {**variables, **task.get("vars", {})}
    if "loop" not in task:
        yield scope
        return
    name = task.get("loop_control", {}).get("loop_var", "item")
    for item in Templar(loader=DataLoader(), variables=scope).template(task["loop"]):
        yield {**scope, name: item}


def templated_files(task: dict[str, Any], scope: Variables) -> Iterator[tuple[str, Variables]]:
    """Yield each template that a task renders, with the variables that it sees."""
    templar = Templar(loader=DataLoader(), variables=scope)
    if TEMPLATE in task:
        yield templar.template(task[TEMPLATE]["src"]), scope
    for entry in templar.template(task.get(COMPONENT, {})).get("files", []):
        for item in [None] if entry.get("each") is None else entry["each"]:
            extra = {} if item is None else {"item": item}
            dest = expand_destination(entry["dest"], item)
            if entry.get("content") is None:
                yield entry.get("src") or f"{Path(dest).name}.j2", {**scope, **entry.get("vars", {}), **extra}


def rendered(role: Path, variables: Variables) -> Iterator[tuple[str, str]]:
    """Yield each template's name with what it gives; an undefined variable is an error."""
    for task in tasks(role):
        if COMPONENT not in task and TEMPLATE not in task:
            continue
        for scope in scopes(task, variables):
            for name, seen in templated_files(task, scope):
                templar = Templar(loader=DataLoader(), variables=seen)
                yield name, render_template(DataLoader(), templar, str(role / "templates" / name), seen)


def complaints(role: Path, root: Path) -> list[str]:
    """Complain about templates that fail in a case, and about templates that no case reaches."""
    found, reached = [], set()
    for case, variables in cases(role, root).items():
        try:
            for name, _text in rendered(role, variables):
                reached.add(name)
        except AnsibleError as error:
            found.append(f"{role.name}: case {case}: {error}")
    present = {str(path.relative_to(role / "templates")) for path in role.glob("templates/**/*.j2")}
    where = f"add a case to tests/unit/roles/{role.name}/template_vars.yml"
    return found + [
        f"{role.name}: templates/{name} is rendered in no case; {where}" for name in sorted(present - reached)
    ]
