# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check the description on the controller and the host by one module, then tell all problems at once."""

from __future__ import annotations

import functools
import os
import re
import typing as t
from pathlib import Path

import yaml

# Where a name stands in a file; ansible-core keeps it for its messages, as it is used here.
from ansible._internal._datatag._tags import Origin
from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.vise.platform.plugins.module_utils import datastores, description, topology
from ansible_collections.vise.platform.plugins.module_utils.description import Problem

SUFFIXES = ("", ".yml", ".yaml", ".json")
# What a filter says to what it is given
REFUSED = re.compile(r"[Ff]ilter plugin '[\w.]+' failed: (.*)", re.DOTALL)
UNDEFINED_SECRET = re.compile(r"'(vault_\w+)' is undefined")


class ActionModule(ActionBase):  # type: ignore[misc,unused-ignore]  # ansible-core ships no type hints
    """The preflight action."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Return the task's result."""
        super().run(tmp, task_vars)
        task_vars = task_vars or {}
        arguments = dict(self._task.args)
        schema = arguments.pop("schema")
        models = arguments.pop("models", {})
        defined = self._defined(task_vars)
        known = {*schema, *role_options(arguments.pop("roles")), *arguments.pop("own_variables", [])}
        naming, _untold = self._values({one["groups_of"] for one in schema.values() if "groups_of" in one}, task_vars)
        asked = description.asked(schema, task_vars["groups"], sound(naming, schema))
        values, problems = self._values(asked, task_vars)
        problems += description.check(
            values, {k: v for k, v in asked.items() if k not in {p.variable for p in problems}}
        )
        problems += description.check_names(defined, known)
        secrets, _undefined = self._values([name for name in task_vars if name.startswith("vault_")], task_vars)
        problems += description.check_secrets(secrets, defined)
        names, more = derived(values, sound(values, schema), task_vars)
        told = {*map(root, problems), *(name for name in schema if name in task_vars and name not in values)}
        problems += [problem for problem in more if problem.variable not in told]
        problems += self._contradictions(models, {*map(root, problems)}, task_vars)
        arguments.update(names)
        result: dict[str, t.Any] = self._execute_module("vise.platform.preflight", arguments, task_vars=task_vars)
        if result.get("failed"):
            return result
        vault = os.path.join(short(str(task_vars.get("inventory_dir") or "")), "group_vars/all/vault.yml")
        lines = [located(problem, defined, vault).line() for problem in dict.fromkeys(problems)] + result["problems"]
        if lines:
            return {**result, "failed": True, "problems": lines, "msg": message(task_vars["inventory_hostname"], lines)}
        return result

    def _values(self, names: t.Iterable[str], task_vars: dict[str, t.Any]) -> tuple[dict[str, t.Any], list[Problem]]:
        """Return the values of these variables, and what kept others from having one."""
        values, problems = {}, []
        for name in names:
            if name not in task_vars:
                continue
            try:
                values[name] = self._templar.template(task_vars[name])
            except AnsibleError as error:
                problems.append(failure(name, str(error)))
        return values, problems

    def _contradictions(
        self, models: dict[str, dict[str, t.Any]], faulty: set[str], task_vars: dict[str, t.Any]
    ) -> list[Problem]:
        """Return what roles would refuse later; not of variables that are known to be faulty."""
        asked = {one["model"]: name for name, one in models.items() if not faulty & set(one["variables"])}
        _values, problems = self._values(asked, task_vars)
        return [problem._replace(variable=asked.get(problem.variable, problem.variable)) for problem in problems]

    def _defined(self, task_vars: dict[str, t.Any]) -> dict[str, str]:
        """Return the variables of the files that Ansible reads for this host, each with the file that wins."""
        sources = [Path(str(source)) for source in task_vars.get("ansible_inventory_sources") or []]
        inventories = [source if source.is_dir() else source.parent for source in sources]
        playbooks = Path(str(task_vars.get("playbook_dir") or "."))
        host, groups = task_vars["inventory_hostname"], [g for g in task_vars["group_names"] if g != "all"]
        found: dict[str, str] = {}
        for kind, names in (("group_vars", ["all"]), ("group_vars", groups), ("host_vars", [host])):
            for path in [path for base in (*inventories, playbooks) for path in files(base / kind, names)]:
                content = self._loader.load_from_file(str(path), cache="all")
                found |= dict.fromkeys(content or {}, short(str(path)))
        return {**inventory_variables(task_vars, sources), **found}


def sound(values: dict[str, t.Any], schema: description.Schema) -> dict[str, t.Any]:
    """Return what is right of these values."""
    right = {name: description.sound(value, schema[name]) for name, value in values.items()}
    return {name: value for name, value in right.items() if value is not None}


def inventory_variables(names: t.Iterable[str], sources: list[Path]) -> dict[str, str]:
    """Return the variables that stand in the inventory's own files, each with its file; not what a cloud has told."""
    found = {}
    for name in names:
        origin = Origin.get_tag(name)
        if origin and origin.path and any(Path(origin.path).is_relative_to(source) for source in sources):
            found[str(name)] = short(origin.path)
    return found


def files(folder: Path, names: list[str]) -> t.Iterator[Path]:
    """Yield the files of these groups or hosts, as Ansible finds them."""
    for path in [folder / f"{name}{suffix}" for name in names for suffix in SUFFIXES]:
        if path.is_file():
            yield path
        elif path.is_dir():
            yield from sorted(
                one
                for one in path.rglob("*")
                if one.is_file() and one.suffix in SUFFIXES and not one.name.startswith(".")
            )


def role_options(roles: str) -> set[str]:
    """Return the public variables of the roles in a folder, but for those that the playbooks beside it overrule."""
    names: set[str] = set()
    for path in Path(roles).glob("*/meta/argument_specs.yml"):
        specs = yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"]
        names |= {name for entry in specs.values() for name in entry.get("options") or {}}
    for path in Path(roles).parent.glob("playbooks/*.yml"):
        plays = yaml.safe_load(path.read_text(encoding="utf-8")) or []
        used = [role for play in plays for role in play.get("roles") or [] if isinstance(role, dict)]
        names -= {name for role in used for name in role.get("vars") or {}}
    return names


def failure(name: str, error: str) -> Problem:
    """Return the problem of a variable that has no value; a missing secret is that secret's."""
    secret = UNDEFINED_SECRET.search(error)
    if secret:
        return Problem(secret[1], f"is missing, and {name} needs it", "write it encrypted")
    refused = REFUSED.search(error)
    return Problem(name, " ".join((refused[1] if refused else error).split()), "mend it")


def derived(
    values: dict[str, t.Any], right: dict[str, t.Any], task_vars: dict[str, t.Any]
) -> tuple[dict[str, t.Any], list[Problem]]:
    """Return what this host's names must lead to, and what the description and the inventory disagree about.

    Right is what has no fault of its own: one fault must not hide another.
    """
    # A challenge that is not possible says nothing about which one is meant.
    challenge = "" if "acme_challenge" in values and "acme_challenge" not in right else "http-01"
    challenge = right.get("acme_challenge", challenge)
    sites = {
        name: site
        for name, site in (right.get("sites") or {}).items()
        if "domain" in site and ("challenge" in site or "challenge" not in values["sites"][name])
    }
    plan = topology.Topology(sites, right.get("open_ports") or {}, task_vars["groups"], task_vars["hostvars"])
    host = task_vars["inventory_hostname"]
    wanted = topology.certificates(plan, host, challenge)
    problems = [*disagreements(plan, right, host)]
    if not right.get("people") and not task_vars.get("admin_users_allow_none"):
        problems.append(Problem("people", "names nobody", "write `people: [{name: alice, keys: [ssh-ed25519 ...]}]`"))
    problems += shared_entrances(plan, [one["name"] for one in wanted if one["challenge"] == "http-01"])
    by_dns = [one["name"] for one in wanted if one["challenge"] == "dns-01"]
    if by_dns and not (right.get("cloudflare_acme_token") or right.get("cloudflare_token")):
        what = f"is missing, and dns-01 of {', '.join(by_dns)} needs it"
        problems.append(Problem("vault_cloudflare_token", what, "write it encrypted"))
    by_http = {
        domain: plan.public(sites[one["name"]])
        for one in wanted
        if one["challenge"] == "http-01"
        for domain in one["domains"]
    }
    return {"names": by_http}, problems


def shared_entrances(plan: topology.Topology, names: t.Iterable[str]) -> t.Iterator[Problem]:
    """Yield the sites that visitors reach at several hosts, where an authority may ask another than is to prove it."""
    for name in names:
        hosts = plan.entrance(plan.sites[name])
        if len(hosts) > 1:
            what = f"http-01 proves a name at one host, and visitors reach this one at {', '.join(hosts)}"
            yield Problem(f"sites.{name}.challenge", what, "write dns-01, here or as acme_challenge")


def disagreements(plan: topology.Topology, right: dict[str, t.Any], host: str) -> t.Iterator[Problem]:
    """Yield what keeps the host's services from being derived, for each site on its own and for what stores data."""
    stores = datastores.Description(complete(right, "databases"), complete(right, "caches"), {})
    attempts: list[t.Callable[[], t.Any]] = [
        functools.partial(topology.host_services, plan._replace(sites={name: site}), host, "")
        for name, site in plan.sites.items()
        if "group" in site
    ]
    attempts.append(functools.partial(datastores.data_services, plan._replace(sites={}), host, stores))
    for attempt in attempts:
        try:
            attempt()
        except topology.TopologyError as error:
            variable, _colon, text = str(error).partition(": ")
            what, _semicolon, write = text.partition("; ")
            yield Problem(variable, what, write)


def complete(right: dict[str, t.Any], name: str) -> dict[str, t.Any]:
    """Return the databases or caches from which services follow."""
    return {key: one for key, one in (right.get(name) or {}).items() if {"clients", "password"} <= set(one)}


def root(problem: Problem) -> str:
    """Return the variable in which a problem is."""
    return re.split(r"[.\[]", problem.variable)[0]


def located(problem: Problem, defined: dict[str, str], vault: str) -> Problem:
    """Return the problem with the file in which the variable stands, or should."""
    if problem.file:
        return problem
    name = root(problem)
    otherwise = vault if name.startswith("vault_") else ""
    return problem._replace(file=defined.get(name, otherwise))


def short(path: str) -> str:
    """Return a path as seen from the working directory, where that is shorter."""
    return min(os.path.relpath(path), path, key=len) if path else ""


def message(host: str, lines: list[str]) -> str:
    """Return all problems of a host as one text."""
    count = "1 problem" if len(lines) == 1 else f"{len(lines)} problems"
    return "\n".join([f"{host}: {count}; nothing was changed", *(f"- {line}" for line in lines)])
