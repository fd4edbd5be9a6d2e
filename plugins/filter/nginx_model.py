# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Complete the description of nginx's sites, and refuse one that cannot mean anything."""

from __future__ import annotations

import ipaddress
import re
import typing as t

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: nginx_model
short_description: Complete the description of nginx's sites
version_added: 0.1.0
description:
  - Fills in what a site leaves out and derives what nginx needs to know about all sites together.
  - A description that contradicts itself is an error, so that nothing is rendered from it.
options:
  _input:
    description: The sites, as O(vise.platform.nginx#role:main:nginx_sites).
    type: list
    elements: dict
    required: true
  headers:
    description: Response headers of each site, unless it gives its own.
    type: dict
    default: {}
  rate_limits:
    description: The rate limits that sites may name.
    type: list
    elements: dict
    default: []
  cloudflare:
    description: Whether the ranges of Cloudflare are known to nginx.
    type: bool
    default: false
  ipv6:
    description: Whether nginx listens on IPv6 too.
    type: bool
    default: true
  origin_pull_ca:
    description: The certificates that sign authenticated origin pulls, PEM.
    type: str
    default: ""
author:
  - vise.platform contributors (@vise-platform)
"""

EXAMPLES = r"""
- name: Show on which addresses nginx would listen
  ansible.builtin.debug:
    msg: "{{ (nginx_sites | vise.platform.nginx_model).listeners }}"
"""

RETURN = r"""
_value:
  description:
    - C(sites) are the sites with every key filled in.
    - C(listeners) are the sockets for TLS, each once, with the protocol versions that its sites together admit.
  type: dict
"""

Site = dict[str, t.Any]

SITE: Site = {
    "root": "",
    "upstream": {},
    "redirect_to": "",
    "listen": {},
    "headers": {},
    "csp": None,
    "http3": True,
    "origin_lock": "none",
    "restricted": {},
    "texts": {},
    "rate_limits": [],
    "max_body_size": "1m",
    "static": {},
}
UPSTREAM: Site = {"tls": False, "ca": "", "server_name": "", "keepalive": 32, "websocket": True, "timeouts": {}}
TIMEOUTS = {"connect": 5, "read": 60, "send": 60}
STATIC: Site = {"immutable": [], "previous": "", "fallback": "", "not_found": "/404.html"}
LISTEN: Site = {"address": "", "port": 443}
RESTRICTED: Site = {"paths": [], "allow": []}
RATE_LIMIT: Site = {"burst": 0, "delay": False}

NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
LABEL = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"
DOMAIN = re.compile(rf"(\*\.)?({LABEL}\.)*{LABEL}")


def nginx_model(
    sites: list[Site],
    headers: dict[str, str] | None = None,
    rate_limits: list[Site] | None = None,
    cloudflare: bool = False,
    ipv6: bool = True,
    origin_pull_ca: str = "",
) -> dict[str, t.Any]:
    """Return complete sites and the sockets that they need."""
    _refuse_control_characters([[_without_line_ends(site) for site in sites], headers])
    complete = [_site(site, headers or {}, ipv6) for site in sites]
    zones = {zone["name"] for zone in rate_limits or []}
    complaints = [text for site in complete for text in _complaints(site, zones, cloudflare, bool(origin_pull_ca))]
    complaints += _doubles(complete)
    if complaints:
        raise AnsibleFilterError("nginx_sites: " + "; ".join(complaints))
    listeners = _listeners(complete, ipv6)
    admitted = {listener["socket"]: listener["versions"] for listener in listeners}
    for site in complete:
        # Which versions a handshake may use is decided before nginx knows for which of the sites it is.
        site["refused_versions"] = [
            v for v in admitted[site["listen"]["sockets"][0]] if v not in site["tls"]["versions"]
        ]
    return {"sites": complete, "listeners": listeners}


def quoted(value: str) -> str:
    """Return a text as nginx reads it from a configuration file."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _site(given: Site, headers: dict[str, str], ipv6: bool) -> Site:
    site = {**SITE, **given}
    site["internal"] = bool(site["listen"])
    site["listen"] = _listen({**LISTEN, **site["listen"]}, ipv6)
    site["static"] = {**STATIC, **site["static"]}
    site["texts"] = {path: quoted(text).replace("\n", "\\n") for path, text in site["texts"].items()}
    site["restricted"] = {**RESTRICTED, **site["restricted"]}
    site["tls"] = {"versions": ["TLSv1.3"], **site["tls"]}
    site["rate_limits"] = [{**RATE_LIMIT, **limit} for limit in site["rate_limits"]]
    policy = {} if site["csp"] is None else {"Content-Security-Policy": site["csp"]}
    merged = {**headers, **policy, **site["headers"]}
    site["headers"] = {name: quoted(value) for name, value in merged.items() if value}
    if site["upstream"]:
        site["upstream"] = {**UPSTREAM, "server_name": "".join(site["domains"][:1]), **site["upstream"]}
        site["upstream"]["timeouts"] = {**TIMEOUTS, **site["upstream"]["timeouts"]}
    return site


def _listen(listen: Site, ipv6: bool) -> Site:
    address, port = listen["address"], listen["port"]
    if address:
        sockets = [f"[{address}]:{port}" if ":" in address else f"{address}:{port}"]
    else:
        sockets = [str(port), f"[::]:{port}"] if ipv6 else [str(port)]
    return {**listen, "sockets": sockets}


def _complaints(site: Site, zones: set[str], cloudflare: bool, origin_pull_ca: bool) -> t.Iterator[str]:
    name = site["name"]
    if not NAME.fullmatch(name):
        yield f"{name!r} is no name for a site: use small letters, digits, - and _"
    if sum(bool(site[kind]) for kind in ("root", "upstream", "redirect_to")) != 1:
        yield f"{name} needs exactly one of root, upstream and redirect_to"
    if not site["domains"]:
        yield f"{name} has no domains"
    yield from (f"{name}: {d!r} is no domain name" for d in site["domains"] if not DOMAIN.fullmatch(d))
    if site["redirect_to"] and not re.fullmatch(r"https?://[^\s/]+", site["redirect_to"]):
        yield f"{name}: redirect_to is an address without a path, as in https://docs.example.org"
    for limit in site["rate_limits"]:
        if limit["zone"] not in zones:
            yield f"{name} names the rate limit {limit['zone']!r}, which nginx_rate_limits does not have"
    yield from (
        f"{name}: restricted.allow: {a!r} is no IP address or range" for a in _no_ranges(site["restricted"]["allow"])
    )
    yield from (f"{name}: texts: {path!r} is no path" for path in site["texts"] if not path.startswith("/"))
    yield from (f"{name}: the text of {path} holds a $" for path, text in site["texts"].items() if "$" in text)
    if site["origin_lock"] == "cloudflare" and not cloudflare:
        yield f"{name} is locked to Cloudflare, so nginx_cloudflare must be true"
    if site["origin_lock"] == "authenticated_origin_pulls" and not origin_pull_ca:
        yield f"{name} asks for authenticated origin pulls, so nginx_origin_pull_ca must hold their CA"
    yield from (f"{name}: {text!r} holds a quotation mark" for text in _texts(site) if '"' in text)
    if site["upstream"].get("tls") and not site["upstream"]["ca"]:
        yield f"{name}: an upstream with tls needs the ca that its certificate is checked against"


def _texts(site: Site) -> t.Iterator[str]:
    # What stands in quotation marks in the configuration; headers are quoted for themselves.
    yield from (site["root"], site["tls"]["certificate"], site["tls"]["key"], site["upstream"].get("ca", ""))
    yield from (site["static"]["previous"], site["static"]["not_found"], *site["static"]["immutable"])
    yield from (*site["restricted"]["paths"], *site["texts"])


def _no_ranges(texts: list[str]) -> t.Iterator[str]:
    for text in texts:
        try:
            ipaddress.ip_network(text)
        except ValueError:
            yield text


def _refuse_control_characters(value: t.Any) -> None:
    # A line break would end a directive or a log line, and begin another.
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list):
        for part in value:
            _refuse_control_characters(part)
    elif isinstance(value, str) and any(ord(character) < 32 for character in value):
        raise AnsibleFilterError(f"nginx_sites: {value!r} holds a line break or another control character")


def _without_line_ends(site: Site) -> Site:
    # Texts are the one place for them: they are written as nginx's \n.
    return {**site, "texts": {path: text.replace("\n", "") for path, text in (site.get("texts") or {}).items()}}


def _doubles(sites: list[Site]) -> t.Iterator[str]:
    names = [site["name"] for site in sites]
    yield from (f"{name} is described more than once" for name in sorted({n for n in names if names.count(n) > 1}))
    owners: dict[tuple[str, str], str] = {}
    for site in sites:
        for domain in site["domains"]:
            first = owners.setdefault((site["listen"]["sockets"][0], domain), site["name"])
            # nginx itself only warns, and serves the first.
            if first != site["name"]:
                yield f"{domain} belongs to both {first} and {site['name']}"


def _listeners(sites: list[Site], ipv6: bool) -> list[dict[str, t.Any]]:
    # The public sockets are there even without a site, so that unknown names are cut from the first day on.
    public = _listen(LISTEN, ipv6)["sockets"]
    found = {socket: {"socket": socket, "public": True, "versions": {"TLSv1.3"}, "tls": None} for socket in public}
    for site in sites:
        for socket in site["listen"]["sockets"]:
            entry = found.setdefault(socket, {"socket": socket, "public": False, "versions": set(), "tls": site["tls"]})
            entry["versions"] |= set(site["tls"]["versions"])
    return [{**entry, "versions": sorted(entry["versions"])} for entry in found.values()]


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filters by name."""
        return {"nginx_model": nginx_model}
