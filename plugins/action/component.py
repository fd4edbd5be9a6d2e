# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Render a component's files on the controller, then run one module that compares, changes and probes the host."""

from __future__ import annotations

import hashlib
import json
import os
import typing as t

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.template import trust_as_template
from ansible_collections.vise.platform.plugins.module_utils.component import programs
from ansible_collections.vise.platform.plugins.module_utils.component.origins import MANAGED
from ansible_collections.vise.platform.plugins.module_utils.component.spec import ARGUMENT_SPEC
from ansible_collections.vise.platform.plugins.module_utils.host import leases
from ansible_collections.vise.platform.plugins.plugin_utils import (
    apt_environment,
    new_login,
    outside,
    run_lease,
    surveys,
    taken_over,
)

# Placeholder for the generation while templates are rendered: the generation is a hash over the rendered text.
GENERATION = "@component_generation@"
MODULE_UTILS = os.path.dirname(os.path.dirname(programs.__file__))
# A file of a program; the other options have no meaning for it.
FILE: dict[str, t.Any] = {"src": None, "each": None, "vars": {}, "owner": "root", "group": "root", "secret": False}
APT = {"update_cache": True, "cache_valid_time": 3600, "install_recommends": False, "lock_timeout": 300}


class ActionModule(ActionBase):  # type: ignore[misc,unused-ignore]  # ansible-core ships no type hints
    """Action plugin of the module component."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Render the files, satisfy the prerequisites with other modules, run the module and return its result."""
        super().run(tmp, task_vars)
        task_vars = task_vars or {}
        _result, arguments = self.validate_argument_spec(ARGUMENT_SPEC)
        arguments["files"] = [file for entry in arguments["files"] for file in self._render(entry, task_vars)]
        arguments = add_generation(add_programs(arguments))
        if self._is_surveyed_right(arguments, task_vars):
            return build_unchanged_result(arguments["generation"], self._task.diff)
        permitted = taken_over.read_services(self, task_vars)
        lease = run_lease.identify(self, task_vars)
        arguments |= {"code": surveys.CODE_DIGEST, "take_over": permitted, "lease": lease}
        result, answers = self._apply(arguments, task_vars)
        if result.get("changed") or result.get("failed"):
            # Before the callback gets this result, a loop can apply further components.
            surveys.end()
        if result.pop("unconfirmed", False):
            return new_login.confirm(self, arguments, result, task_vars, answers)
        return result

    def _is_surveyed_right(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> bool:
        """Return whether the survey of this run found exactly the wanted state on the host."""
        if self._task.delegate_to or not surveys.are_allowed():
            return False
        host = task_vars["inventory_hostname"]
        found = surveys.take(surveys.identify(self, host), arguments["name"])
        reason = explain_execution(found, arguments["generation"])
        self._display.vv(f"{arguments['name']}: {reason or 'right, as the survey has found'}", host=host)
        return not reason

    def _apply(
        self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]
    ) -> tuple[dict[str, t.Any], outside.Answers]:
        """Run the module; when something differs, probe the host from outside first.

        Returns:
            The result, and what the host answered to this controller before the change.
        """
        first = self._call_first(arguments, task_vars)
        earlier = first.pop("awaited_answers", None)
        if earlier is None or first.get("failed"):
            return self._complete(arguments, first, task_vars), {}
        found = outside.probe(new_login.read_address(self), outside.list_targets(arguments["confirm"]))
        # An unconfirmed change of a killed run may have closed what answered before it.
        answers = outside.merge(found, outside.from_json(earlier))
        arguments = {**arguments, "confirm": {**arguments["confirm"], "answers": outside.to_json(answers)}}
        result = self._call("vise.platform.component", arguments, task_vars)
        return self._complete(arguments, result, task_vars), answers

    def _call_first(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Run the module, unless another run changes the host; the lease of a dead run of this controller ends."""
        result = self._call("vise.platform.component", arguments, task_vars)
        if (other := result.get("held_by")) and run_lease.has_ended(other):
            lease = {**arguments["lease"], "ends": other["run"]}
            result = self._call("vise.platform.component", {**arguments, "lease": lease}, task_vars)
        if other := result.get("held_by"):
            msg = f"{arguments['name']}: refused, nothing was changed: {leases.describe(other)}"
            return {"failed": True, "msg": msg, "actions": []}
        run_lease.mark_used(task_vars["inventory_hostname"])
        return result

    def _complete(
        self, arguments: dict[str, t.Any], result: dict[str, t.Any], task_vars: dict[str, t.Any]
    ) -> dict[str, t.Any]:
        """When packages, groups or users differ, run their modules and then the component's module once more."""
        prerequisites = result.pop("prerequisites", None)
        if prerequisites is None or result.get("failed"):
            return result
        for module, options in plan_prerequisites(prerequisites):
            outcome = self._call(module, options, task_vars)
            if outcome.get("failed"):
                msg = f"{arguments['name']}: {module.rsplit('.', 1)[-1]}: {outcome.get('msg', outcome)}"
                return {"failed": True, "msg": msg, "actions": []}
        second = self._call("vise.platform.component", {**arguments, "prepared": True}, task_vars)
        if "prerequisites" in second:
            msg = (
                f"{arguments['name']}: apt, group and user succeeded, but the host still differs:"
                f" {second['prerequisites']}"
            )
            return {**second, "failed": True, "msg": msg}
        diff = [{"prepared": "".join(f"> {a}\n" for a in result["actions"] if a not in second.get("actions", []))}]
        actions = list(dict.fromkeys(result["actions"] + second.get("actions", [])))
        warnings = result.get("warnings", []) + second.get("warnings", [])
        copies = result.get("copies", []) + second.get("copies", [])
        more = {**({"warnings": warnings} if warnings else {}), **({"copies": copies} if copies else {})}
        return {**second, **more, "changed": True, "actions": actions, "diff": diff + second.get("diff", [])}

    def _call(self, module: str, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        with apt_environment.own_configuration(self._task, module):
            result: dict[str, t.Any] = self._execute_module(
                module_name=module, module_args=arguments, task_vars=task_vars
            )
        # The invocation contains the content of every file, including secrets.
        result.pop("invocation", None)
        return result

    def _render(self, entry: dict[str, t.Any], task_vars: dict[str, t.Any]) -> t.Iterator[dict[str, t.Any]]:
        for item in [None] if entry["each"] is None else entry["each"]:
            extra = {} if item is None else {"item": item}
            dest = expand_destination(entry["dest"], item)
            content = entry["content"]
            if content is None:
                source = entry["src"] or os.path.basename(dest) + ".j2"
                content = self._template(source, {**task_vars, **entry["vars"], **extra})
            yield {**entry, "dest": dest, "content": content, "src": None, "each": None, "vars": {}}

    def _template(self, source: str, variables: dict[str, t.Any]) -> str:
        try:
            path = self._find_needle("templates", source)
            return render_template(self._loader, self._templar, path, variables)
        except AnsibleError as error:
            raise AnsibleActionFail(f"template {source}: {error}") from error


def render_template(loader: t.Any, templar: t.Any, path: str, variables: dict[str, t.Any]) -> str:
    """Render the template at a path; raises AnsibleError for an undefined variable."""
    folder = os.path.dirname(path)
    templar = templar.copy_with_new_env(
        searchpath=[folder],
        available_variables={"ansible_managed": MANAGED, **variables, "component_generation": GENERATION},
    )
    text = trust_as_template(loader.get_text_file_contents(path))
    rendered = templar.template(text, escape_backslashes=False, overrides={"trim_blocks": True, "lstrip_blocks": True})
    return "" if rendered is None else str(rendered)


def add_programs(arguments: dict[str, t.Any]) -> dict[str, t.Any]:
    """Add the files and links of O(programs); raises AnsibleActionFail when a program cannot be installed."""
    files, links = list(arguments["files"]), list(arguments["links"])
    for entry in arguments["programs"]:
        program = programs.Program(entry["name"], entry["module"])
        try:
            if not programs.NAME.fullmatch(program.name):
                raise programs.ProgramError("a name has lower-case letters, digits and hyphens")
            sources = programs.find_sources(program.module, read_module_util)
        except programs.ProgramError as error:
            raise AnsibleActionFail(f"{arguments['name']}: program {program.name}: {error}") from error
        for dest, (content, mode) in program.files(sources, MANAGED).items():
            files.append({**FILE, "dest": dest, "content": content, "mode": mode})
        links.append({"path": program.command, "target": program.launcher})
    return {**arguments, "files": files, "links": links}


def read_module_util(path: str) -> str | None:
    """Return the text of a path below the collection's module_utils; None when it does not exist."""
    try:
        with open(os.path.join(MODULE_UTILS, path), encoding="utf-8") as handle:
            return handle.read()
    except (FileNotFoundError, NotADirectoryError):
        return None


def expand_destination(pattern: str, item: dict[str, t.Any] | None) -> str:
    """Return the path of a file; in braces, the pattern names keys of the entry of O(files[].each)."""
    if item is None:
        return pattern
    try:
        return pattern.format_map(item)
    except (KeyError, ValueError) as error:
        msg = f"dest {pattern}: {error} is not a key of the entry, which has the keys {sorted(item)}"
        raise AnsibleActionFail(msg) from error


def add_generation(arguments: dict[str, t.Any]) -> dict[str, t.Any]:
    """Compute the generation, a hash over the rendered arguments, and replace its placeholder in the files.

    Raises AnsibleActionFail when two files have the same destination.
    """
    destinations = [file["dest"] for file in arguments["files"]]
    duplicates = sorted({dest for dest in destinations if destinations.count(dest) > 1})
    if duplicates:
        raise AnsibleActionFail(f"{arguments['name']}: more than one file has the destination {', '.join(duplicates)}")
    text = json.dumps(arguments, sort_keys=True, default=str)
    generation = hashlib.sha256(text.encode()).hexdigest()[:12]
    files = [{**file, "content": file["content"].replace(GENERATION, generation)} for file in arguments["files"]]
    return {**arguments, "files": files, "generation": generation}


def explain_execution(found: dict[str, t.Any], generation: str) -> str:
    """Return why a component must be executed although its host was surveyed; empty when it was found right."""
    if not found:
        return "executed, because it was not surveyed on this connection, is used twice, or the survey is too old"
    if found["generation"] != generation:
        return "executed, because its description has changed"
    return f"executed, because the survey has found: {'; '.join(found['differences'])}" if found["differences"] else ""


def build_unchanged_result(generation: str, show_diff: bool) -> dict[str, t.Any]:
    """Return what the module returns when nothing differs."""
    return {"changed": False, "actions": [], "generation": generation, **({"diff": []} if show_diff else {})}


def plan_prerequisites(prerequisites: dict[str, t.Any]) -> t.Iterator[tuple[str, dict[str, t.Any]]]:
    """Yield the modules and options that install packages and change groups and users, in order.

    The component's module has closed the absent users.
    """
    if prerequisites["packages"]:
        yield "ansible.builtin.apt", {"name": prerequisites["packages"], "state": "present", **APT}
    if prerequisites["absent_packages"]:
        yield "ansible.builtin.apt", {"name": prerequisites["absent_packages"], "state": "absent", "lock_timeout": 300}
    for group in prerequisites["groups"]:
        yield "ansible.builtin.group", _drop_unset(group)
    for user in prerequisites["users"]:
        # Without a password: people and services log in by key only, the password of a new account stays locked.
        yield "ansible.builtin.user", {**_drop_unset(user), "append": False}


def _drop_unset(account: dict[str, t.Any]) -> dict[str, t.Any]:
    return {key: value for key, value in account.items() if value is not None}
