"""Combinations of a role's options, such that each pair of values occurs in one, checked by the role's real program.

The values of booleans and choices follow from the role's specification; those of other options are in
molecule/combinations/roles/<role>.yml (`values`). An option without a value and without a default is an error, so that
a new option is tried with all others. Further keys of this file:

- `entries`: lists whose entries have options; each combination contains every entry once.
- `always`: options that each combination has.
- `refused`: pairs of values that the role refuses, with a part of its message.
- `check`: commands that check the files instead of the role's own, which need another service.
- `scope`: further variables, such as results of the other tasks of the role.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import subprocess
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.vise.platform.plugins.action import component
from ansible_collections.vise.platform.plugins.module_utils.component import programs
from testinfra.host import Host

from tests import machines
from tools import collection, templates

FOLDER = collection.ROOT / "molecule/combinations/roles"
# The option is not written.
ABSENT = None
Path_ = tuple[str, ...]
Combination = dict[Path_, Any]
Values = Mapping[Path_, tuple[int, ...]]
Options = Mapping[str, Mapping[str, Any]]


# Pairs


def pairwise(
    factors: Mapping[Path_, Sequence[Any]], possible: Callable[[Path_, Any, Path_, Any], bool]
) -> Iterator[Combination]:
    """Yield combinations of one value per factor until each possible pair of values of two factors occurs in one.

    A pair of options of two entries of a list need not occur.
    """
    everything: Values = {name: tuple(range(len(values))) for name, values in factors.items()}
    allowed = {
        frozenset(((a, i), (b, j)))
        for a, b in itertools.combinations(factors, 2)
        for i, j in itertools.product(everything[a], everything[b])
        if possible(a, factors[a][i], b, factors[b][j])
    }
    waiting = {pair for pair in allowed if not are_of_different_entries(*(name for name, _value in pair))}
    order = random.Random(1)  # noqa: S311  # the same combinations in each run

    def choose(open_values: Values, name: Path_, value: int) -> Values:
        # What the other factors can still be: none of them may be without a value in the end.
        return {
            other: (value,)
            if other == name
            else tuple(i for i in left if frozenset(((name, value), (other, i))) in allowed)
            for other, left in open_values.items()
        }

    for pair in sorted(waiting, key=lambda pair: hashlib.sha256(repr(sorted(pair)).encode()).digest()):
        if pair not in waiting:
            continue
        left: Values = everything
        for name, value in pair:
            left = choose(left, name, value)
        if not all(left.values()):
            continue
        chosen, missing = dict(pair), Counter(itertools.chain.from_iterable(waiting))
        for name in order.sample(list(factors), len(factors)):
            if name in chosen:
                continue
            nexts = {i: choose(left, name, i) for i in left[name]}
            best = max(
                (i for i, rest in nexts.items() if all(rest.values())),
                # First the value with the most missing pairs here, then the one with the most missing pairs at all.
                key=lambda i: (sum(frozenset(((name, i), one)) in waiting for one in chosen.items()), missing[name, i]),
            )
            chosen[name], left = best, nexts[best]
        for done in itertools.combinations(chosen.items(), 2):
            waiting.discard(frozenset(done))
        yield {name: factors[name][chosen[name]] for name in factors}


# Options


def list_factors(
    options: Options, values: Mapping[str, Any], present: Container[str] = (), prefix: Path_ = ()
) -> Iterator[tuple[Path_, list[Any]]]:
    """Yield each option that has no options of its own, with its values; those of `present` are in each combination.

    A required option of an optional mapping is absent together with its mapping: see is_incomplete.
    """
    for name, option in options.items():
        path, key = (*prefix, name), ".".join((*prefix, name))
        must = name in present if not prefix else prefix[0] in present and bool(option.get("required"))
        if key not in values and "options" in option:
            yield from list_factors(option["options"], values, [path[0]] if must else (), path)
        else:
            yield path, list_values(key, option, values) if must else [ABSENT, *list_values(key, option, values)]


def list_values(key: str, option: Mapping[str, Any], values: Mapping[str, Any]) -> list[Any]:
    """Return the values of an option; raises ValueError when neither the plan nor the specification has some."""
    if key in values:
        return list(values[key])
    if option.get("type") == "bool":
        return [True, False]
    if option.get("choices"):
        return [[choice] if option["type"] == "list" else choice for choice in option["choices"]]
    if option.get("default"):
        return [option["default"]]
    raise ValueError(f"{key} has no values; write some into molecule/combinations/roles")


def split_entries(
    factors: Mapping[Path_, Sequence[Any]], entries: Mapping[str, Sequence[Mapping[str, Any]]]
) -> dict[Path_, Sequence[Any]]:
    """Return the factors; those of a list are there once for each of its entries.

    `only` of an entry replaces the values of an option, `without` lists the options that it does not have.
    """
    found: dict[Path_, Sequence[Any]] = {}
    for path, values in factors.items():
        for number, entry in enumerate(entries.get(path[0], ())):
            name = ".".join(path[1:])
            if not any(f"{name}.".startswith(f"{without}.") for without in entry["without"]):
                found[(path[0], str(number), *path[1:])] = entry["only"].get(name, values)
        if path[0] not in entries:
            found[path] = values
    return found


def is_excluded(rule: Mapping[str, Any], first: tuple[Path_, Any], second: tuple[Path_, Any]) -> bool:
    """Return whether two values are a pair that the role refuses; options of two entries of a list are no pair."""
    return not are_of_different_entries(first[0], second[0]) and all(
        value in rule.get(plain_name(path), ()) for path, value in (first, second)
    )


def are_of_different_entries(first: Path_, second: Path_) -> bool:
    """Return whether two options belong to two entries of one list."""
    return first[0] == second[0] and first[1:2] != second[1:2] and first[1].isdigit()


def is_incomplete(options: Options, first: tuple[Path_, Any], second: tuple[Path_, Any]) -> bool:
    """Return whether the second value needs the first one: a required option of a mapping that exists."""
    (path, value), (other, given) = first, second
    needs = value is ABSENT and given is not ABSENT and len(path) > 1 and other[: len(path) - 1] == path[:-1]
    return needs and bool(find_option(options, path).get("required"))


def find_option(options: Options, path: Path_) -> Mapping[str, Any]:
    """Return the specification of an option."""
    names = [part for part in path if not part.isdigit()]
    for name in names[:-1]:
        options = options[name]["options"]
    return options[names[-1]]


def plain_name(path: Path_) -> str:
    """Return the name of an option without the number of its entry."""
    return ".".join(part for part in path if not part.isdigit())


def build_variables(combination: Mapping[Path_, Any], options: Options) -> dict[str, Any]:
    """Return the variables of a combination; an entry or a mapping exists when one of its options has a value."""
    tree: dict[str, Any] = {}
    for path, value in combination.items():
        if value is not ABSENT:
            place = tree
            for part in path[:-1]:
                place = place.setdefault(part, {})
            place[path[-1]] = value
    return {name: shape(value, options[name]) for name, value in tree.items()}


def shape(value: Any, option: Mapping[str, Any]) -> Any:
    """Return a value in the shape of its option: the entries of a list as a list."""
    if not isinstance(value, dict) or "options" not in option:
        return value
    numbered = all(key.isdigit() for key in value)
    parts = list(value.values()) if numbered else [value]
    shaped = [{key: shape(one, option["options"][key]) for key, one in part.items()} for part in parts]
    return shaped if option["type"] == "list" else shaped[0]


class Role:
    """A role and the values with which its options are combined."""

    def __init__(self, name: str) -> None:
        self.path = collection.ROOT / "roles" / name
        self.plan: dict[str, Any] = templates.load_yaml(FOLDER / f"{name}.yml")
        self.options = collection.role_options(self.path)

    def factors(self) -> dict[Path_, Sequence[Any]]:
        """Return the options with their values."""
        required = [name for name, option in self.options.items() if option.get("required")]
        present = [*required, *self.plan.get("always", []), *self.plan.get("entries", {})]
        found = dict(list_factors(self.options, self.plan.get("values", {}), present))
        return split_entries(found, self.plan.get("entries", {}))

    def combinations(self) -> list[dict[str, Any]]:
        """Return the variables of each combination."""
        rules = [rule["when"] for rule in self.plan.get("refused", [])]

        def possible(a: Path_, i: Any, b: Path_, j: Any) -> bool:
            first, second = (a, i), (b, j)
            if is_incomplete(self.options, first, second) or is_incomplete(self.options, second, first):
                return False
            return not any(is_excluded(rule, first, second) for rule in rules)

        return [build_variables(one, self.options) for one in pairwise(self.factors(), possible)]

    def refused(self) -> Iterator[tuple[dict[str, Any], str]]:
        """Yield the variables of each pair that the role refuses, with a part of its message."""
        for rule in self.plan.get("refused", []):
            found = {path: rule["when"].get(plain_name(path), values)[0] for path, values in self.factors().items()}
            yield build_variables(found, self.options), rule["message"]

    def render(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of the role's component, with all of its files."""
        problems = ArgumentSpecValidator(self.options).validate(dict(variables)).error_messages
        if problems:
            raise ValueError(f"{variables}: {problems}")
        defaults = templates.load_yaml(self.path / "defaults/main.yml") or {}
        role_vars = templates.load_yaml(self.path / "vars/main.yml") or {}
        scope = {**templates.HOST, **defaults, **self.plan.get("scope", {}), **variables, **role_vars}
        task = next(task for task in templates.list_tasks(self.path) if templates.COMPONENT in task)
        arguments = Templar(loader=DataLoader(), variables=scope).template(task[templates.COMPONENT])
        arguments = {"links": [], "programs": [], **arguments, "files": list(self._files(arguments["files"], scope))}
        return component.add_generation(component.add_programs(arguments))

    def _files(self, entries: Sequence[Mapping[str, Any]], scope: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        for entry in entries:
            for item in [None] if entry.get("each") is None else entry["each"]:
                dest = component.expand_destination(entry["dest"], item)
                content = entry.get("content")
                if content is None:
                    visible = {**scope, **entry.get("vars", {}), **({} if item is None else {"item": item})}
                    source = self.path / "templates" / (entry.get("src") or f"{Path(dest).name}.j2")
                    templar = Templar(loader=DataLoader(), variables=visible)
                    content = component.render_template(DataLoader(), templar, str(source), visible)
                yield {**entry, "dest": dest, "content": content}


# The host


def list_nodes(arguments: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the directories, files and links of a component, as the host writes them."""

    def access(entry: Mapping[str, Any], mode: str) -> dict[str, str]:
        defaults = {"owner": "root", "group": "root", "mode": mode}
        return {key: entry.get(key) or default for key, default in defaults.items()}

    directories = [
        {"path": one["path"], "kind": "directory", **access(one, "0755")} for one in arguments.get("directories", [])
    ]
    files = [
        {
            "path": one["dest"],
            "kind": "file",
            "content": one["content"],
            **access(one, "0600" if one.get("secret") else "0644"),
        }
        for one in arguments["files"]
    ]
    links = [{"path": one["path"], "kind": "link", "content": one["target"]} for one in arguments["links"]]
    return [*directories, *files, *links]


def list_checks(role: Role, arguments: Mapping[str, Any]) -> list[list[str]]:
    """Return the commands that check a component: its own, or those of the plan, which need no other service."""
    checks = role.plan.get("check") or arguments["check"]
    return [checks] if checks and isinstance(checks[0], str) else checks


def send(host: Host, path: str, text: str) -> None:
    """Write a file on a host."""
    command = [*machines.ssh_command(host.backend.host.name, options=machines.shared_connection()), f"cat >{path}"]
    subprocess.run(command, input=text.encode("utf-8", "surrogateescape"), check=True, timeout=60)


def check(host: Host, role: Role, batch: Sequence[Mapping[str, Any]]) -> list[str]:
    """Check rendered components on a host, each in a private view of it; return each failure, empty when accepted."""
    sources = programs.find_sources("component.host", component.read_module_util)
    cases = [
        {"nodes": list_nodes(one), "purge": one.get("purge", []), "checks": list_checks(role, one)} for one in batch
    ]
    send(host, "/tmp/combinations.json", json.dumps({"sources": sources, "cases": cases}))
    send(host, "/tmp/combinations.py", (FOLDER.parent / "files/check.py").read_text())
    failures: list[str] = json.loads(host.check_output("python3 /tmp/combinations.py /tmp/combinations.json"))
    return failures
