# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Validate the description on the controller and the host by one module, then return all problems at once."""

from __future__ import annotations

import functools
import json
import os
import platform
import sys
import typing as t
from pathlib import Path

from ansible import context
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure, AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible_collections.vise.platform.plugins.module_utils import (
    description,
    inventory_checks,
    login_checks,
    preflight_checks,
    role_options,
)
from ansible_collections.vise.platform.plugins.module_utils.description import Problem, Schema
from ansible_collections.vise.platform.plugins.module_utils.host import leases
from ansible_collections.vise.platform.plugins.module_utils.login_checks import read_keys
from ansible_collections.vise.platform.plugins.module_utils.preflight_checks import (
    find_further_secrets,
    name_sites,
    root_variable,
    shorten_path,
)
from ansible_collections.vise.platform.plugins.plugin_utils import (
    controller_keys,
    definitions,
    run_lease,
    surveys,
    warm_up,
)

Variables = dict[str, t.Any]

# The options of the action, which the module on the host does not have
OPTIONS: Variables = {
    "schema": "",
    "models": {},
    "roles": "",
    "own_variables": [],
    "own_groups": [],
    "plaintext_secrets": False,
}
# The keywords of the schema by which the value of one key decides who reads another one
NAMING = ("x-groups-of", "x-host-of")
# The options of the role base that only the host can judge
BASE_OPTIONS = ("base_timezone", "base_locale", "base_locales", "base_packages")
# The environment whose secrets are generated for the sandbox
DEVELOPMENT = "development"

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
        options = {name: arguments.pop(name, default) for name, default in OPTIONS.items()}
        schema = description.list_groups(load_schema(options["schema"]), task_vars["groups"])
        specs = definitions.role_options(options["roles"])
        files = definitions.find_definitions(task_vars, self._loader)
        defined = {name: shorten_path(path) for name, path in files.items() if name in task_vars}
        values, problems = self._validate(schema, task_vars)
        known = {*schema["properties"], *specs, *options["own_variables"]}
        problems += description.find_unknown_names(defined, known)
        secrets, _errors = self._template([name for name in task_vars if name.startswith("vault_")], task_vars)
        problems += description.find_placeholders(secrets, defined)
        problems = preflight_checks.drop_consequences(problems, task_vars)
        valid = preflight_checks.valid_parts(values, schema)
        names, disagreements = preflight_checks.derive_names(values, valid, task_vars)
        without_value = {name for name in schema["properties"] if name in task_vars and name not in values}
        faulty = {*map(root_variable, problems), *without_value}
        problems += [problem for problem in disagreements if problem.variable not in faulty]
        filled = without_value | {name for name, value in values.items() if value}
        problems += self._find_inventory_problems(filled, valid, schema, options, task_vars)
        problems += self._find_option_problems(specs, {name for name in defined if name in specs}, valid, task_vars)
        if not (options["plaintext_secrets"] or DEVELOPMENT in task_vars["group_names"]):
            problems += find_plaintext(files.values())
        problems += self._find_contradictions(options["models"], {*map(root_variable, problems)}, valid, task_vars)
        arguments |= {
            "names": names,
            "components": preflight_checks.list_components(valid, task_vars),
            "home_accounts": [
                *self._read_ssh_options(options["roles"], task_vars)["ssh_home_keys_for"],
                *people_names(valid),
            ],
            "users": self._read_users(options["models"], task_vars),
            "base": self._read_base_options(options["roles"], specs, task_vars),
            "run": "" if self._task.check_mode else run_lease.find_run(),
        }
        result = self._inspect_host(arguments, task_vars)
        login, holder = result.pop("login", None), result.pop("held_by", {})
        of_login = self._find_login_problems(login, valid, options["roles"], task_vars) if login else []
        vault = choose_vault(defined, task_vars)
        lines = [
            {"text": preflight_checks.locate_problem(problem, defined, vault).line(), "of_host": problem in of_login}
            for problem in dict.fromkeys([*problems, *of_login])
        ]
        held = [{"text": leases.describe(holder), "of_host": True}] if self._is_held(holder, task_vars) else []
        found = [*lines, *result.get("problems", ()), *held]
        # A description with problems does not show which functions a host has.
        left = {} if found else result.get("left", {})
        warnings = [preflight_checks.describe_left(task_vars["inventory_hostname"], *one) for one in left.items()]
        return {**result, "problems": found, "warnings": [*result.get("warnings", ()), *warnings]}

    def _is_held(self, holder: Variables, task_vars: Variables) -> bool:
        """Return whether another run changes the host and goes on."""
        ends = run_lease.identify(self, task_vars)["ends"] if holder else ""
        return bool(holder) and holder["run"] != ends and not run_lease.has_ended(holder)

    def _find_inventory_problems(
        self, filled: set[str], valid: Variables, schema: Schema, options: Variables, task_vars: Variables
    ) -> list[Problem]:
        """Return what is wrong with the groups of the inventory, and which functions lack their description."""
        groups, files = task_vars["groups"], definitions.list_files(task_vars)
        described = inventory_checks.named_groups(valid)
        return [
            *inventory_checks.find_group_problems(groups, described, options["own_groups"], files),
            *inventory_checks.find_unread_files(groups, files),
            *inventory_checks.find_undescribed_functions(groups, filled, valid, schema),
            *inventory_checks.find_absent_clients(groups, valid),
            *inventory_checks.find_missing_backups(groups, filled, valid),
        ]

    def _find_option_problems(
        self, specs: Variables, given: set[str], valid: Variables, task_vars: Variables
    ) -> list[Problem]:
        """Return the variables of roles, and the options of sites, that a role would refuse later."""
        values, errors = self._template(given, task_vars)
        problems = [preflight_checks.describe_failure(name, error, {}) for name, error in errors.items()]
        for name in sorted(values):
            problems += role_options.find_option_problems((name,), values[name], specs[name])
        sites = definitions.find_option(self._task.args["roles"], "nginx", "nginx_sites")
        return problems + list(role_options.find_site_problems(valid.get("sites") or {}, sites))

    def _find_login_problems(
        self, login: Variables, valid: Variables, roles: str, task_vars: Variables
    ) -> list[Problem]:
        """Return why the next run could not log in as this one did; only for logins by ssh."""
        connection = self._connection
        if connection.transport not in ("ssh", "paramiko"):
            return []
        options = self._read_ssh_options(roles, task_vars)
        accepted = login_checks.Accepted(
            {one["name"]: read_keys(one.get("keys") or ()) for one in valid.get("people") or () if "name" in one},
            options["ssh_home_keys_for"],
            {"PermitRootLogin": options["ssh_permit_root_login"], **options["ssh_settings"]},
            bool(options.get("admin_users_deploy_keys")),
        )
        keys = controller_keys.find_controller_keys(connection)
        password = bool(connection.get_option("password"))
        found = login_checks.Login(login["user"], login["is_root"], read_keys(login["keys"]), keys, password)
        return list(login_checks.find_login_problems(found, accepted))

    def _inspect_host(self, arguments: Variables, task_vars: Variables) -> Variables:
        """Run the module; keep what its survey found, if there is one, for the components of this run."""
        survey = (
            is_complete_run(arguments.pop("survey", False)) and surveys.are_allowed() and not self._task.delegate_to
        )
        started = surveys.read_clock()
        code = {"survey": surveys.CODE_DIGEST} if survey else {}
        try:
            result: Variables = self._execute_module(
                "vise.platform.preflight", {**arguments, **code}, task_vars=task_vars
            )
        except AnsibleConnectionFailure as error:
            # The problems of the description are found without the host.
            return {"unreachable": True, "msg": str(error)}
        surveyed = result.pop("surveyed", {})
        if survey and not result.get("failed"):
            surveys.keep(surveys.identify(self, task_vars["inventory_hostname"]), started, surveyed)
        return result

    def _read_ssh_options(self, roles: str, task_vars: Variables) -> Variables:
        """Return the variables that decide which accounts and keys sshd accepts."""
        names = ("ssh_home_keys_for", "ssh_permit_root_login", "ssh_settings", "admin_users_deploy_keys")
        given, _errors = self._template(names, task_vars)
        return {**definitions.role_defaults(roles, "ssh"), **given}

    def _read_users(self, models: Variables, task_vars: Variables) -> list[Variables]:
        """Return the accounts of people as the role admin_users wants them; none if they contradict themselves."""
        name = models.get("people", {}).get("model", "")
        found, _errors = self._template([name], task_vars)
        return list(found.get(name, {}).get("users", []))

    def _read_base_options(self, roles: str, specs: Variables, task_vars: Variables) -> Variables:
        """Return the options of the role base that only the host can judge; the default of one that is invalid."""
        given, _errors = self._template(BASE_OPTIONS, task_vars)
        valid = {name: value for name, value in given.items() if is_valid(name, value, specs)}
        defaults = definitions.role_defaults(roles, "base")
        return {name: valid.get(name, defaults[name]) for name in BASE_OPTIONS if defaults}

    def _validate(self, schema: Schema, task_vars: Variables) -> tuple[Variables, list[Problem]]:
        """Return the values of the keys that hosts of this inventory read, and their problems."""
        keys = schema["properties"]
        entries, _errors = self._template(
            {key[word] for key in keys.values() for word in NAMING if word in key}, task_vars
        )
        # A key that cannot be evaluated, because secrets in it are missing, has entries.
        needed = {key["x-needs"] for key in keys.values() if "x-needs" in key}
        known, errors = self._template(needed, task_vars)
        empty = {name for name in needed if name not in errors and not known.get(name)}
        named = preflight_checks.valid_parts(entries, schema)
        read = description.select_keys(schema, task_vars["groups"], named, empty)
        values, errors = self._template(read["properties"], task_vars)
        failures = {name: preflight_checks.describe_failure(name, error, schema) for name, error in errors.items()}
        failures |= preflight_checks.find_missing_secrets(values, task_vars, schema)
        groups, host = task_vars["groups"], task_vars["inventory_hostname"]
        unread = {name for name, key in keys.items() if not description.needs_key(key, host, groups, named)}
        others = {name: key for name, key in read["properties"].items() if name not in failures}
        problems = description.find_problems(values, {**read, "properties": others})
        # A secret that this host does not read is a problem of the hosts that read it.
        found = [problem for name, problem in failures.items() if not (name in unread and is_secret(problem))]
        failed = [name for name, problem in failures.items() if name not in unread and is_secret(problem)]
        found += [one for name in failed if name in task_vars for one in find_further_secrets(name, task_vars)]
        return values, [*found, *problems]

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
        self, models: dict[str, dict[str, t.Any]], faulty: set[str], valid: Variables, task_vars: Variables
    ) -> list[Problem]:
        """Return what roles would refuse later, except for variables that have a fault already."""
        expected = {one["model"]: name for name, one in models.items() if not faulty & set(one["variables"])}
        _values, errors = self._template(expected, task_vars)
        problems = [preflight_checks.describe_failure(name, error, {}) for name, error in errors.items()]
        sites = valid.get("sites") or {}
        return [
            problem._replace(
                variable=expected.get(problem.variable, problem.variable), fault=name_sites(problem.fault, sites)
            )
            for problem in problems
        ]


def is_valid(name: str, value: t.Any, specs: Variables) -> bool:
    """Return whether a variable of a role has a value that its specification permits."""
    return not any(role_options.find_option_problems((name,), value, specs.get(name, {})))


def people_names(valid: Variables) -> list[str]:
    """Return the accounts of people."""
    return [one["name"] for one in valid.get("people") or () if "name" in one]


def is_secret(problem: Problem) -> bool:
    """Return whether a problem is a missing secret."""
    return problem.variable.startswith("vault_")


def find_plaintext(paths: t.Iterable[str]) -> list[Problem]:
    """Return the files with secrets in plain text."""
    found = {shorten_path(path): definitions.find_plaintext_secrets(Path(path)) for path in sorted(set(paths))}
    return [preflight_checks.describe_plaintext(path, names) for path, names in found.items() if names]


def choose_vault(defined: Variables, task_vars: Variables) -> str:
    """Return the file for a missing secret: the one that has other secrets, or the usual one of the inventory."""
    files = sorted(path for name, path in defined.items() if name.startswith("vault_") and "vault" in Path(path).name)
    usual = os.path.join(str(task_vars.get("inventory_dir") or ""), "group_vars/all/vault.yml")
    return max(files, key=files.count) if files else shorten_path(usual)


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
