# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Complete the answers by what the repository contains already, and find contradictions. Pure."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Iterable, Iterator, Mapping, Sequence

from .answers import SINGLE, AnswerError, Answers, Host, Site

# The functions whose data need backups
STORING = ("database", "mail")
Members = Mapping[str, tuple[str, ...]]


def complete(answers: Answers, existing: Answers) -> tuple[Answers, list[str]]:
    """Return what the repository will contain, and the problems of the answers with each other."""
    problems = list(find_changes(answers, existing))
    hosts = join(existing.hosts, answers.hosts)
    functions, unplaced = place_members("init_functions", answers.functions, answers, hosts)
    applications, others = place_members("init_applications", answers.applications, answers, hosts)
    problems += [*unplaced, *others]
    whole = Answers(
        domain=answers.domain or existing.domain,
        user=answers.user or existing.user or "root",
        hosts=hosts,
        functions=join_members(existing.functions, functions),
        applications=join_members(existing.applications, applications),
        sites=join(existing.sites, answers.sites),
        people=join(existing.people, answers.people),
        dns=answers.dns or existing.dns or "none",
        storage=existing.storage if existing.storage is not None else answers.storage,
    )
    whole = add_defaults(whole)
    if problems:
        return whole, problems
    return whole, list(find_contradictions(whole))


def join(first: tuple[t.Any, ...], second: tuple[t.Any, ...]) -> tuple[t.Any, ...]:
    """Return the entries of both, each name once."""
    return tuple({one.name: one for one in (*second, *first)}[name] for name in unique((*first, *second)))


def unique(entries: Iterable[t.Any]) -> list[str]:
    """Return the names of entries in their order, each once."""
    return list(dict.fromkeys(one.name for one in entries))


def join_members(first: Members, second: Members) -> dict[str, tuple[str, ...]]:
    """Return the groups of both with the hosts of both."""
    return {name: tuple(dict.fromkeys((*first.get(name, ()), *second.get(name, ())))) for name in (*first, *second)}


def find_changes(answers: Answers, existing: Answers) -> Iterator[str]:
    """Yield the answers that contradict what exists: this command adds, and changes nothing."""
    places = {"domain": "domain.yml", "dns": "dns.yml", "storage": "backups.yml"}
    for name, file in places.items():
        old, new = getattr(existing, name), getattr(answers, name)
        if existing.hosts and old not in ("", None) and new not in ("", None, old):
            yield f"init_{name}: the repository has another value; edit inventory/group_vars/all/{file} instead"
    if existing.user and answers.user and answers.user != existing.user:
        yield "init_user: the repository has another account; edit ansible_user in inventory/hosts.yml instead"
    kinds = {
        "hosts": "inventory/hosts.yml",
        "sites": "inventory/group_vars/all/sites.yml",
        "people": "inventory/group_vars/all/people.yml",
    }
    for kind, file in kinds.items():
        before = {one.name: one for one in getattr(existing, kind)}
        for one in getattr(answers, kind):
            if before.get(one.name, one) != one:
                yield f"init_{kind}: {one.name} exists with other values; edit {file} instead"


def place_members(
    option: str, members: Members, answers: Answers, hosts: Sequence[Host]
) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """Return the groups with their hosts, and why the hosts of some are not known."""
    placed, problems = {}, []
    for name, listed in members.items():
        try:
            placed[name] = tuple(dict.fromkeys(listed)) or (find_host(name, answers.hosts, hosts),)
        except AnswerError as error:
            problems.append(f"{option}: {error}")
    return placed, problems


def find_host(group: str, new: Sequence[Host], hosts: Sequence[Host]) -> str:
    """Return the host of a group without one: the only host, the only new one, or the one with the group's name."""
    named = [
        host.name for host in hosts if re.fullmatch(rf"{re.escape(group).replace('_', '[_-]')}-?[0-9]*", host.name)
    ]
    for candidates in (named, [host.name for host in new], [host.name for host in hosts]):
        if len(candidates) == 1:
            return candidates[0]
    names = ", ".join(host.name for host in hosts) or "not known yet, see init_hosts"
    raise AnswerError(f"{group} has no host; write `{group}=HOST`; the hosts are {names}")


def add_defaults(whole: Answers) -> Answers:
    """Return the answers with the edge and the site that a function without them needs."""
    functions, sites = dict(whole.functions), list(whole.sites)
    if "docs" in functions and not any(not site.port for site in sites):
        sites.append(Site("docs", f"docs.{whole.domain}"))
    # Visitors reach mail without the edge.
    serving = functions.get("docs") or next(
        (whole.applications[application_of(one)] for one in sites if is_known(one, whole)), ()
    )
    if serving and not functions.get("edge"):
        edge = [host.name for host in whole.hosts if re.fullmatch(r"edge-?[0-9]*", host.name)]
        functions["edge"] = tuple(edge) or serving
    ordered = dict(sorted(functions.items(), key=lambda item: item[0] != "edge"))
    return whole._replace(functions=ordered, sites=tuple(sites))


def is_known(site: Site, whole: Answers) -> bool:
    """Return whether a program of a known application serves a site."""
    return bool(site.port) and application_of(site) in whole.applications


def application_of(site: Site) -> str:
    """Return the application whose program serves a site."""
    return site.name.replace("-", "_")


def find_contradictions(whole: Answers) -> Iterator[str]:
    """Yield why no platform follows from the answers."""
    if not whole.domain:
        yield "init_domain: is missing; write the domain of the platform, such as `example.org`"
    if not whole.hosts:
        yield "init_hosts: is missing; write each server with its address: `web-1=192.0.2.10 db-1=192.0.2.11`"
    if not whole.people:
        yield "init_people: has no administrator; write each person with a public key: `alice=~/.ssh/id_ed25519.pub`"
    if not (whole.functions or whole.applications):
        yield "init_functions: is missing; write some of docs, mail, database, cache, or `all`"
    yield from find_host_problems(whole)
    yield from find_function_problems(whole)
    yield from find_site_problems(whole)
    if any(function in whole.functions for function in STORING) and whole.storage is None:
        stored = " and ".join(function for function in STORING if function in whole.functions)
        yield (
            f"init_storage: {stored} keeps data, which need backups; write two buckets ENDPOINT/REGION/BUCKET, or, to "
            "run without backups, `none`"
        )


def find_host_problems(whole: Answers) -> Iterator[str]:
    """Yield the hosts without a function, the functions of unknown hosts, and names that are used twice."""
    names = [host.name for host in whole.hosts]
    for group, hosts in whole.groups.items():
        option = "init_functions" if group in whole.functions else "init_applications"
        for name in hosts:
            if name not in names:
                yield f"{option}: {group} is on the unknown host {name}; the hosts are {', '.join(names)}"
    used = {name for hosts in whole.groups.values() for name in hosts}
    for host in whole.hosts:
        if host.name in whole.groups:
            yield f"init_hosts: {host.name} is also the name of a group; choose another name, such as `{host.name}-1`"
        elif host.name not in used:
            yield f"init_hosts: {host.name} has no function; write `init_functions=docs={host.name}`"
    addresses: dict[str, str] = {}
    for host in whole.hosts:
        for address in host.addresses:
            if addresses.setdefault(address, host.name) != host.name:
                yield f"init_hosts: {host.name} and {addresses[address]} have the same address {address}; correct one"


def find_function_problems(whole: Answers) -> Iterator[str]:
    """Yield the functions with too many hosts, or without what they need."""
    for function in SINGLE:
        if len(whole.functions.get(function, ())) > 1:
            further = "; further ones are `database_standby`" if function == "database" else ""
            yield f"init_functions: {function} has more than one host; write one{further}"
    if "database_standby" in whole.functions:
        if "database" not in whole.functions:
            yield "init_functions: database_standby needs a host with `database`; add it"
        both = set(whole.functions["database_standby"]) & set(whole.functions.get("database", ()))
        if both:
            yield f"init_functions: {', '.join(sorted(both))} cannot be the standby of itself; use another host"
    stores = [function for function in ("database", "cache") if function in whole.functions]
    if stores and not whole.applications:
        yield (
            f"init_applications: is missing; {' and '.join(stores)} serves applications: write their names, such as "
            "`shop` or `shop=web-1`"
        )
    if len(whole.functions.get("edge", ())) > 1 and whole.dns != "cloudflare":
        yield (
            "init_functions: edge has more than one host, so that certificates need dns-01; write "
            "`init_dns=cloudflare`, or one host"
        )


def find_site_problems(whole: Answers) -> Iterator[str]:
    """Yield the sites that nothing serves, and applications that nothing uses."""
    domains: dict[str, str] = {"mail." + whole.domain: "mail"} if "mail" in whole.functions else {}
    for site in whole.sites:
        if domains.setdefault(site.domain, site.name) != site.name:
            yield f"init_sites: {site.name} and {domains[site.domain]} have the same domain {site.domain}; change one"
        if site.port and not is_known(site, whole):
            name = application_of(site)
            fault = f"{site.name} has a port, and there is no application {name}"
            yield f"init_sites: {fault}; write `init_applications={name}`"
        if not site.port and "docs" not in whole.functions:
            yield (
                f"init_sites: {site.name} consists of files, and no host has the function docs; write "
                f"`init_functions=docs`, or the port of a program: `{site.name}={site.domain}:3000`"
            )
    if not {"database", "cache"} & set(whole.functions):
        served = {application_of(site) for site in whole.sites if site.port}
        for name in sorted(set(whole.applications) - served):
            yield (
                f"init_applications: {name} has no database, cache or site; add `database` or `cache` to "
                f"init_functions, or write `init_sites={name}={name.replace('_', '-')}.{whole.domain}:3000`"
            )
