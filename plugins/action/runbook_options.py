# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Validate the variables of a runbook on the controller, and print its usage when they are wrong."""

from __future__ import annotations

import difflib
import re
import typing as t

from ansible import context
from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase
from ansible.utils.vars import load_extra_vars
from ansible_collections.vise.platform.plugins.plugin_utils import extra_values

RELATIONS = ("mutually_exclusive", "required_together", "required_one_of", "required_if")
ARGUMENT_SPEC: dict[str, dict[str, t.Any]] = {
    "usage": {"type": "str", "required": True},
    "options": {"type": "dict", "default": {}},
    "prefixes": {"type": "list", "elements": "str", "default": []},
    **{relation: {"type": "list", "elements": "list", "default": []} for relation in RELATIONS},
    "required_by": {"type": "dict", "default": {}},
}
# The prefix of playbooks of the installed collection, whose inventory is that of ansible.cfg
COLLECTION = "vise.platform."
# Keys of an option that an argument specification does not have
OWN_KEYS = ("group", "in_run")
# How similar a name without a known prefix must be to an option to count as a misspelt one
SIMILAR = 0.85
# Keys of the description that are also a part of an option's name
DESCRIPTION = frozenset({"domain"})

Options = t.Mapping[str, t.Mapping[str, t.Any]]


class ActionModule(ActionBase):  # type: ignore[misc,unused-ignore]  # ansible-core ships no type hints
    """The runbook_options action."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Return the task's result."""
        super().run(tmp, task_vars)
        variables = task_vars or {}
        _result, arguments = self.validate_argument_spec(ARGUMENT_SPEC)
        values, problems = self._values(arguments["options"], variables)
        extra = load_extra_vars(self._loader)
        validated, invalid = check(arguments, values, extra, variables)
        problems += [*extra_values.find_separated(extra, arguments["prefixes"]), *invalid]
        if problems:
            usage = name_usage(arguments["usage"], context.CLIARGS.get("args") or ())
            return {"failed": True, "msg": message(problems, usage)}
        return {"changed": False, "options": validated}

    def _values(self, options: Options, variables: t.Mapping[str, t.Any]) -> tuple[dict[str, t.Any], list[str]]:
        """Return the values of the options, and the errors of those that cannot be evaluated.

        An empty text counts as no value: `-e restore_set=` does not name a set.
        """
        values, problems = {}, []
        for name in options:
            try:
                value = self._templar.template(variables[name]) if name in variables else None
            except AnsibleError as error:
                problems.append(f"{name}: {error}")
                continue
            if value is not None and value != "":
                values[name] = value
        return values, problems


def check(
    arguments: t.Mapping[str, t.Any],
    values: dict[str, t.Any],
    extra: t.Iterable[str],
    variables: t.Mapping[str, t.Any],
) -> tuple[dict[str, t.Any], list[str]]:
    """Return the values with their types and defaults, and all problems.

    Extra are the names given by -e; of the variables only the groups and the hosts of the play are read.
    """
    options = arguments["options"]
    validated, invalid = validate(values, arguments)
    return validated, [
        *unknown_names(extra, options, arguments.get("prefixes") or ()),
        *host_problems(values, options, variables),
        *invalid,
    ]


def unknown_names(given: t.Iterable[str], options: Options, prefixes: t.Iterable[str]) -> list[str]:
    """Return the problems of extra variables that are no option but look like one.

    A misspelt target of a restore would otherwise restore to the latest state.
    """
    problems = []
    for name in sorted(set(given) - {*options, extra_values.REST}):
        prefixed = name.startswith(tuple(prefixes))
        near = difflib.get_close_matches(name, sorted(options), n=1, cutoff=0.6 if prefixed else SIMILAR)
        near = near or [option for option in sorted(options) if is_part(name, option)]
        if prefixed or near:
            hint = f"did you mean {near[0]}?" if near else f"the options are {', '.join(sorted(options)) or 'none'}"
            problems.append(f"{name}: this runbook has no such option; {hint}")
    return problems


def is_part(name: str, option: str) -> bool:
    """Return whether a name is the option's without its prefix or its end: `snapshot` for restore_snapshot."""
    return name not in DESCRIPTION and (option.endswith(f"_{name}") or option.startswith(f"{name}_"))


def host_problems(values: t.Mapping[str, t.Any], options: Options, variables: t.Mapping[str, t.Any]) -> list[str]:
    """Return the problems of values that name a host."""
    problems = []
    for name, option in options.items():
        if name not in values or "group" not in option:
            continue
        host, members = str(values[name]), list(variables["groups"].get(option["group"]) or ())
        if host not in members:
            near = difflib.get_close_matches(host, members, n=1)
            hint = f"did you mean {near[0]}?" if near else f"its hosts are {', '.join(members) or 'none'}"
            where = "the inventory" if option["group"] == "all" else f"group {option['group']} of the inventory"
            problems.append(f"{name}: {host} is not a host of {where}; {hint}")
        elif option.get("in_run") and host not in variables["ansible_play_hosts_all"]:
            problems.append(f"{name}: {host} is not part of this run; remove --limit")
    return problems


def validate(values: dict[str, t.Any], arguments: t.Mapping[str, t.Any]) -> tuple[dict[str, t.Any], list[str]]:
    """Return the values with their types and defaults, and the problems by the argument specification."""
    spec = {
        name: {key: value for key, value in option.items() if key not in OWN_KEYS}
        for name, option in arguments["options"].items()
    }
    relations = {relation: arguments.get(relation) or None for relation in (*RELATIONS, "required_by")}
    result = ArgumentSpecValidator(spec, **relations).validate(values)
    return dict(result.validated_parameters), list(result.error_messages)


def name_usage(usage: str, started: t.Iterable[str]) -> str:
    """Return the usage with the names of the installed collection if the playbooks were started by such a name."""
    if not any(name.startswith(COLLECTION) for name in started):
        return usage
    return re.sub(r"ansible-playbook -i INVENTORY playbooks/(\w+)\.yml", rf"ansible-playbook {COLLECTION}\1", usage)


def message(problems: t.Iterable[str], usage: str) -> str:
    """Return all problems and the usage as one text."""
    lines = [f"- {problem}" for problem in dict.fromkeys(problems)]
    return "\n".join(["The options are not valid; nothing was changed.", *lines, "", "Usage:", usage.strip()])
