# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Derive the services of one host from the sites and from the groups of the inventory. Pure."""

from __future__ import annotations

import difflib
import ipaddress
import typing as t
from collections.abc import Iterable, Mapping, Sequence

from .domains import DomainError, to_ascii

EDGE = "edge"
# The groups that have a meaning for the playbooks; all other groups of an inventory are a user's own.
FUNCTIONS = ("docs", "edu", "mail", "monitoring", "database", "database_standby", "cache", EDGE)
# How similar a name must be to one of these to be a misspelt one
SIMILAR = 0.75
INTERNAL_PORT = 8443
# Options of a site that apply to the host behind the edge too: a limit there must not be lower than at the edge.
INTERNAL_OPTIONS = ("csp", "headers", "static", "max_body_size", "upstream")
TLS = "/etc/vise/tls"
SITES = "/srv/sites"
# Groups whose hosts are reached by the name of the group.
NAMED = ("database", "database_standby", "cache")

Entry = dict[str, t.Any]
Sites = Mapping[str, Mapping[str, t.Any]]
Groups = Mapping[str, Sequence[str]]
HostVars = Mapping[str, Mapping[str, t.Any]]


class TopologyError(ValueError):
    """The description and the inventory contradict each other; the text names what to change."""


class Topology(t.NamedTuple):
    """The parts of the description and the inventory from which the services of a host follow."""

    sites: Sites
    open_ports: Mapping[str, Sequence[str]]
    groups: Groups
    hostvars: HostVars

    def members(self, group: str) -> Sequence[str]:
        """Return the hosts of a group; empty for a group that is not in the inventory."""
        return self.groups.get(group) or ()

    def addresses(self, host: str, kind: str) -> list[str]:
        """Return the public or internal addresses of a host; its ansible_host when none are set."""
        variables = self.hostvars[host]
        return list(variables.get(f"{kind}_addresses") or [variables.get("ansible_host") or host])

    def internal(self, host: str) -> list[str]:
        """Return the internal addresses of a host; firewall rules and upstreams need IP addresses, not names."""
        found = self.addresses(host, "internal")
        for address in found:
            if not is_address(address):
                raise TopologyError(
                    f"{host}: {address} is not an IP address; write `internal_addresses: [...]` for {host} "
                    "in the inventory"
                )
        return found

    def serving(self, site: Mapping[str, t.Any]) -> Sequence[str]:
        """Return the hosts that have the content of a site."""
        return self.members(site["group"])

    def entrance(self, site: Mapping[str, t.Any]) -> Sequence[str]:
        """Return the hosts that visitors of a site connect to."""
        return self.members(site.get("entrance") or EDGE)

    def former(self, site: Mapping[str, t.Any], key: str) -> list[str]:
        """Return the hosts of the former `group` or `entrance` of a site that is moved; they still do their part."""
        current = self.serving(site) if key == "group" else self.entrance(site)
        places = (site.get("moved_from") or {}).get(key) or ()
        hosts = [host for place in places for host in (self.members(place) or [place])]
        return [host for host in dict.fromkeys(hosts) if host not in current and host in self.hostvars]

    def edges(self, site: Mapping[str, t.Any]) -> list[str]:
        """Return the hosts that visitors of a site connect to, or still may: a resolver keeps old addresses."""
        return [*self.entrance(site), *self.former(site, "entrance")]

    def is_moved(self, site: Mapping[str, t.Any]) -> bool:
        """Return whether a site has a former place that still does its part."""
        return bool(self.former(site, "group") or self.former(site, "entrance"))

    def public(self, site: Mapping[str, t.Any]) -> list[str]:
        """Return the public addresses to which the names of a site resolve."""
        return [address for host in self.entrance(site) for address in self.addresses(host, "public")]

    def reachable(self, site: Mapping[str, t.Any]) -> list[str]:
        """Return the public addresses to which the names of a site may resolve, also during a move."""
        return [address for host in self.edges(site) for address in self.addresses(host, "public")]

    def proxying(self, site: Mapping[str, t.Any]) -> list[str]:
        """Return the hosts that visitors connect to and that forward the requests to another host."""
        return [host for host in self.edges(site) if host not in self.serving(site)]

    def forwarders(self, site: Mapping[str, t.Any], host: str) -> list[str]:
        """Return the edge hosts that forward requests for a site to this host.

        During a move, each edge host may have the former description or the new one.
        """
        if host not in self.serving(site) and host not in self.former(site, "group"):
            return []
        return [edge for edge in self.edges(site) if edge != host] if self.is_moved(site) else self.proxying(site)


def find_misspelt_groups(groups: Iterable[str], own: Sequence[str] = ()) -> dict[str, str]:
    """Return the groups whose names resemble a function, each with that function, except those that a user named."""
    similar = {
        group: next(
            iter(difflib.get_close_matches(group.lower().replace("-", "_"), FUNCTIONS, n=1, cutoff=SIMILAR)), ""
        )
        for group in groups
        if group not in (*FUNCTIONS, *own)
    }
    return {group: function for group, function in similar.items() if function}


def refuse_misspelt_groups(plan: Topology, host: str) -> None:
    """Raise TopologyError for a misspelt group: all that is derived from the right one would be removed."""
    own = plan.hostvars[host].get("preflight_own_groups") or ()
    for group, function in find_misspelt_groups(plan.groups, own).items():
        raise TopologyError(
            f"group {group}: unknown group; did you mean `{function}`? Rename it in the inventory, or, for a group of "
            f"your own, write `preflight_own_groups: [{group}]`"
        )


def refuse_unknown_places(plan: Topology) -> None:
    """Raise TopologyError for a former place that is not in the inventory, and for a move that cannot be done."""
    for name, site in plan.sites.items():
        former = site.get("moved_from") or {}
        for key, place in [(kind, one) for kind in former for one in former[kind]]:
            if place not in plan.groups and place not in plan.hostvars:
                known = sorted(plan.hostvars)
                meant = difflib.get_close_matches(place, known, n=1)
                hint = f"did you mean `{meant[0]}`?" if meant else f"write one of {', '.join(known)}"
                raise TopologyError(
                    f"sites.{name}.moved_from.{key}: {place} is neither a host nor a group of the inventory; {hint}"
                )


def is_address(text: str) -> bool:
    """Return whether a text is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def with_port(address: str, port: int) -> str:
    """Return address:port, an IPv6 address in brackets."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def internal_name(name: str) -> str:
    """Return the name in the internal certificate of every host that serves a site."""
    return f"{name}.internal"


def names(site: Mapping[str, t.Any]) -> list[str]:
    """Return the names of a site, without those that are redirected."""
    return [convert(name) for name in (site["domain"], *(site.get("names") or ()))]


def aliases(site: Mapping[str, t.Any]) -> list[str]:
    """Return the names that are redirected to the domain of a site."""
    return [convert(name) for name in site.get("aliases") or ()]


def convert(name: str) -> str:
    """Return a name in ASCII, as the DNS, certificates and nginx need it."""
    try:
        return to_ascii(name)
    except DomainError as error:
        raise TopologyError(f"sites: {name}: {error}") from error


def certificate(name: str) -> dict[str, str]:
    """Return the paths of a certificate and its key, as the role certificates writes them."""
    return {"certificate": f"{TLS}/{name}/fullchain.pem", "key": f"{TLS}/{name}/privkey.pem"}


def merged(entry: Mapping[str, t.Any], extra: Mapping[str, t.Any]) -> Entry:
    """Return the entry with the extra options; mappings are merged."""
    joined = {
        key: {**value, **entry[key]} if isinstance(value, Mapping) and isinstance(entry.get(key), Mapping) else value
        for key, value in extra.items()
    }
    return {**entry, **joined}


def content(name: str, site: Mapping[str, t.Any]) -> Entry:
    """Return the part of a virtual host that serves a site on this host: its files, or the program on its port."""
    if site.get("port"):
        return {"upstream": {"servers": [with_port("127.0.0.1", site["port"])]}}
    return {"root": f"{SITES}/{name}/current", "static": {"previous": f"{SITES}/{name}/previous"}}


def upstream(plan: Topology, name: str, site: Mapping[str, t.Any]) -> Entry:
    """Return the part of a virtual host that forwards requests to the hosts of the site's group."""
    servers = [with_port(plan.internal(host)[0], INTERNAL_PORT) for host in plan.serving(site)]
    if not servers:
        raise TopologyError(
            f"sites.{name}: no host is in group {site['group']}; put one into that group of the inventory"
        )
    ca, server_name = f"{TLS}/internal/ca.pem", internal_name(name)
    return {"upstream": {"servers": servers, "tls": True, "ca": ca, "server_name": server_name}}


def without_unused_upstream(described: Mapping[str, t.Any], options: Mapping[str, t.Any]) -> Mapping[str, t.Any]:
    """Return the options of a virtual host; those of its upstream apply only where it forwards requests."""
    return {key: value for key, value in options.items() if key != "upstream" or key in described}


def challenge_peers(plan: Topology, host: str, site: Mapping[str, t.Any]) -> Entry:
    """Return the other edge hosts of a site that is moved: an authority may request a proof at any address."""
    peers = [other for other in plan.edges(site) if other != host] if plan.former(site, "entrance") else []
    return {"acme_peers": [with_port(plan.internal(other)[0], 80) for other in peers]} if peers else {}


def edge_sites(plan: Topology, host: str) -> t.Iterator[Entry]:
    """Yield the virtual hosts that visitors connect to."""
    for name, site in plan.sites.items():
        if host not in plan.edges(site):
            continue
        local = host in plan.serving(site)
        base = {"name": name, "domains": names(site), "tls": certificate(name), **challenge_peers(plan, host, site)}
        options = dict(site.get("nginx") or {})
        if not local:
            # The pages are located on the serving host; the edge only needs the patterns of immutable files.
            options["static"] = {
                key: value for key, value in (options.get("static") or {}).items() if key == "immutable"
            }
        described = content(name, site) if local else upstream(plan, name, site)
        yield merged({**base, **described}, without_unused_upstream(described, options))
        if site.get("aliases"):
            target = f"https://{names(site)[0]}"
            yield {**base, "name": f"{name}.aliases", "domains": aliases(site), "redirect_to": target}


def internal_sites(plan: Topology, host: str) -> t.Iterator[Entry]:
    """Yield the virtual hosts for the edge, where an edge host forwards requests to this host."""
    for name, site in plan.sites.items():
        if plan.forwarders(site, host):
            base = {
                "name": f"{name}.internal",
                "domains": [*names(site), internal_name(name)],
                "tls": certificate("internal"),
                "listen": {"port": INTERNAL_PORT},
            }
            options = {key: value for key, value in (site.get("nginx") or {}).items() if key in INTERNAL_OPTIONS}
            described = content(name, site)
            yield merged({**base, **described}, without_unused_upstream(described, options))


def nginx_sites(plan: Topology, host: str) -> list[Entry]:
    """Return every virtual host of a host."""
    return [*edge_sites(plan, host), *internal_sites(plan, host)]


def certificates(plan: Topology, host: str, challenge: str) -> list[Entry]:
    """Return the certificates that a host needs from a public authority."""
    return [
        {
            "name": name,
            "domains": [*names(site), *aliases(site)],
            "challenge": site.get("challenge") or challenge,
        }
        for name, site in plan.sites.items()
        if host in plan.edges(site)
    ]


def later_certificates(plan: Topology, host: str) -> list[str]:
    """Return the certificates that a host can get only when the former edge hosts forward the proofs to it."""
    return [name for name, site in plan.sites.items() if host in plan.entrance(site) and plan.former(site, "entrance")]


def new_places(plan: Topology, host: str) -> list[Entry]:
    """Return the URL and the addresses at which hosts must serve a moved site before this host forwards to them."""
    return [
        {
            "url": f"https://{with_port(internal_name(name), INTERNAL_PORT)}/",
            "addresses": [plan.internal(other)[0] for other in plan.serving(site)],
            # An application may answer its first page with a redirection or demand a login.
            "status": 0 if site.get("port") else 200,
        }
        for name, site in plan.sites.items()
        if site.get("moved_from") and host in plan.proxying(site)
    ]


def proxies(plan: Topology, host: str) -> list[str]:
    """Return the edge hosts that forward requests to this host."""
    found = {edge for site in plan.sites.values() for edge in plan.forwarders(site, host)}
    return sorted(found)


def firewall(plan: Topology, host: str) -> list[Entry]:
    """Return the open ports of a host with the addresses that may connect."""
    left = {site.get("entrance") or EDGE for site in plan.sites.values() if host in plan.former(site, "entrance")}
    groups = [group for group in plan.open_ports if group == "all" or group in left or host in plan.members(group)]
    ports = dict.fromkeys((port, group) for group in groups for port in plan.open_ports[group])
    seen: dict[str, Entry] = {}
    for port, group in ports:
        number, _slash, proto = str(port).partition("/")
        seen.setdefault(str(port), {"port": number, "proto": proto or "tcp", "comment": group})
    edges = proxies(plan, host)
    if edges:
        sources = [address for edge in edges for address in plan.internal(edge)]
        seen["internal"] = {
            "port": str(INTERNAL_PORT),
            "proto": "tcp",
            "from": sources,
            "comment": "sites for the edge",
        }
    return list(seen.values())


def own_url(plan: Topology, host: str, site: Mapping[str, t.Any]) -> str:
    """Return the URL at which a host can request a site from itself; empty where an origin lock refuses it."""
    if (site.get("nginx") or {}).get("origin_lock", "none") != "none":
        return ""
    if host in plan.entrance(site):
        return f"https://{names(site)[0]}/"
    return f"https://{names(site)[0]}:{INTERNAL_PORT}/" if plan.proxying(site) else ""


def static_sites(plan: Topology, host: str) -> list[Entry]:
    """Return the built sites whose files are located on a host."""
    return [
        {
            "name": name,
            "url": own_url(plan, host, site),
            **{key: site[key] for key in ("source", "release") if site.get(key)},
        }
        for name, site in plan.sites.items()
        if host in plan.serving(site) and (site.get("source") or site.get("release"))
    ]


def host_services(plan: Topology, host: str, challenge: str) -> Entry:
    """Return everything that one host needs to serve the sites."""
    refuse_misspelt_groups(plan, host)
    refuse_unknown_places(plan)
    edges = proxies(plan, host)
    served = [
        name for name, site in plan.sites.items() if host in plan.serving(site) or host in plan.former(site, "group")
    ]
    named = [group for group in NAMED if host in plan.members(group)]
    entered = [site for site in plan.sites.values() if host in plan.edges(site)]
    return {
        "nginx_sites": nginx_sites(plan, host),
        "certificates_wanted": certificates(plan, host, challenge),
        "certificates_later": later_certificates(plan, host),
        "firewall_allow": firewall(plan, host),
        "static_sites": static_sites(plan, host),
        "internal_names": [host, *plan.addresses(host, "internal"), *map(internal_name, [*served, *named])],
        "new_places": new_places(plan, host),
        "forwards": any(host in plan.proxying(site) for site in plan.sites.values()),
        "cloudflare": any(site.get("proxied") for site in entered),
        "trusted_proxies": [address for edge in edges for address in plan.internal(edge)],
        "public_urls": [f"https://{names(site)[0]}/" for site in entered],
        "public_addresses": plan.addresses(host, "public") if entered else [],
    }
