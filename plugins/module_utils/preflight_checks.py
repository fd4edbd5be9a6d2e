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
from ansible_collections.vise.platform.plugins.module_utils.model import datastores, functions, topology

Variables = Mapping[str, t.Any]
# The message of a filter about its input
REFUSAL = re.compile(r"[Ff]ilter plugin '[\w.]+' failed: (.*)", re.DOTALL)
UNDEFINED = re.compile(r"'(\w+)' is undefined")
SECRET = re.compile(r"\bvault_\w+")
# A secret that has no default
READ_SECRET = re.compile(r"\b(vault_\w+)\b(?!\s*\|\s*default\b)(?!\s+is\s)")
NAME = re.compile(r"\b[a-z]\w*")
# The settings of a zone by which Cloudflare presents a client certificate: the shared one, and one of the zone
ORIGIN_PULLS = ("authenticated_origin_pulls_global", "authenticated_origin_pulls")
# Why a host cannot run a module, and what to do
FAILURES = (
    (
        "missing sudo password|sudo: a password is required|incorrect sudo password",
        "ansible_become: sudo needs a password; add --ask-become-pass, or write `ansible_become_password` encrypted",
    ),
    ("sudo: (command )?not found", "ansible_become_method: sudo is not installed; log in as root, or write `su`"),
    (
        "python[0-9.]*: (command )?not found|no python|interpreter .* not found|No such file or directory.*python",
        "ansible_python_interpreter: Python 3 is missing; run `apt-get install python3` on the host",
    ),
    (
        "permission denied|too many authentication failures|invalid/incorrect password",
        "ansible_user: sshd refuses the login ({text}); use a person of `people`, an account of ssh_home_keys_for, or, "
        "before the first run, the account of the provider, with its key",
    ),
    (
        "host key verification failed|host identification has changed",
        "the host key is unknown or has changed; compare it with the console of the provider, then update known_hosts",
    ),
)


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


def find_further_secrets(name: str, raw: Variables) -> list[Problem]:
    """Return every missing secret that a variable reads; the error of its evaluation names only the first one."""
    read = [secret for secret in READ_SECRET.findall(str(raw[name])) if secret not in raw]
    return [missing_secret(secret, name) for secret in dict.fromkeys(read)]


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
        *find_locked_sites(plan, valid),
    ]
    names = {domain: plan.reachable(sites[one["name"]]) for one in by_http for domain in one["domains"]}
    return names, problems


def list_components(valid: Variables, task_vars: Variables) -> list[str]:
    """Return the components that the run applies to the host and that may find a service of others."""
    plan = topology.Topology(valid.get("sites") or {}, {}, task_vars["groups"], task_vars["hostvars"])
    return ["admin_users", "ssh", *functions.needed_components(plan, task_vars["inventory_hostname"])]


def describe_left(host: str, function: str, components: Collection[str]) -> str:
    """Return that a host keeps the components of a function that it left, and the command that removes them."""
    return (
        f"{host} has left the function {function}, but keeps {', '.join(components)}, which no run updates; to "
        f"remove it, run the playbook retire_function.yml with `-e retire_host={host} -e retire_function={function}`"
    )


def find_missing_people(valid: Variables, task_vars: Variables) -> Iterator[Problem]:
    """Yield a problem if no administrator could log in."""
    if not valid.get("people") and not task_vars.get("admin_users_allow_none"):
        yield Problem("people", "has no administrator", "write `people: [{name: alice, keys: [ssh-ed25519 ...]}]`")


def find_missing_token(names: Collection[str], valid: Variables) -> Iterator[Problem]:
    """Yield a problem if certificates need dns-01 and there is no token for it."""
    if names and not (valid.get("cloudflare_acme_token") or valid.get("cloudflare_token")):
        yield missing_secret("vault_cloudflare_token", f"dns-01 of {', '.join(names)}")


def find_locked_sites(plan: topology.Topology, valid: Variables) -> Iterator[Problem]:
    """Yield the sites that would refuse all visitors, because their requests do not come as the origin lock needs."""
    locks = {name: (site.get("nginx") or {}).get("origin_lock", "none") for name, site in plan.sites.items()}
    for name, lock in locks.items():
        if lock != "none" and not plan.sites[name].get("proxied"):
            fault = "refuses all visitors, because they do not come through Cloudflare"
            yield Problem(f"sites.{name}.nginx.origin_lock", fault, f"write `proxied: true` for {name}, or remove it")
    zones = [name for zone in valid.get("dns_zones") or () for name in list_names({"domain": zone})]
    settings = valid.get("cloudflare_settings") or {}
    # Without a token, the settings of the zone are managed elsewhere.
    if not valid.get("cloudflare_token") or any(is_true(settings.get(name)) for name in ORIGIN_PULLS):
        return
    refused = [
        name
        for name, lock in locks.items()
        if lock == "authenticated_origin_pulls"
        and any(f".{domain}".endswith(f".{zone}") for domain in list_names(plan.sites[name]) for zone in zones)
    ]
    if refused:
        shared, own = ORIGIN_PULLS
        fault = f"does not let Cloudflare present the client certificate that {', '.join(refused)} needs (origin_lock)"
        advice = f"write `{shared}: true`, or `{own}: true` for a certificate that you uploaded to the zone"
        yield Problem("cloudflare_settings", fault, advice)


def list_names(site: Mapping[str, t.Any]) -> list[str]:
    """Return all names of a site as the DNS has them; none of a name that is invalid, which is another problem."""
    try:
        return [*topology.names(site), *topology.aliases(site)]
    except topology.TopologyError:
        return []


def is_true(value: t.Any) -> bool:
    """Return whether an option of a module has a spelling of true."""
    return str(value).strip().lower() in ("true", "yes", "y", "on", "1", "t")


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


def name_sites(text: str, sites: Iterable[str]) -> str:
    """Return a text of a role about the virtual hosts that are derived from sites, with the names of the sites."""
    text = text.removeprefix("nginx_sites: ")
    for name in sites:
        text = re.sub(rf"\b{re.escape(name)}\.(internal|aliases)\b", name, text)
    return text


def describe_plaintext(path: str, names: Collection[str]) -> Problem:
    """Return the problem of a file with secrets that are not encrypted."""
    shown = ", ".join([*sorted(names)[:3], *(["..."] if len(names) > 3 else [])])
    count = "a secret" if len(names) == 1 else f"{len(names)} secrets"
    advice = (
        f"run `ansible-vault encrypt {path}`, or, if other means protect it, write `preflight_plaintext_secrets: true`"
    )
    return Problem(path, f"{count} in plain text: {shown}", advice)


def explain_failure(result: Variables, failed: str = "preflight failed") -> str:
    """Return why a module did not run on a host, as one problem; any other failure begins with the given words."""
    text = " ".join(str(result.get("msg") or "").split()).removeprefix("Task failed: ")
    output = " ".join(f"{result.get('module_stdout') or ''} {result.get('module_stderr') or ''}".split())
    for pattern, line in FAILURES:
        if re.search(pattern, f"{text} {output}", re.IGNORECASE):
            return line.format(text=text)
    return f"{'cannot be reached' if result.get('unreachable') else failed}: {text or output}"


def write_report(results: Mapping[str, Variables]) -> str:
    """Return the problems of all hosts as one text, each once, with the hosts that have it; empty without problems."""
    hosts: dict[tuple[str, bool], list[str]] = {}
    for host, result in results.items():
        for problem in result.get("problems") or ():
            hosts.setdefault((problem["text"], bool(problem["of_host"])), []).append(host)
        if result.get("unreachable") or result.get("failed"):
            hosts.setdefault((explain_failure(result), True), []).append(host)
    lines = [
        f"- {', '.join(names)}: {text}" if of_host or len(names) < len(results) else f"- {text}"
        for (text, of_host), names in hosts.items()
    ]
    if not lines:
        return ""
    return "\n".join([f"{len(lines)} problem{'s'[: len(lines) > 1]}; nothing was changed", *lines])
