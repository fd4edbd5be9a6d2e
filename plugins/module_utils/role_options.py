# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Validate variables of roles against the argument specifications of the roles, before any role runs. Pure."""

from __future__ import annotations

import typing as t
from collections.abc import Iterator, Mapping

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.vise.platform.plugins.module_utils.description import Problem, describe_unknown, join_path
from ansible_collections.vise.platform.plugins.module_utils.model import names

Spec = Mapping[str, t.Any]


def find_option_problems(path: tuple[t.Any, ...], value: t.Any, spec: Spec) -> Iterator[Problem]:
    """Yield the unknown keys and the invalid values of a variable.

    Args:
        path: the variable, and the keys in it.
        value: its value.
        spec: the specification of this value: C(type), C(options), C(choices) and so on.
    """
    unknown = list(find_unknown_keys(path, value, spec))
    if unknown:
        yield from unknown
        return
    wrong = list(names.find_option_problems(str(path[0]), value)) if len(path) == 1 else []
    if wrong:
        yield from (Problem(join_path((*path, *place)), *problem) for place, problem in wrong)
        return
    name = str(path[-1])
    result = ArgumentSpecValidator({name: {**spec, "required": False}}).validate({name: value})
    for message in result.error_messages:
        text = "its value is not valid" if spec.get("no_log") else " ".join(message.split())
        yield Problem(join_path(path), text, "correct it")


def find_unknown_keys(path: tuple[t.Any, ...], value: t.Any, spec: Spec) -> Iterator[Problem]:
    """Yield the keys that the specification does not have."""
    if isinstance(value, list):
        for number, one in enumerate(value):
            yield from find_unknown_keys((*path, number), one, spec)
    options: Mapping[str, Spec] = spec.get("options") or {}
    if not options or not isinstance(value, Mapping):
        return
    for key, one in value.items():
        if key in options:
            yield from find_unknown_keys((*path, key), one, options[key])
        else:
            yield describe_unknown((*path, str(key)), options)


def find_site_problems(sites: Mapping[str, t.Any], spec: Spec) -> Iterator[Problem]:
    """Yield the problems of `nginx` of each site, which is merged into the derived entry of `nginx_sites`."""
    options = {name: merge_option(option) for name, option in spec["options"].items()}
    for name, site in sites.items():
        nginx = site.get("nginx") or {}
        yield from find_option_problems(("sites", name, "nginx"), nginx, {"type": "dict", "options": options})


def merge_option(option: Spec) -> Spec:
    """Return the specification of an option whose missing parts are derived."""
    if option.get("type") != "dict" or "options" not in option:
        return {**option, "required": False}
    parts = {name: {**part, "required": False} for name, part in option["options"].items()}
    return {**option, "required": False, "options": parts}
