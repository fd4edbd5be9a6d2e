# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Find the secrets that the hosts of an inventory need and no file defines, by evaluating what the hosts read."""

from __future__ import annotations

import json
import re
import typing as t
from pathlib import Path

from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.vise.platform.plugins.module_utils import description, preflight_checks
from ansible_collections.vise.platform.plugins.module_utils.description import Schema
from ansible_collections.vise.platform.plugins.plugin_utils import definitions

# How Ansible reports a variable that does not exist: by its name, as an attribute of hostvars, by the lookup `vars`
ABSENT = re.compile(
    r"'(vault_\w+)' is undefined|no attribute '(vault_\w+)'|with this name: (vault_\w+)|'(vault_\w+)' was found"
)
# Stands in for a secret that is missing, so that the next one is found.
STAND_IN = "0123456789abcdef0123456789abcdef01234567"
# The keywords of the schema by which the value of one key decides who reads another one
NAMING = ("x-groups-of", "x-host-of", "x-needs")
LIMIT = 200

Variables = t.Mapping[str, t.Any]


def load_schema(roles: Path) -> Schema:
    """Return the schema of the description."""
    text = (roles / "preflight/files/description.schema.json").read_text(encoding="utf-8")
    return description.inline_references(json.loads(text))


def load_defaults(roles: Path, loader: DataLoader) -> dict[str, t.Any]:
    """Return the defaults of the description, which Ansible may template."""
    path = str(roles / "description/defaults/main.yml")
    return dict(loader.load_from_file(path, trusted_as_template=True) or {})


def evaluate(name: str, variables: Variables, loader: DataLoader) -> tuple[t.Any, list[str]]:
    """Return the value of a variable, and the secrets that it needs and that no file defines.

    The value is None if it cannot be evaluated for another reason, which preflight reports.
    """
    missing: dict[str, str] = {}
    for _attempt in range(LIMIT):
        try:
            return Templar(loader=loader, variables={**variables, **missing}).template(variables[name]), list(missing)
        except AnsibleError as error:
            found = {next(filter(None, one)) for one in ABSENT.findall(str(error))} - set(missing)
            if not found:
                break
            missing |= dict.fromkeys(found, STAND_IN)
    return None, list(missing)


def list_read_keys(host: str, variables: Variables, schema: Schema, loader: DataLoader) -> list[str]:
    """Return the keys of the description that a host reads."""
    keys, groups = schema["properties"], variables["groups"]
    naming = {key[word] for key in keys.values() for word in NAMING if word in key}
    values = {name: evaluate(name, variables, loader)[0] for name in naming if name in variables}
    empty = {name for name in naming if not values.get(name)}
    named = preflight_checks.valid_parts(values, schema)
    read = description.select_keys(schema, groups, named, empty)["properties"]
    return [name for name in read if name in variables and description.needs_key(keys[name], host, groups, named)]


def list_other_keys(variables: Variables, schema: Schema, specs: Variables) -> list[str]:
    """Return the variables of roles and of the connection that an inventory sets."""
    return [name for name in variables if (name in specs or is_connection(name)) and name not in schema["properties"]]


def is_connection(name: str) -> bool:
    """Return whether a variable of an inventory tells Ansible how to connect."""
    return name.startswith("ansible_") and any(word in name for word in ("pass", "user", "key", "args", "token"))


def find_missing(
    hosts: t.Mapping[str, Variables], roles: Path, schema: Schema, loader: DataLoader
) -> dict[str, list[str]]:
    """Return the missing secrets, each with the variables that need it.

    Args:
        hosts: the variables of each host, not templated, with `groups` and `hostvars`.
        roles: the folder of the roles.
        schema: the schema of the description.
        loader: reads files.
    """
    defaults, specs = load_defaults(roles, loader), definitions.role_options(str(roles))
    found: dict[str, list[str]] = {}
    for host, given in hosts.items():
        variables = {**defaults, **given}
        names = list_read_keys(host, variables, schema, loader) + list_other_keys(given, schema, specs)
        for name in names:
            for secret in evaluate(name, variables, loader)[1]:
                if secret not in given and name not in found.setdefault(secret, []):
                    found[secret].append(name)
    return found
