# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Validate the description on the controller and the host by one module, then report all problems at once."""

from __future__ import annotations

import functools
import json
import os
import platform
import sys
import typing as t
from pathlib import Path

from ansible import context
from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible_collections.vise.platform.plugins.module_utils import description, preflight_checks
from ansible_collections.vise.platform.plugins.module_utils.description import Problem, Schema
from ansible_collections.vise.platform.plugins.module_utils.preflight_checks import root_variable, shorten_path
from ansible_collections.vise.platform.plugins.plugin_utils import definitions, surveys, warm_up

Variables = dict[str, t.Any]

# In every run of site.yml, this is the first plugin that Ansible loads.
warm_up.import_filters()


class ActionModule(ActionBase):  # type: ignore[misc,unused-ignore]  # ansible-core ships no type hints
    """The preflight action."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: None = None, task_vars: Variables | None = None) -> Variables:
        """Return the task's result."""
        super().run(tmp, task_vars)
        task_vars = task_vars or {}
        arguments = dict(self._task.args)
        schema = load_schema(arguments.pop("schema"))
        models = arguments.pop("models", {})
        roles, own = arguments.pop("roles"), arguments.pop("own_variables", [])
        files = definitions.find_definitions(task_vars, self._loader)
        defined = {name: shorten_path(path) for name, path in files.items() if name in task_vars}
        values, problems = self._validate(schema, task_vars)
        problems += description.find_unknown_names(
            defined, {*schema["properties"], *definitions.role_options(roles), *own}
        )
        secrets, _errors = self._template([name for name in task_vars if name.startswith("vault_")], task_vars)
        problems += description.find_placeholders(secrets, defined)
        problems = preflight_checks.drop_consequences(problems, task_vars)
        valid = preflight_checks.valid_parts(values, schema)
        names, disagreements = preflight_checks.derive_names(values, valid, task_vars)
        without_value = {name for name in schema["properties"] if name in task_vars and name not in values}
        faulty = {*map(root_variable, problems), *without_value}
        problems += [problem for problem in disagreements if problem.variable not in faulty]
        problems += self._find_contradictions(models, {*map(root_variable, problems)}, task_vars)
        result = self._inspect_host({**arguments, "names": names}, task_vars)
        if result.get("failed"):
            return result
        vault = os.path.join(shorten_path(str(task_vars.get("inventory_dir") or "")), "group_vars/all/vault.yml")
        located = [preflight_checks.locate_problem(problem, defined, vault) for problem in dict.fromkeys(problems)]
        lines = [problem.line() for problem in located] + result["problems"]
        if not lines:
            return result
        text = preflight_checks.write_message(task_vars["inventory_hostname"], lines)
        return {**result, "failed": True, "problems": lines, "msg": text}

    def _inspect_host(self, arguments: Variables, task_vars: Variables) -> Variables:
        """Run the module; keep what its survey found, if there is one, for the components of this run."""
        survey = (
            is_complete_run(arguments.pop("survey", False)) and surveys.are_allowed() and not self._task.delegate_to
        )
        started = surveys.read_clock()
        code = {"survey": surveys.CODE_DIGEST} if survey else {}
        result: Variables = self._execute_module("vise.platform.preflight", {**arguments, **code}, task_vars=task_vars)
        components = result.pop("components", {})
        if survey and not result.get("failed"):
            surveys.keep(surveys.identify(self, task_vars["inventory_hostname"]), started, components)
        return result

    def _validate(self, schema: Schema, task_vars: Variables) -> tuple[Variables, list[Problem]]:
        """Return the values of the keys that hosts of this inventory read, and their problems."""
        keys = schema["properties"].values()
        entries, _errors = self._template({key["x-groups-of"] for key in keys if "x-groups-of" in key}, task_vars)
        # A key that cannot be evaluated, because secrets in it are missing, has entries.
        needed = {key["x-needs"] for key in keys if "x-needs" in key}
        known, errors = self._template(needed, task_vars)
        empty = {name for name in needed if name not in errors and not known.get(name)}
        named = preflight_checks.valid_parts(entries, schema)
        read = description.select_keys(schema, task_vars["groups"], named, empty)
        values, errors = self._template(read["properties"], task_vars)
        failures = {name: preflight_checks.describe_failure(name, error, schema) for name, error in errors.items()}
        failures |= preflight_checks.find_missing_secrets(values, task_vars, schema)
        others = {name: key for name, key in read["properties"].items() if name not in failures}
        problems = description.find_problems(values, {**read, "properties": others})
        return values, [*failures.values(), *problems]

    def _template(self, names: t.Iterable[str], task_vars: Variables) -> tuple[Variables, dict[str, str]]:
        """Return the values of these variables, and the errors of those that have none."""
        values, errors = {}, {}
        for name in names:
            if name not in task_vars:
                continue
            try:
                values[name] = self._templar.template(task_vars[name])
            except AnsibleError as error:
                errors[name] = str(error)
        return values, errors

    def _find_contradictions(
        self, models: dict[str, dict[str, t.Any]], faulty: set[str], task_vars: Variables
    ) -> list[Problem]:
        """Return what roles would refuse later, except for variables that have a fault already."""
        expected = {one["model"]: name for name, one in models.items() if not faulty & set(one["variables"])}
        _values, errors = self._template(expected, task_vars)
        problems = [preflight_checks.describe_failure(name, error, {}) for name, error in errors.items()]
        return [problem._replace(variable=expected.get(problem.variable, problem.variable)) for problem in problems]


def is_complete_run(survey: t.Any) -> bool:
    """Return whether a survey is wanted and no option of the command line leaves out tasks."""
    options = context.CLIARGS
    tags, skipped = tuple(options.get("tags", ())), tuple(options.get("skip_tags", ()))
    whole = tags == ("all",) and not skipped and not options.get("start_at_task") and not options.get("step")
    return boolean(survey) and whole


@functools.cache
def load_schema(path: str) -> Schema:
    """Return the schema of the description; it cannot be used without the library that validates by it."""
    if description.MISSING_LIBRARY:
        raise AnsibleActionFail(
            description.explain_missing_library(description.MISSING_LIBRARY, sys.executable, platform.python_version())
        )
    return description.inline_references(json.loads(Path(path).read_text(encoding="utf-8")))
