# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What preflight derives from the description and the inventory, and how it reports problems. Pure."""

from __future__ import annotations

import functools
import os
import re
import typing as t
from collections.abc import Collection, Iterable, Iterator, Mapping

from ansible_collections.vise.platform.plugins.module_utils import description
from ansible_collections.vise.platform.plugins.module_utils.description import Problem, Schema
from ansible_collections.vise.platform.plugins.module_utils.model import datastores, topology

Variables = Mapping[str, t.Any]
# The message of a filter about its input
REFUSAL = re.compile(r"[Ff]ilter plugin '[\w.]+' failed: (.*)", re.DOTALL)
UNDEFINED = re.compile(r"'(\w+)' is undefined")
SECRET = re.compile(r"\bvault_\w+")
NAME = re.compile(r"\b[a-z]\w*")


def missing_secret(secret: str, reader: str) -> Problem:
    """Return the problem of a secret that a variable needs and no file defines."""
    return Problem(secret, f"is missing, and {reader} needs it", "write it encrypted")


def describe_failure(name: str, error: str, schema: Schema) -> Problem:
    """Return the problem of a variable that has no value; if it needs another variable, that one is missing."""
    undefined = UNDEFINED.search(error)
    if undefined and undefined[1].startswith("vault_"):
        return missing_secret(undefined[1], name)
    if undefined and undefined[1] in schema.get("required", ()):
        return Problem(undefined[1], "is missing", description.advise(schema, (undefined[1],)))
    refusal = REFUSAL.search(error)
    fault, _semicolon, advice = " ".join((refusal[1] if refusal else error).split()).partition("; ")
    return Problem(name, fault, advice or "correct it")


def find_missing_secrets(values: Variables, raw: Variables, schema: Schema) -> dict[str, Problem]:
    """Return, by variable, the secret that it is empty without: a default may stand in for a missing secret."""
    empty = [name for name, value in values.items() if value == "" and "pattern" in schema["properties"][name]]
    return {
        name: missing_secret(secret, name)
        for name in empty
        for secret in SECRET.findall(str(raw[name]))
        if secret not in raw
    }


def drop_consequences(problems: Iterable[Problem], raw: Variables) -> list[Problem]:
    """Return the problems without placeholders that a variable only has from another variable with that problem."""
    kept = list(problems)
    placeholders = {problem.variable for problem in kept if problem.advice == description.ENCRYPT}

    def follows(name: str) -> bool:
        text = raw.get(name)
        read = set(NAME.findall(text)) if isinstance(text, str) and "{{" in text else set()
        return bool(read & (placeholders - {name}))

    return [problem for problem in kept if problem.variable not in placeholders or not follows(problem.variable)]


def valid_parts(values: Variables, schema: Schema) -> dict[str, t.Any]:
    """Return the valid parts of these variables."""
    parts = {name: description.valid_part(value, schema["properties"][name]) for name, value in values.items()}
    return {name: part for name, part in parts.items() if part is not None}


def derive_names(
    values: Variables, valid: Variables, task_vars: Variables
) -> tuple[dict[str, list[str]], list[Problem]]:
    """Return the addresses to which each name of this host must lead, and where description and inventory disagree.

    Both follow from the valid parts of the values: one fault must not hide another.
    """
    # An invalid challenge may stand for any of them.
    challenge = "" if "acme_challenge" in values and "acme_challenge" not in valid else "http-01"
    challenge = valid.get("acme_challenge", challenge)
    sites = {
        name: site
        for name, site in (valid.get("sites") or {}).items()
        if "domain" in site and ("challenge" in site or "challenge" not in values["sites"][name])
    }
    plan = topology.Topology(sites, valid.get("open_ports") or {}, task_vars["groups"], task_vars["hostvars"])
    host = task_vars["inventory_hostname"]
    certificates = topology.certificates(plan, host, challenge)
    by_http = [one for one in certificates if one["challenge"] == "http-01"]
    problems = [
        *find_disagreements(plan, valid, host),
        *find_missing_people(valid, task_vars),
        *find_shared_entrances(plan, [one["name"] for one in by_http]),
        *find_missing_token([one["name"] for one in certificates if one["challenge"] == "dns-01"], valid),
    ]
    names = {domain: plan.public(sites[one["name"]]) for one in by_http for domain in one["domains"]}
    return names, problems


def find_missing_people(valid: Variables, task_vars: Variables) -> Iterator[Problem]:
    """Yield a problem if no administrator could log in."""
    if not valid.get("people") and not task_vars.get("admin_users_allow_none"):
        yield Problem("people", "has no administrator", "write `people: [{name: alice, keys: [ssh-ed25519 ...]}]`")


def find_missing_token(names: Collection[str], valid: Variables) -> Iterator[Problem]:
    """Yield a problem if certificates need dns-01 and there is no token for it."""
    if names and not (valid.get("cloudflare_acme_token") or valid.get("cloudflare_token")):
        yield missing_secret("vault_cloudflare_token", f"dns-01 of {', '.join(names)}")


def find_shared_entrances(plan: topology.Topology, names: Iterable[str]) -> Iterator[Problem]:
    """Yield the sites that visitors reach at several hosts: an authority may query one that has no proof."""
    for name in names:
        hosts = plan.entrance(plan.sites[name])
        if len(hosts) > 1:
            fault = f"http-01 validates a name at one host only, and visitors reach this one at {', '.join(hosts)}"
            yield Problem(f"sites.{name}.challenge", fault, "write `dns-01`, here or as acme_challenge")


def find_disagreements(plan: topology.Topology, valid: Variables, host: str) -> Iterator[Problem]:
    """Yield why the services of the host cannot be derived, for each site separately and for what stores data."""
    stores = datastores.Description(complete_stores(valid, "databases"), complete_stores(valid, "caches"), {})
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
            fault, _semicolon, advice = text.partition("; ")
            yield Problem(variable, fault, advice)


def complete_stores(valid: Variables, name: str) -> dict[str, t.Any]:
    """Return the databases or caches that have all that their services are derived from."""
    return {key: one for key, one in (valid.get(name) or {}).items() if {"clients", "password"} <= set(one)}


def root_variable(problem: Problem) -> str:
    """Return the variable that a problem is located in."""
    return re.split(r"[.\[]", problem.variable)[0]


def locate_problem(problem: Problem, defined: Mapping[str, str], vault: str) -> Problem:
    """Return the problem with the file that defines the variable, or should define it."""
    if problem.file:
        return problem
    name = root_variable(problem)
    return problem._replace(file=defined.get(name, vault if name.startswith("vault_") else ""))


def shorten_path(path: str) -> str:
    """Return the path that users edit: without links, and relative to the working directory if that is shorter."""
    real = os.path.realpath(path)
    return min(os.path.relpath(real), real, key=len) if path else ""


def write_message(host: str, lines: Collection[str]) -> str:
    """Return all problems of a host as one text."""
    count = "1 problem" if len(lines) == 1 else f"{len(lines)} problems"
    return "\n".join([f"{host}: {count}; nothing was changed", *(f"- {line}" for line in lines)])
