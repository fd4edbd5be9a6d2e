"""Rules for the leases of hosts: a runbook takes one before it changes a host, and a module renews it."""

from __future__ import annotations

import typing as t
from pathlib import Path

import yaml

from tools.modules import NAMESPACE, documentation_fragments

TAKE = f"{NAMESPACE}.run_lease"
# They take the lease themselves.
TAKING = {TAKE, f"{NAMESPACE}.component"}
# Modules of ansible-core that change a host; a command only if its task does not exclude a change.
CHANGING = {f"ansible.builtin.{name}" for name in ("apt", "copy", "file", "tempfile", "template", "user")}
COMMANDS = {"ansible.builtin.command", "ansible.builtin.shell"}
# Modules without the documentation fragment of those that only read, or of those that run on the controller
OTHERS = {"cloudflare_zone", "company_repository", "drill_report", "mail_probe", "make_secrets"}
OTHERS |= {"host_check", "mailcow_info", "run_lease", "run_record"}
# Modules that change a host within seconds, or only by the API of a service; they need no renewal.
SHORT = {"component_confirmation", "foreign_firewall", "mailcow_dkim", "mailcow_objects"}
# Roles that change nothing; the others take the lease by their components.
READING_ROLES = {f"{NAMESPACE}.{name}" for name in ("description", "preflight")}

Task: t.TypeAlias = "dict[str, t.Any]"


def list_changing(root: Path) -> set[str]:
    """Return the modules that change a host."""
    paths = (root / "plugins/modules").glob("*.py")
    reading = {"attributes.reads", "attributes.controller"}
    return {path.stem for path in paths if not reading & {*documentation_fragments(path)}} - OTHERS


def find_unrenewed(root: Path) -> list[str]:
    """Complain about modules that change a host and do not renew its lease while they run."""
    return [
        f"plugins/modules/{name}.py changes a host: call leases.keep_alive(module.check_mode) in main()"
        for name in sorted(list_changing(root) - SHORT)
        if "leases.keep_alive(" not in (root / f"plugins/modules/{name}.py").read_text()
    ]


def find_untaken(root: Path, path: Path) -> list[str]:
    """Complain about tasks of a playbook that change a host before the lease of a host was taken."""
    changing = {f"{NAMESPACE}.{name}" for name in list_changing(root)} | CHANGING
    for task in list_tasks(path, root):
        if TAKING & task.keys():
            return []
        if names := changes_host(task, changing):
            return [f"{path.name}: take the lease by {TAKE} before `{task.get('name')}` ({', '.join(sorted(names))})"]
    return []


def changes_host(task: Task, changing: set[str]) -> set[str]:
    """Return the modules of a task that change a host."""
    if task.get("delegate_to") == "localhost" or task.get("changed_when") is False or task.get("check_mode") is True:
        return set()
    if task.get(f"{NAMESPACE}.dkim_key", "") is None:
        # Without keys it reads.
        return set()
    return set(task) & (changing | COMMANDS)


def list_tasks(path: Path, root: Path) -> t.Iterator[Task]:
    """Yield the tasks of a playbook that run on hosts, in order, with those of the files that it includes."""
    for play in yaml.safe_load(path.read_text()):
        if "hosts" in play and play["hosts"] != "localhost":
            roles = [role["role"] for role in play.get("roles") or []]
            yield from [] if {*roles} <= READING_ROLES else [{TAKE: None}]
            yield from flatten([*(play.get("pre_tasks") or []), *(play.get("tasks") or [])], root)


def flatten(tasks: t.Iterable[Task], root: Path) -> t.Iterator[Task]:
    """Yield tasks with those of their blocks and of the files that they include."""
    for task in tasks:
        yield task
        for part in ("block", "rescue", "always"):
            yield from flatten(task.get(part) or [], root)
        for module in ("ansible.builtin.include_tasks", "ansible.builtin.import_tasks"):
            name = str(task.get(module) or "")
            if (file := root / "playbooks" / name).is_file():
                yield from flatten(yaml.safe_load(file.read_text()), root)
