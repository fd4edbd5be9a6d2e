# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What one host has to do for databases and caches, derived from the description and the inventory. Pure.

Passwords are read for hosts that need them alone: Ansible templates what is read, and asks for the secrets in it.
"""

from __future__ import annotations

import typing as t
from collections.abc import Mapping, Sequence

from ansible_collections.vise.platform.plugins.module_utils.topology import Entry, Topology, TopologyError

PRIMARY, STANDBY, CACHE = "database", "database_standby", "cache"
DATABASE_PORT, POOL_PORT, CACHE_PORT = 5432, 6432, 6379
REPLICATION_USER, POOL_USER = "replication", "pgbouncer"

Stores = Mapping[str, Mapping[str, t.Any]]


class Description(t.NamedTuple):
    """Databases and caches by name, and the passwords by which standbys follow and the pool asks for verifiers."""

    databases: Stores
    caches: Stores
    replication_password: str
    pool_password: str


def primary(plan: Topology) -> str:
    """Return the host that holds the primary; nothing where the platform has no database."""
    hosts = plan.members(PRIMARY)
    if len(hosts) > 1:
        raise TopologyError(
            f"group {PRIMARY}: it has {', '.join(hosts)}, and there is one primary; put the others into {STANDBY}"
        )
    both = sorted(set(hosts) & set(plan.members(STANDBY)))
    if both:
        raise TopologyError(f"group {STANDBY}: {both[0]} is in it and in {PRIMARY}; take it out of one of the two")
    return hosts[0] if hosts else ""


def networks(plan: Topology, hosts: Sequence[str]) -> list[str]:
    """Return the addresses of hosts as networks of one address each."""
    found = [address for host in hosts for address in plan.internal(host)]
    return [f"{address}/{128 if ':' in address else 32}" for address in dict.fromkeys(found)]


def slot(host: str) -> str:
    """Return the name of the slot that keeps WAL for a standby: small letters, digits and underscores."""
    return "".join(sign if sign.isalnum() else "_" for sign in host.lower())


def users(plan: Topology, wanted: Description) -> list[Entry]:
    """Return the users of the cluster: an owner a database, the pool's, and the standbys'."""
    found: list[Entry] = [
        {
            "name": name,
            "password": database["password"],
            "addresses": networks(plan, plan.members(database["clients"])),
        }
        for name, database in wanted.databases.items()
    ]
    found.append({"name": POOL_USER, "password": wanted.pool_password})
    if plan.members(STANDBY):
        # The primary too: when a standby has taken over, it comes back as the one that follows.
        followers = [*plan.members(STANDBY), *plan.members(PRIMARY)]
        found.append(
            {
                "name": REPLICATION_USER,
                "password": wanted.replication_password,
                "addresses": networks(plan, followers),
                "replication": True,
            }
        )
    return found


def followed(plan: Topology, host: str, wanted: Description) -> Entry:
    """Return whom a standby follows."""
    return {
        "host": plan.internal(primary(plan))[0],
        "user": REPLICATION_USER,
        "password": wanted.replication_password,
        "slot": slot(host),
    }


def askers(plan: Topology, host: str, stores: Stores) -> list[str]:
    """Return the hosts that connect to this one as clients."""
    clients = {client for store in stores.values() for client in plan.members(store["clients"])}
    return sorted(clients - {host})


def rule(plan: Topology, port: int, hosts: Sequence[str], comment: str) -> list[Entry]:
    """Return a port that is open to these hosts alone; nothing for none."""
    sources = list(dict.fromkeys(address for host in hosts for address in plan.internal(host)))
    return [{"port": str(port), "proto": "tcp", "from": sources, "comment": comment}] if sources else []


def firewall(plan: Topology, host: str, wanted: Description) -> list[Entry]:
    """Return the ports that answer on a host, and to whom."""
    found: list[Entry] = []
    cluster = [*plan.members(PRIMARY), *plan.members(STANDBY)]
    if host in cluster:
        clients = askers(plan, host, wanted.databases)
        peers = [other for other in cluster if other != host]
        found += rule(plan, DATABASE_PORT, [*clients, *peers], "database for its clients and standbys")
        found += rule(plan, POOL_PORT, clients, "database pool")
    if host in plan.members(CACHE):
        found += rule(plan, CACHE_PORT, askers(plan, host, wanted.caches), "cache")
    return found


def state(plan: Topology, host: str) -> str:
    """Return what a host holds of the database: primary, standby or nothing."""
    if host == primary(plan):
        return "primary"
    if host not in plan.members(STANDBY):
        return ""
    if not primary(plan):
        raise TopologyError(f"group {PRIMARY}: it has no host, and {host} is in {STANDBY}; put one into it")
    return "standby"


def cache_users(caches: Stores) -> list[Entry]:
    """Return the users of Redis, one a cache."""
    return [{"name": name, "passwords": [cache["password"]]} for name, cache in caches.items()]


def data_duties(plan: Topology, host: str, wanted: Description) -> Entry:
    """Return all that follows for one host."""
    holds = state(plan, host)
    cache = host in plan.members(CACHE)
    return {
        "database": holds,
        "databases": [
            {"name": name, "owner": name, "extensions": list(database.get("extensions") or ())}
            for name, database in wanted.databases.items()
        ],
        "users": users(plan, wanted) if holds else [],
        "pools": [{"name": name} for name in wanted.databases],
        "slots": [slot(standby) for standby in plan.members(STANDBY)] if holds == "primary" else [],
        "follows": followed(plan, host, wanted) if holds == "standby" else {},
        "cache": cache,
        "cache_users": cache_users(wanted.caches) if cache else [],
        "firewall_allow": firewall(plan, host, wanted),
    }
