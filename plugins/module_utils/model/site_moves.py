# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plan the move of a site to other hosts, from the description, the inventory and what each host serves now. Pure."""

from __future__ import annotations

import typing as t
from collections.abc import Collection, Iterator, Mapping, Sequence

from . import topology
from .topology import EDGE, Entry, Topology

# Groups whose applications keep their data on their host, each with the way that moves it.
STATEFUL = {
    "mail": "mail keeps its messages on its host; back it up, then restore it on the new host with restore_mail.yml"
}
# Groups whose hosts open their ports to the hosts of an application
STORES = ("database", "database_standby", "cache")

# What each host has of a site: `virtual_hosts`, and `files`, whether visitors can get its files there.
Traces = Mapping[str, Mapping[str, t.Any]]


def plan_move(plan: Topology, name: str, found: Traces, run: Collection[str]) -> Entry:
    """Return the move of a site: its hosts and names, its steps, and why it cannot be done.

    Args:
        plan: the description and the inventory.
        name: the site.
        found: what each host of the run has of the site.
        run: the hosts of the run.
    """
    site = plan.sites[name]
    old_edges, old_hosts = plan.former(site, "entrance"), plan.former(site, "group")
    places = list(dict.fromkeys([*plan.serving(site), *old_hosts, *plan.entrance(site), *old_edges]))
    application = bool(site.get("port"))
    stores = [host for group in STORES for host in plan.members(group)] if application else []
    hosts = list(dict.fromkeys([*places, *stores]))
    try:
        topology.refuse_unknown_places(plan)
        problems = [*find_problems(plan, name, found), *find_absent(hosts, run)]
    except topology.TopologyError as error:
        problems = [str(error)]
    return {
        "site": name,
        "problems": problems,
        "warnings": list(find_warnings(plan, name)),
        "steps": [] if problems else list(describe_steps(plan, name)),
        "hosts": hosts,
        "places": places,
        "old_edges": old_edges,
        "old_hosts": old_hosts,
        "new_hosts": list(plan.serving(site)),
        "names": [*topology.names(site), *topology.aliases(site)],
        "urls": [f"https://{one}/" for one in topology.names(site) if not one.startswith("*.")],
        "addresses": plan.public(site),
        "proxied": bool(site.get("proxied")),
        "application": application,
        "sites_after": {
            key: {part: value for part, value in one.items() if part != "moved_from" or key != name}
            for key, one in plan.sites.items()
        },
    }


def find_problems(plan: Topology, name: str, found: Traces) -> Iterator[str]:
    """Yield why the site cannot be moved, each with what to write or to run instead."""
    site = plan.sites[name]
    if site["group"] in STATEFUL:
        yield f"sites.{name}: {STATEFUL[site['group']]}"
        return
    for key, group, hosts in (
        ("group", site["group"], plan.serving(site)),
        ("entrance", site.get("entrance") or EDGE, plan.entrance(site)),
    ):
        if not hosts:
            yield f"sites.{name}.{key}: no host is in group {group}; put the new host into it in the inventory"
    others = elsewhere(plan, name, found)
    if not site.get("moved_from"):
        yield describe_missing_place(plan, name, others)
    elif not (plan.former(site, "group") or plan.former(site, "entrance")):
        yield (
            f"sites.{name}.moved_from: it names only hosts where the site still is; put the new host into group "
            f"{site['group']}, or into {site.get('entrance') or EDGE}, instead of the old one"
        )
    elif others["entrance"] or others["group"]:
        yield f"sites.{name}.moved_from: other hosts serve the site too; add them: {format_places(others)}"
    yield from find_stranded(plan, name, found)


def elsewhere(plan: Topology, name: str, found: Traces) -> dict[str, list[str]]:
    """Return the hosts that serve a site now and have no part in it by the description."""
    site = plan.sites[name]
    edges, hosts = plan.edges(site), [*plan.serving(site), *plan.former(site, "group")]
    return {
        "group": [host for host, traces in found.items() if traces["files"] and host not in hosts],
        "entrance": [host for host, traces in found.items() if name in traces["virtual_hosts"] and host not in edges],
    }


def format_places(places: Mapping[str, Sequence[str]]) -> str:
    """Return the lines of `moved_from`, as in the description."""
    parts = [f"{key}: [{', '.join(hosts)}]" for key, hosts in places.items() if hosts]
    return f"`moved_from: {{{', '.join(parts)}}}`"


def describe_missing_place(plan: Topology, name: str, others: Mapping[str, Sequence[str]]) -> str:
    """Return what to write when the description does not contain the former place of the site."""
    site = plan.sites[name]
    if others["group"] or others["entrance"]:
        return (
            f"sites.{name}: the description does not contain where the site is now; add {format_places(others)} to the "
            "site, and run this again"
        )
    where = ", ".join(dict.fromkeys([*plan.serving(site), *plan.entrance(site)]))
    return (
        f"sites.{name}: the site is where the description has it ({where}), and no other host serves it; put the new "
        f"host into group {site['group']}, or into {site.get('entrance') or EDGE}, instead of the old one, and run "
        "this again: it reports what to add"
    )


def find_stranded(plan: Topology, name: str, found: Traces) -> Iterator[str]:
    """Yield the other sites that would end on the former edge hosts, although visitors still connect to them."""
    for other, site in plan.sites.items():
        lost = [
            host
            for host in plan.former(plan.sites[name], "entrance")
            if other in found.get(host, {}).get("virtual_hosts", ()) and host not in plan.edges(site)
        ]
        if other != name and lost:
            yield (
                f"sites.{other}: {', '.join(lost)} serves it now, and by the description no longer; add "
                f"`moved_from: {{entrance: [{', '.join(lost)}]}}` to it too, and move it with the same command"
            )


def find_absent(hosts: Sequence[str], run: Collection[str]) -> Iterator[str]:
    """Yield the hosts of the move that are not part of the run."""
    absent = [host for host in hosts if host not in run]
    if absent:
        yield f"{', '.join(absent)}: part of the move, but not of this run; remove --limit"


def find_warnings(plan: Topology, name: str) -> Iterator[str]:
    """Yield what the platform cannot move or prove."""
    site, moved = plan.sites[name], plan.former(plan.sites[name], "group")
    if moved and site.get("port"):
        yield (
            f"{name} is an application: the platform moves its access to databases and caches, not the program and not "
            f"files that it keeps on {', '.join(moved)}. Deploy it to {', '.join(plan.serving(site))} first"
        )
    elif moved and not (site.get("source") or site.get("release")):
        yield (
            f"{name} has no `source`: copy /srv/sites/{name} from {moved[0]} to {', '.join(plan.serving(site))} first"
        )


def describe_steps(plan: Topology, name: str) -> Iterator[str]:
    """Yield the steps of the move, in order."""
    site = plan.sites[name]
    old_edges, new_hosts = ", ".join(plan.former(site, "entrance")), ", ".join(plan.serving(site))
    old_hosts, edges = ", ".join(plan.former(site, "group")), ", ".join(plan.entrance(site))
    yield f"{new_hosts}: provide {name}" + (" (the application must already run there)" if site.get("port") else "")
    if plan.proxying(site):
        yield f"{', '.join(plan.proxying(site))}: forward requests to {new_hosts}, when it answers"
    if old_edges:
        names = ", ".join([*topology.names(site), *topology.aliases(site)])
        yield f"{edges}: get the certificate; {old_edges} forwards the challenges of the authority"
        yield f"DNS: {names} to {', '.join(plan.public(site))}"
        yield f"{old_edges}: forward requests until the lifetime of the old DNS records has passed, then end the site"
    if old_hosts:
        yield f"{old_hosts}: remove the files of {name}"
