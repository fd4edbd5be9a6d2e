# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Render a component on the controller, then let one module compare, change and prove it on the host."""

from __future__ import annotations

import hashlib
import json
import os
import typing as t

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.template import trust_as_template
from ansible_collections.vise.platform.plugins.module_utils.component.spec import ARGUMENT_SPEC

# Stands for the generation while templates are rendered: the hash is over what they give.
GENERATION = "@component_generation@"
MANAGED = "Managed by Ansible: changes made here are taken back"
APT = {"update_cache": True, "cache_valid_time": 3600, "install_recommends": False, "lock_timeout": 300}


class ActionModule(ActionBase):  # type: ignore[misc,unused-ignore]  # ansible-core ships no type hints
    """The component action."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Return the task's result."""
        super().run(tmp, task_vars)
        task_vars = task_vars or {}
        _result, arguments = self.validate_argument_spec(ARGUMENT_SPEC)
        arguments["files"] = [file for entry in arguments["files"] for file in self._render(entry, task_vars)]
        arguments = stamped(arguments)
        result = self._call("vise.platform.component", arguments, task_vars)
        needs = result.pop("needs", None)
        if needs is None or result.get("failed"):
            return result
        for module, options in errands(needs):
            errand = self._call(module, options, task_vars)
            if errand.get("failed"):
                msg = f"{arguments['name']}: {module.rsplit('.', 1)[-1]}: {errand.get('msg', errand)}"
                return {"failed": True, "msg": msg, "actions": []}
        second = self._call("vise.platform.component", arguments, task_vars)
        if "needs" in second:
            msg = f"{arguments['name']}: still missing after it was brought: {second['needs']}"
            return {**second, "failed": True, "msg": msg}
        diff = [{"prepared": "".join(f"> {a}\n" for a in result["actions"] if a not in second.get("actions", []))}]
        actions = list(dict.fromkeys(result["actions"] + second.get("actions", [])))
        return {**second, "changed": True, "actions": actions, "diff": diff + second.get("diff", [])}

    def _call(self, module: str, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        result: dict[str, t.Any] = self._execute_module(module_name=module, module_args=arguments, task_vars=task_vars)
        # It holds the content of every file, secrets among them.
        result.pop("invocation", None)
        return result

    def _render(self, entry: dict[str, t.Any], task_vars: dict[str, t.Any]) -> t.Iterator[dict[str, t.Any]]:
        for item in [None] if entry["each"] is None else entry["each"]:
            extra = {} if item is None else {"item": item}
            dest = destination(entry["dest"], item)
            content = entry["content"]
            if content is None:
                source = entry["src"] or os.path.basename(dest) + ".j2"
                content = self._template(source, {**task_vars, **entry["vars"], **extra})
            yield {**entry, "dest": dest, "content": content, "src": None, "each": None, "vars": {}}

    def _template(self, source: str, variables: dict[str, t.Any]) -> str:
        try:
            path = self._find_needle("templates", source)
            return render(self._loader, self._templar, path, variables)
        except AnsibleError as error:
            raise AnsibleActionFail(f"template {source}: {error}") from error


def render(loader: t.Any, templar: t.Any, path: str, variables: dict[str, t.Any]) -> str:
    """Return what a template gives; an undefined variable is an error."""
    folder = os.path.dirname(path)
    templar = templar.copy_with_new_env(
        searchpath=[folder],
        available_variables={"ansible_managed": MANAGED, **variables, "component_generation": GENERATION},
    )
    text = trust_as_template(loader.get_text_file_contents(path))
    rendered = templar.template(text, escape_backslashes=False, overrides={"trim_blocks": True, "lstrip_blocks": True})
    return "" if rendered is None else str(rendered)


def destination(pattern: str, item: dict[str, t.Any] | None) -> str:
    """Return a file's path; with an entry, braces name its keys."""
    if item is None:
        return pattern
    try:
        return pattern.format_map(item)
    except (KeyError, ValueError) as error:
        raise AnsibleActionFail(f"dest {pattern}: {error} is not a key of the entry {sorted(item)}") from error


def stamped(arguments: dict[str, t.Any]) -> dict[str, t.Any]:
    """Return the arguments with the generation, a hash over what is rendered, in place of its stand-in."""
    destinations = [file["dest"] for file in arguments["files"]]
    doubles = sorted({dest for dest in destinations if destinations.count(dest) > 1})
    if doubles:
        raise AnsibleActionFail(f"{arguments['name']}: more than one file has the destination {', '.join(doubles)}")
    text = json.dumps(arguments, sort_keys=True, default=str)
    generation = hashlib.sha256(text.encode()).hexdigest()[:12]
    files = [{**file, "content": file["content"].replace(GENERATION, generation)} for file in arguments["files"]]
    return {**arguments, "files": files, "generation": generation}


def errands(needs: dict[str, t.Any]) -> t.Iterator[tuple[str, dict[str, t.Any]]]:
    """Return the calls of other modules that bring what is missing, in order."""
    if needs["packages"]:
        yield "ansible.builtin.apt", {"name": needs["packages"], "state": "present", **APT}
    if needs["absent_packages"]:
        yield "ansible.builtin.apt", {"name": needs["absent_packages"], "state": "absent", "lock_timeout": 300}
    for group in needs["groups"]:
        yield "ansible.builtin.group", _given(group)
    for user in needs["users"]:
        # A person or service gets in by key or not at all; the password field of a new account stays locked.
        yield "ansible.builtin.user", {**_given(user), "append": False}
    for name in needs["absent_users"]:
        # Forced, since a session that will not end must not keep somebody's account alive.
        yield "ansible.builtin.user", {"name": name, "state": "absent", "force": True, "remove": False}


def _given(account: dict[str, t.Any]) -> dict[str, t.Any]:
    return {key: value for key, value in account.items() if value is not None}
