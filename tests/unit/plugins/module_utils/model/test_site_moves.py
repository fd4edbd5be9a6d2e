"""The move of a site: at each moment of each run, each host that visitors may reach can serve the site."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
from ansible_collections.vise.platform.plugins.module_utils.model import datastores, site_moves, topology

HOSTVARS: dict[str, dict[str, Any]] = {
    "a": {"ansible_host": "10.0.0.1", "public_addresses": ["192.0.2.1", "2001:db8::1"]},
    "b": {"ansible_host": "10.0.0.2", "public_addresses": ["192.0.2.2", "2001:db8::2"]},
    "c": {"ansible_host": "fd00::3", "public_addresses": ["192.0.2.3"]},
    "d": {"ansible_host": "10.0.0.4"},
    "db": {"ansible_host": "10.0.0.9"},
}
PORTS = {"all": ["22/tcp"], "edge": ["80/tcp", "443/tcp"]}
SITE = {"domain": "docs.example.org", "group": "docs", "source": "/built"}
MAIL = {"domain": "mail.example.org", "group": "mail", "entrance": "mail", "port": 8080}


class Place(NamedTuple):
    """The hosts that visitors connect to, and those that have the content."""

    edge: tuple[str, ...]
    docs: tuple[str, ...]


class Case(NamedTuple):
    """A move, and what the description differs in."""

    old: Place
    new: Place
    moved_from: dict[str, list[str]]
    site: Mapping[str, Any] = MappingProxyType({})
    groups: Mapping[str, list[str]] = MappingProxyType({})


CASES = {
    "everything on one host": Case(Place(("a",), ("a",)), Place(("b",), ("b",)), {"group": ["a"], "entrance": ["a"]}),
    "only the host behind the edge": Case(Place(("a",), ("b",)), Place(("a",), ("c",)), {"group": ["b"]}),
    "only the edge": Case(Place(("a",), ("b",)), Place(("c",), ("b",)), {"entrance": ["a"]}),
    "edge and host behind it": Case(Place(("a",), ("b",)), Place(("c",), ("d",)), {"group": ["b"], "entrance": ["a"]}),
    "one host becomes two": Case(Place(("a",), ("a",)), Place(("b",), ("c",)), {"group": ["a"], "entrance": ["a"]}),
    "two hosts become one": Case(Place(("a",), ("b",)), Place(("c",), ("c",)), {"group": ["b"], "entrance": ["a"]}),
    "the content moves to the edge": Case(Place(("a",), ("b",)), Place(("a",), ("a",)), {"group": ["b"]}),
    "the content leaves the edge": Case(Place(("a",), ("a",)), Place(("a",), ("b",)), {"group": ["a"]}),
    "the edge moves to the content": Case(Place(("a",), ("b",)), Place(("b",), ("b",)), {"entrance": ["a"]}),
    "two hosts behind the edge": Case(Place(("a",), ("b", "c")), Place(("a",), ("d",)), {"group": ["b", "c"]}),
    "one of two hosts stays": Case(Place(("a",), ("b", "c")), Place(("a",), ("c", "d")), {"group": ["b"]}),
    "former places are groups": Case(
        Place(("a",), ("a",)),
        Place(("b",), ("b",)),
        {"group": ["old_docs"], "entrance": ["old_edge"]},
        groups={"old_docs": ["a"], "old_edge": ["a"]},
    ),
    "groups of the site's own": Case(
        Place(("a",), ("a",)),
        Place(("b",), ("b",)),
        {"group": ["a"], "entrance": ["a"]},
        {"group": "wiki", "entrance": "gate"},
    ),
    "several names": Case(
        Place(("a",), ("a",)),
        Place(("b",), ("b",)),
        {"group": ["a"], "entrance": ["a"]},
        {"names": ["wiki.example.org"], "aliases": ["www.example.org"]},
    ),
    "wildcard": Case(
        Place(("a",), ("a",)),
        Place(("b",), ("b",)),
        {"group": ["a"], "entrance": ["a"]},
        {"names": ["*.docs.example.org"], "challenge": "dns-01"},
    ),
    "behind Cloudflare": Case(
        Place(("a",), ("a",)), Place(("b",), ("b",)), {"group": ["a"], "entrance": ["a"]}, {"proxied": True}
    ),
    "application": Case(Place(("a",), ("b",)), Place(("a",), ("d",)), {"group": ["b"]}, {"source": None, "port": 3000}),
}
each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def describe(case: Case, place: Place, moved_from: dict[str, list[str]] | None = None) -> topology.Topology:
    """Return the description with the site at a place."""
    site = {**SITE, **case.site, **({"moved_from": moved_from} if moved_from else {})}
    groups = {site["group"]: place.docs, site.get("entrance", "edge"): place.edge, **case.groups}
    ports = {**PORTS, "gate": PORTS["edge"]}
    return topology.Topology({"docs": site}, ports, {**groups, "all": list(HOSTVARS)}, HOSTVARS)


class Hosts:
    """What the hosts have at one moment."""

    def __init__(self, plan: topology.Topology) -> None:
        self.plans = dict.fromkeys(HOSTVARS, plan)
        self.firewalls = dict.fromkeys(HOSTVARS, plan)

    def find_fault(self, edge: str) -> str:
        """Return why a visitor who connects to a host does not get the site."""
        services = topology.host_services(self.plans[edge], edge, "http-01")
        virtual_host = next((one for one in services["nginx_sites"] if one["name"] == "docs"), None)
        if not virtual_host:
            return f"{edge} has no virtual host"
        if not any(rule["port"] == "443" for rule in topology.firewall(self.firewalls[edge], edge)):
            return f"port 443 of {edge} is closed"
        if "root" in virtual_host or virtual_host["upstream"]["servers"] == ["127.0.0.1:3000"]:
            return ""
        servers = [host for host in HOSTVARS if topology.with_port(HOSTVARS[host]["ansible_host"], 8443)
                   in virtual_host["upstream"]["servers"]]  # fmt: skip
        return next((fault for host in servers if (fault := self.find_forwarding_fault(edge, host))), "")

    def find_forwarding_fault(self, edge: str, host: str) -> str:
        """Return why a host does not answer to an edge host."""
        services = topology.host_services(self.plans[host], host, "http-01")
        if not any(one["name"] == "docs.internal" for one in services["nginx_sites"]):
            return f"{host} has no internal virtual host for {edge}"
        address = HOSTVARS[edge]["ansible_host"]
        if address not in services["trusted_proxies"]:
            return f"{host} does not trust {edge}"
        rules = topology.firewall(self.firewalls[host], host)
        if not any(rule["port"] == "8443" and address in rule["from"] for rule in rules):
            return f"{host} is closed to {edge}"
        return ""


def run(hosts: Hosts, plan: topology.Topology, reached: tuple[str, ...]) -> None:
    """Apply a description as site.yml does, in each order of the hosts of a play, and verify each step."""
    hosts.firewalls = dict.fromkeys(HOSTVARS, plan)
    check(hosts, reached, "firewall")
    forwarding = [host for host in HOSTVARS if topology.host_services(plan, host, "http-01")["forwards"]]
    serving = [host for host in HOSTVARS if host not in forwarding]
    before = dict(hosts.plans)
    for order in itertools.product(itertools.permutations(serving), itertools.permutations(forwarding)):
        hosts.plans = dict(before)
        for host in itertools.chain(*order):
            hosts.plans[host] = plan
            check(hosts, reached, host)


def check(hosts: Hosts, reached: tuple[str, ...], step: str) -> None:
    """Verify that visitors get the site at each host that they may reach."""
    assert {edge: fault for edge in reached if (fault := hosts.find_fault(edge))} == {}, step


@each_case
def test_visitors_get_the_site_after_each_step_of_each_run(case: Case) -> None:
    hosts = Hosts(describe(case, case.old))
    check(hosts, case.old.edge, "before")
    during = describe(case, case.new, case.moved_from)
    run(hosts, during, case.old.edge)
    # Resolvers have old and new addresses.
    both = tuple({*case.old.edge, *case.new.edge})
    check(hosts, both, "after the run")
    run(hosts, during, both)
    # The way back, when the move is half done
    back = {key: list(hosts_of) for key, hosts_of in (("group", case.new.docs), ("entrance", case.new.edge))}
    run(hosts, describe(case, case.old, back), both)
    run(hosts, during, both)


@each_case
def test_visitors_get_the_site_while_its_former_place_ends(case: Case) -> None:
    hosts = Hosts(describe(case, case.new, case.moved_from))
    after = describe(case, case.new)
    move = plan_of(describe(case, case.new, case.moved_from))
    assert move["sites_after"] == after.sites
    # The order of move_site.yml: the former hosts, the firewall, the new hosts
    for host in [*move["old_edges"], *move["old_hosts"]]:
        hosts.plans[host] = after
        check(hosts, case.new.edge, host)
    hosts.firewalls = dict.fromkeys(HOSTVARS, after)
    for host in [None, *move["new_hosts"]]:
        hosts.plans |= {host: after} if host else {}
        check(hosts, case.new.edge, str(host))


def plan_of(plan: topology.Topology, found: Any = None, run: tuple[str, ...] = tuple(HOSTVARS)) -> dict[str, Any]:
    return site_moves.plan_move(plan, "docs", found or {}, run)


@each_case
def test_move_has_steps_and_no_problem(case: Case) -> None:
    move = plan_of(describe(case, case.new, case.moved_from))
    assert move["problems"] == []
    assert len(move["steps"]) >= 2
    assert set(move["places"]) == {*case.old.edge, *case.old.docs, *case.new.edge, *case.new.docs}
    assert set(move["old_edges"]) == {*case.old.edge} - {*case.new.edge}


@each_case
def test_new_edge_gets_its_certificate_after_the_former_one_forwards_the_challenges(case: Case) -> None:
    plan = describe(case, case.new, case.moved_from)
    former = [host for host in case.old.edge if host not in case.new.edge]
    for edge in case.new.edge:
        services = topology.host_services(plan, edge, "http-01")
        assert services["certificates_later"] == (["docs"] if former else [])
        for other in former:
            address = topology.with_port(HOSTVARS[edge]["ansible_host"], 80)
            sites = topology.host_services(plan, other, "http-01")["nginx_sites"]
            # Also for the names that only redirect
            assert all(address in one["acme_peers"] for one in sites if one["name"] in ("docs", "docs.aliases"))


def test_former_hosts_of_an_application_keep_their_access_to_its_database() -> None:
    case = CASES["application"]
    wanted = datastores.Description({"docs": {"clients": "docs", "password": "x"}}, {}, {})
    plan = describe(case, case.new, case.moved_from)
    plan = plan._replace(groups={**plan.groups, "database": ["db"]})
    rules = datastores.firewall(plan, "db", wanted)
    assert {tuple(rule["from"]) for rule in rules} == {("10.0.0.2", "10.0.0.4")}
    assert datastores.users(plan, wanted)[0]["addresses"] == ["10.0.0.4/32", "10.0.0.2/32"]
    assert "db" in plan_of(plan)["hosts"]
    assert "Deploy it to d first" in plan_of(plan)["warnings"][0]


ONE = CASES["everything on one host"]
SERVES: dict[str, dict[str, Any]] = {"a": {"virtual_hosts": ["docs"], "files": True}}
NOTHING: dict[str, Any] = {"virtual_hosts": [], "files": False}


@pytest.mark.parametrize(
    ("plan", "found", "problem"),
    [
        (
            describe(ONE, ONE.new),
            {**SERVES, "b": NOTHING},
            "sites.docs: the description does not contain where the site is now; add `moved_from: {group: [a], "
            "entrance: [a]}` to the site",
        ),
        (describe(ONE, ONE.old), SERVES, "no other host serves it; put the new host into group docs, or into edge"),
        (describe(ONE, ONE.old, ONE.moved_from), SERVES, "moved_from: it names only hosts where the site still is"),
        (describe(ONE, Place(("b",), ())), SERVES, "sites.docs.group: no host is in group docs; put the new host"),
        (describe(ONE, Place((), ("b",))), SERVES, "sites.docs.entrance: no host is in group edge"),
        (
            describe(ONE, ONE.new, {"group": ["a"]}),
            SERVES,
            "sites.docs.moved_from: other hosts serve the site too; add them: `moved_from: {entrance: [a]}`",
        ),
        (
            describe(ONE, ONE.new, {"group": ["a"], "entrance": ["aa"]}),
            SERVES,
            "sites.docs.moved_from.entrance: aa is neither a host nor a group of the inventory; did you mean",
        ),
    ],
)
def test_move_that_cannot_be_done_is_refused_with_what_to_write(plan: Any, found: Any, problem: str) -> None:
    move = plan_of(plan, found)
    assert problem in " ".join(move["problems"])
    assert move["steps"] == []


def test_mail_is_refused_with_the_way_that_works() -> None:
    plan = topology.Topology({"docs": MAIL}, {}, {"mail": ["b"]}, HOSTVARS)
    (problem,) = plan_of(plan)["problems"]
    assert "restore_mail.yml" in problem


def test_host_outside_of_the_run_is_refused() -> None:
    (problem,) = plan_of(describe(ONE, ONE.new, ONE.moved_from), SERVES, ("b",))["problems"]
    assert problem == "a: part of the move, but not of this run; remove --limit"


@pytest.mark.parametrize(("moved", "refused"), [({}, True), ({"moved_from": {"entrance": ["a"]}}, False)])
def test_other_site_that_would_end_on_the_former_edge_is_named(moved: dict[str, Any], refused: bool) -> None:
    plan = describe(ONE, ONE.new, ONE.moved_from)
    plan = plan._replace(sites={**plan.sites, "blog": {"domain": "blog.example.org", "group": "docs", **moved}})
    found = {"a": {"virtual_hosts": ["docs", "blog"], "files": True}}
    problems = plan_of(plan, found)["problems"]
    assert any("sites.blog: a serves it now, and by the description no longer" in one for one in problems) is refused


def test_site_whose_files_the_platform_does_not_publish_is_warned_about() -> None:
    case = ONE._replace(site={"source": None})
    assert "copy /srv/sites/docs from a to b first" in plan_of(describe(case, case.new, case.moved_from))["warnings"][0]
