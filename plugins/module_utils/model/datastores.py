# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Derive the databases and caches of one host from the description and the inventory. Pure.

A password is read only for the hosts that need it: Ansible evaluates a value when it is read, and then requires its
secret.
"""

from __future__ import annotations

import typing as t
from collections.abc import Mapping, Sequence

from . import names
from .topology import Entry, Topology, TopologyError, refuse_misspelt_groups

PRIMARY, STANDBY, CACHE = "database", "database_standby", "cache"
DATABASE_PORT, POOL_PORT, CACHE_PORT = 5432, 6432, 6379
REPLICATION_USER, POOL_USER = "replication", "pgbouncer"
# The keys of a database that decide how it is created
LOCALES = ("locale", "locale_provider", "encoding", "template")

Stores = Mapping[str, Mapping[str, t.Any]]


class Description(t.NamedTuple):
    """Databases and caches by name, and the passwords of the users `replication` and `pool`."""

    databases: Stores
    caches: Stores
    passwords: Mapping[str, str]


def primary(plan: Topology) -> str:
    """Return the host of the primary; empty when the platform has no database."""
    hosts = plan.members(PRIMARY)
    if len(hosts) > 1:
        raise TopologyError(
            f"group {PRIMARY}: it has {', '.join(hosts)}, but only one host can be the primary; "
            f"move the others to {STANDBY}"
        )
    both = sorted(set(hosts) & set(plan.members(STANDBY)))
    if both:
        raise TopologyError(f"group {STANDBY}: {both[0]} is also in {PRIMARY}; remove it from one of the two")
    return hosts[0] if hosts else ""


def clients(plan: Topology, group: str) -> list[str]:
    """Return the hosts whose applications use a store, also those of a site that is moved."""
    moved = [host for site in plan.sites.values() if site.get("group") == group for host in plan.former(site, "group")]
    return list(dict.fromkeys([*plan.members(group), *moved]))


def networks(plan: Topology, hosts: Sequence[str]) -> list[str]:
    """Return the addresses of hosts as networks with one address each."""
    found = [address for host in hosts for address in plan.internal(host)]
    return [f"{address}/{128 if ':' in address else 32}" for address in dict.fromkeys(found)]


def slot(host: str) -> str:
    """Return the name of a standby's replication slot: lowercase letters, digits and underscores."""
    return "".join(sign if sign.isalnum() else "_" for sign in host.lower())


def slots(plan: Topology) -> list[str]:
    """Return the slots of all standbys; two standbys cannot share one."""
    hosts = plan.members(STANDBY)
    found = [slot(host) for host in hosts]
    for host, name in zip(hosts, found, strict=True):
        others = [other for other in hosts if other != host and slot(other) == name]
        if others:
            fault = f"{host} and {others[0]} would share the replication slot {name}"
            raise TopologyError(f"group {STANDBY}: {fault}; rename one of the hosts in the inventory")
        if problem := names.find_problem("slot", name):
            raise TopologyError(f"group {STANDBY}: {host}: replication slot {problem.line()}")
    return found


def users(plan: Topology, wanted: Description) -> list[Entry]:
    """Return the users of the cluster: an owner per database, the pool's, and the standbys'."""
    found: list[Entry] = [
        {
            "name": name,
            "password": database["password"],
            "addresses": networks(plan, clients(plan, database["clients"])),
        }
        for name, database in wanted.databases.items()
    ]
    found.append({"name": POOL_USER, "password": wanted.passwords.get("pool", "")})
    if plan.members(STANDBY):
        # The primary too: after a failover it returns as a standby.
        followers = [*plan.members(STANDBY), *plan.members(PRIMARY)]
        found.append(
            {
                "name": REPLICATION_USER,
                "password": wanted.passwords.get("replication", ""),
                "addresses": networks(plan, followers),
                "replication": True,
            }
        )
    return found


def replication_source(plan: Topology, host: str, wanted: Description) -> Entry:
    """Return the primary that a standby replicates, and how it logs in."""
    return {
        "host": plan.internal(primary(plan))[0],
        "user": REPLICATION_USER,
        "password": wanted.passwords.get("replication", ""),
        "slot": slot(host),
    }


def client_hosts(plan: Topology, host: str, stores: Stores) -> list[str]:
    """Return the other hosts whose applications connect to this one."""
    found = {client for store in stores.values() for client in clients(plan, store["clients"])}
    return sorted(found - {host})


def rule(plan: Topology, port: int, hosts: Sequence[str], comment: str) -> list[Entry]:
    """Return a firewall rule that opens a port to these hosts only; no rule without hosts."""
    sources = list(dict.fromkeys(address for host in hosts for address in plan.internal(host)))
    return [{"port": str(port), "proto": "tcp", "from": sources, "comment": comment}] if sources else []


def firewall(plan: Topology, host: str, wanted: Description) -> list[Entry]:
    """Return the open ports of a host with the addresses that may connect."""
    found: list[Entry] = []
    cluster = [*plan.members(PRIMARY), *plan.members(STANDBY)]
    if host in cluster:
        own = client_hosts(plan, host, wanted.databases)
        peers = [other for other in cluster if other != host]
        found += rule(plan, DATABASE_PORT, [*own, *peers], "database for its clients and standbys")
        found += rule(plan, POOL_PORT, own, "database pool")
    if host in plan.members(CACHE):
        found += rule(plan, CACHE_PORT, client_hosts(plan, host, wanted.caches), "cache")
    return found


def database_role(plan: Topology, host: str) -> str:
    """Return the role of a host in the database cluster: primary, standby or empty."""
    if host == primary(plan):
        return "primary"
    if host not in plan.members(STANDBY):
        return ""
    if not primary(plan):
        raise TopologyError(f"group {PRIMARY}: it has no host, but {host} is in {STANDBY}; add the primary to it")
    return "standby"


def cache_users(caches: Stores) -> list[Entry]:
    """Return the users of Redis, one per cache."""
    return [{"name": name, "passwords": [cache["password"]]} for name, cache in caches.items()]


def data_services(plan: Topology, host: str, wanted: Description) -> Entry:
    """Return everything that one host needs for databases and caches."""
    refuse_misspelt_groups(plan, host)
    role = database_role(plan, host)
    cache = host in plan.members(CACHE)
    return {
        "database": role,
        "databases": [
            {
                "name": name,
                "owner": name,
                "extensions": list(database.get("extensions") or ()),
                **{key: database[key] for key in LOCALES if database.get(key)},
            }
            for name, database in wanted.databases.items()
        ],
        "users": users(plan, wanted) if role else [],
        "pools": [{"name": name} for name in wanted.databases],
        "slots": slots(plan) if role == "primary" else [],
        "follows": replication_source(plan, host, wanted) if role == "standby" else {},
        "cache": cache,
        "cache_users": cache_users(wanted.caches) if cache else [],
        "firewall_allow": firewall(plan, host, wanted),
    }
