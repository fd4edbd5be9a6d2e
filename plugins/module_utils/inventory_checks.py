# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Find groups that have no effect, variables that no host reads, and functions without their description. Pure."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Collection, Iterator, Mapping

from ansible_collections.vise.platform.plugins.module_utils.description import Problem, Schema, advise, nearest
from ansible_collections.vise.platform.plugins.module_utils.model.topology import FUNCTIONS, find_misspelt_groups

Groups = Mapping[str, Collection[str]]
Variables = Mapping[str, t.Any]

BUILTIN = ("all", "ungrouped")
# The keys without which a function has nothing to do
NEEDED = {
    "edge": ("sites",),
    "docs": ("sites",),
    "mail": ("sites", "mail_domains", "mail_probes"),
    "database": ("databases",),
    "database_standby": ("databases",),
    "cache": ("caches",),
}
# The names of environments in the manual; the folders next to the inventory add others.
ENVIRONMENTS = ("development", "staging", "production", "drill")


class Files(t.NamedTuple):
    """The names of groups and hosts that have files of variables, each with its path, and those of the inventories."""

    groups: Mapping[str, str]
    hosts: Mapping[str, str]
    environment: str = ""
    inventories: Collection[str] = ()


def find_group_problems(
    groups: Groups, described: Collection[str], own: Collection[str], files: Files
) -> Iterator[Problem]:
    """Yield the groups of the inventory that no playbook, description or file of variables knows.

    Args:
        groups: the groups of the inventory with their hosts.
        described: groups that the description names.
        own: groups that the user declared with preflight_own_groups.
        files: the files of variables.
    """
    misspelt = find_misspelt_groups(groups, tuple(own))
    environments = {*ENVIRONMENTS, *files.inventories}
    wrong_top = find_environment_problems(groups, files, environments)
    yield from wrong_top.values()
    yield from find_ambiguous_names(groups)
    known = {*BUILTIN, *FUNCTIONS, *described, *own, *files.groups, *environments}
    for group in groups:
        if group in wrong_top or (group in known and group not in misspelt):
            continue
        meant = misspelt.get(group) or nearest(group, [*FUNCTIONS, *described])
        advice = (
            f"did you mean `{meant}`? Rename it" if meant else f"the functions are {', '.join(FUNCTIONS)}; rename it"
        )
        yield Problem(
            f"group {group}",
            "unknown group",
            f"{advice} in the inventory, or, for a group of your own, write `preflight_own_groups: [{group}]`",
        )


def find_ambiguous_names(groups: Groups) -> Iterator[Problem]:
    """Yield the hosts that have the name of a group with other hosts: a pattern with this name means both."""
    for name in groups.get("all") or ():
        if name not in BUILTIN and groups.get(name) and set(groups[name]) != {name}:
            fault = f"a group with the hosts {', '.join(groups[name])} has the same name"
            yield Problem(f"host {name}", fault, f"rename the host in the inventory, for example to `{name}-1`")


def find_environment_problems(groups: Groups, files: Files, environments: Collection[str]) -> dict[str, Problem]:
    """Return the groups because of which the variables of an environment are not read, or are mixed with others."""
    populated = [name for name in groups if name in environments and groups[name]]
    if len(populated) > 1:
        fault = f"the hosts are in more than one environment: {', '.join(populated)}"
        advice = "use one inventory for each environment, and one of them in a run"
        return {populated[0]: Problem(f"group {populated[0]}", fault, advice)}
    wanted = files.environment
    if wanted not in files.groups or groups.get(wanted) or wanted in BUILTIN:
        return {}
    every = set(groups.get("all") or ())
    tops = [name for name, hosts in groups.items() if set(hosts) == every and name not in (*BUILTIN, *FUNCTIONS)]
    rename = (
        f"rename the group {tops[0]} to `{wanted}`" if tops else f"put the groups below `{wanted}: {{children: ...}}`"
    )
    fault = f"{files.groups[wanted]} is not read, because no host is in group {wanted}"
    return {tops[0] if tops else wanted: Problem(f"group {wanted}", fault, f"{rename} in the inventory")}


def find_unread_files(groups: Groups, files: Files) -> Iterator[Problem]:
    """Yield the files of variables whose group or host is only similar to one of the inventory."""
    for name in find_misspelt_groups(files.groups, (*groups, *files.inventories)):
        meant = find_misspelt_groups([name])[name]
        yield Problem(
            f"group {name}", "no group has this name", f"did you mean `{meant}`? Rename the file", files.groups[name]
        )
    hosts = {simplify(host): host for host in groups.get("all") or ()}
    for name, path in files.hosts.items():
        meant = hosts.get(simplify(name), name)
        if meant != name and name not in (groups.get("all") or ()):
            yield Problem(f"host {name}", "no host has this name", f"did you mean `{meant}`? Rename the file", path)


def simplify(name: str) -> str:
    """Return a name without its domain, its case and its separators."""
    return re.sub(r"[^a-z0-9]", "", name.lower().partition(".")[0])


def named_groups(valid: Variables) -> set[str]:
    """Return the groups that the description names."""
    sites = (valid.get("sites") or {}).values()
    stores = [one for key in ("databases", "caches") for one in (valid.get(key) or {}).values()]
    return {
        *(site[key] for site in sites for key in ("group", "entrance") if key in site),
        *(store["clients"] for store in stores if "clients" in store),
        *(one["group"] for one in valid.get("backup_sets") or () if "group" in one),
        *(valid.get("open_ports") or {}),
        *(valid.get("backup_excluded_groups") or ()),
    } - {"all"}


def find_undescribed_functions(
    groups: Groups, filled: Collection[str], valid: Variables, schema: Schema
) -> Iterator[Problem]:
    """Yield the functions that have a host and not the description that they need.

    Args:
        groups: the groups of the inventory with their hosts.
        filled: the keys of the description that have a value which is not empty.
        valid: the valid parts of the description.
        schema: the schema of the description.
    """
    for function, keys in NEEDED.items():
        for key in keys if groups.get(function) else ():
            if key not in filled:
                yield describe_function(groups, function, f"`{key}` has no entry", advise(schema, (key,)))
    if "sites" in filled:
        yield from find_missing_sites(groups, valid.get("sites") or {})


def find_missing_sites(groups: Groups, sites: Variables) -> Iterator[Problem]:
    """Yield the functions that have a host and no site."""
    if groups.get("docs") and all(site.get("group", "docs") != "docs" for site in sites.values()):
        advice = "write `group: docs` in a site, or remove the host from the group"
        yield describe_function(groups, "docs", "no site has `group: docs`", advice)
    if groups.get("mail") and "mail" not in sites:
        advice = "write `mail: {domain: mail.example.org, group: mail, entrance: mail, port: 8080}` in sites"
        yield describe_function(
            groups, "mail", "`sites` has no entry `mail`, whose certificate the mail server uses", advice
        )


def find_absent_clients(groups: Groups, valid: Variables) -> Iterator[Problem]:
    """Yield the databases and caches of this inventory that no host may use: their group of clients has none."""
    for key, function in (("databases", "database"), ("caches", "cache")):
        for name, store in (valid.get(key) or {}).items() if groups.get(function) else ():
            client = store.get("clients", function)
            if not groups.get(client):
                advice = "put one into that group of the inventory, or write another group"
                yield Problem(f"{key}.{name}.clients", f"no host is in group {client}", advice)


def describe_function(groups: Groups, function: str, fault: str, advice: str) -> Problem:
    """Return the problem of a function that has a host."""
    return Problem(f"group {function}", f"it has {', '.join(groups[function])}, and {fault}", advice)


def find_missing_backups(groups: Groups, filled: Collection[str], valid: Variables) -> Iterator[Problem]:
    """Yield the functions whose data are not backed up, without the explicit word for this."""
    excluded = valid.get("backup_excluded_groups") or ()
    sets = {one.get("group") for one in valid.get("backup_sets") or ()}
    stored = "backup_repositories" in filled
    covered = {"database": stored, "mail": stored and bool(sets & {"mail", "all"})}
    for function, backed_up in covered.items():
        if groups.get(function) and function not in excluded and not backed_up:
            key = "backup_sets" if stored else "backup_repositories"
            advice = f"write `{key}: [...]`, or, to run without backups, `backup_excluded_groups: [{function}]`"
            yield describe_function(
                groups, function, f"its data are not backed up: `{key}` has no entry for it", advice
            )
    others = [name for name in sets if name not in (*covered, *excluded) and name and groups.get(name)]
    if others and not stored:
        fault = f"files of {', '.join(sorted(others))} are listed, and `backup_repositories` has no entry"
        yield Problem("backup_sets", fault, "write `backup_repositories: [...]`, or remove the sets")
