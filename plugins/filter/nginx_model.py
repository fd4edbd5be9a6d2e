# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Validate the description of nginx's sites and fill in its defaults."""

from __future__ import annotations

import ipaddress
import re
import typing as t

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: nginx_model
short_description: Validate the description of nginx's sites and fill in its defaults
version_added: 0.1.0
description:
  - Fills in the defaults of each site, and derives the sockets that nginx needs for all sites together.
  - An invalid or contradictory description is an error, which lists all problems at once.
options:
  _input:
    description: The sites, in the format of O(vise.platform.nginx#role:main:nginx_sites).
    type: list
    elements: dict
    required: true
  headers:
    description: Response headers of all sites. A site may override them.
    type: dict
    default: {}
  rate_limits:
    description: The rate limits that sites may refer to.
    type: list
    elements: dict
    default: []
  cloudflare:
    description: Whether nginx knows the address ranges of Cloudflare.
    type: bool
    default: false
  ipv6:
    description: Whether nginx also listens on IPv6.
    type: bool
    default: true
  origin_pull_ca:
    description: CA certificates of authenticated origin pulls in PEM format.
    type: str
    default: ""
author:
  - vise.platform contributors (@vise-platform)
"""

EXAMPLES = r"""
- name: Show the addresses that nginx would listen on
  ansible.builtin.debug:
    msg: "{{ (nginx_sites | vise.platform.nginx_model).listeners }}"
"""

RETURN = r"""
_value:
  description:
    - C(sites) are the sites with all defaults filled in.
    - C(listeners) are the TLS sockets, each once, with the TLS versions that any of its sites allows.
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
UPSTREAM: Site = {
    "tls": False,
    "ca": "",
    "server_name": "",
    "keepalive": 32,
    "websocket": True,
    "timeouts": {},
    "buffers": {},
}
BUFFERS: Site = {"header": "8k", "number": 8, "size": "8k"}
TIMEOUTS = {"connect": 5, "read": 60, "send": 60}
STATIC: Site = {"immutable": [], "previous": "", "fallback": "", "not_found": "/404.html"}
LISTEN: Site = {"address": "", "port": 443}
RESTRICTED: Site = {"paths": [], "headers": [], "allow": []}
RATE_LIMIT: Site = {"burst": 0, "delay": False}

HEADER = re.compile(r"[A-Za-z0-9-]+")
SIZE = re.compile(r"[1-9][0-9]*[km]?")
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
    """Return the complete sites and the sockets that they need; raises AnsibleFilterError with all problems."""
    _reject_control_characters([[_remove_line_breaks_of_texts(site) for site in sites], headers])
    complete = [_complete_site(site, headers or {}, ipv6) for site in sites]
    zones = {zone["name"] for zone in rate_limits or []}
    problems = [text for site in complete for text in _find_problems(site, zones, cloudflare, bool(origin_pull_ca))]
    problems += _find_duplicates(complete)
    if problems:
        raise AnsibleFilterError("nginx_sites: " + "; ".join(problems))
    listeners = _collect_listeners(complete, ipv6)
    allowed = {listener["socket"]: listener["versions"] for listener in listeners}
    for site in complete:
        # nginx selects the TLS version of a handshake for the socket, before it knows the site.
        site["refused_versions"] = [
            v for v in allowed[site["listen"]["sockets"][0]] if v not in site["tls"]["versions"]
        ]
    return {"sites": complete, "listeners": listeners}


def quote(value: str) -> str:
    """Quote a text for nginx's configuration."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _complete_site(given: Site, headers: dict[str, str], ipv6: bool) -> Site:
    site = {**SITE, **given}
    site["internal"] = bool(site["listen"])
    site["listen"] = _add_sockets({**LISTEN, **site["listen"]}, ipv6)
    site["static"] = {**STATIC, **site["static"]}
    site["texts"] = {path: quote(text).replace("\n", "\\n") for path, text in site["texts"].items()}
    site["restricted"] = {**RESTRICTED, **site["restricted"]}
    site["tls"] = {"versions": ["TLSv1.3"], **site["tls"]}
    site["rate_limits"] = [{**RATE_LIMIT, **limit} for limit in site["rate_limits"]]
    policy = {} if site["csp"] is None else {"Content-Security-Policy": site["csp"]}
    merged = {**headers, **policy, **site["headers"]}
    site["headers"] = {name: quote(value) for name, value in merged.items() if value}
    if site["upstream"]:
        site["upstream"] = {**UPSTREAM, "server_name": "".join(site["domains"][:1]), **site["upstream"]}
        site["upstream"]["timeouts"] = {**TIMEOUTS, **site["upstream"]["timeouts"]}
        site["upstream"]["buffers"] = site["upstream"]["buffers"] and {**BUFFERS, **site["upstream"]["buffers"]}
    return site


def _add_sockets(listen: Site, ipv6: bool) -> Site:
    address, port = listen["address"], listen["port"]
    if address:
        sockets = [f"[{address}]:{port}" if ":" in address else f"{address}:{port}"]
    else:
        sockets = [str(port), f"[::]:{port}"] if ipv6 else [str(port)]
    return {**listen, "sockets": sockets}


def _find_problems(site: Site, zones: set[str], cloudflare: bool, origin_pull_ca: bool) -> t.Iterator[str]:
    name = site["name"]
    if not NAME.fullmatch(name):
        yield f"{name!r} is not a valid site name: use lower-case letters, digits, - and _"
    if sum(bool(site[kind]) for kind in ("root", "upstream", "redirect_to")) != 1:
        yield f"{name} needs exactly one of root, upstream and redirect_to"
    if not site["domains"]:
        yield f"{name} has no domains"
    yield from (f"{name}: {d!r} is not a valid domain name" for d in site["domains"] if not DOMAIN.fullmatch(d))
    if site["redirect_to"] and not re.fullmatch(r"https?://[^\s/]+", site["redirect_to"]):
        yield f"{name}: redirect_to must be a URL without a path, for example https://docs.example.org"
    for limit in site["rate_limits"]:
        if limit["zone"] not in zones:
            yield f"{name} uses the rate limit {limit['zone']!r}, which is not defined in nginx_rate_limits"
    yield from (
        f"{name}: restricted.allow: {text!r} is not an IP address or network"
        for text in _invalid_networks(site["restricted"]["allow"])
    )
    yield from (
        f"{name}: restricted.headers: {text!r} is not the name of a header: use letters, digits and -"
        for text in site["restricted"]["headers"]
        if not HEADER.fullmatch(text)
    )
    yield from (
        f"{name}: upstream.buffers.{key}: {text!r} is not a size such as 128k"
        for key, text in site["upstream"].get("buffers", {}).items()
        if key != "number" and not SIZE.fullmatch(text)
    )
    yield from (f"{name}: texts: path {path!r} must begin with /" for path in site["texts"] if path[:1] != "/")
    yield from (f"{name}: the text of {path} must not contain $" for path, text in site["texts"].items() if "$" in text)
    if site["origin_lock"] == "cloudflare" and not cloudflare:
        yield f"{name}: origin_lock cloudflare needs nginx_cloudflare: true"
    if site["origin_lock"] == "authenticated_origin_pulls" and not origin_pull_ca:
        yield f"{name}: origin_lock authenticated_origin_pulls needs the CA in nginx_origin_pull_ca"
    yield from (f"{name}: {text!r} must not contain a quotation mark" for text in _quoted_texts(site) if '"' in text)
    if site["upstream"].get("tls") and not site["upstream"]["ca"]:
        yield f"{name}: an upstream with tls needs ca, the CA that verifies its certificate"


def _quoted_texts(site: Site) -> t.Iterator[str]:
    # The template writes these texts in quotation marks; headers are quoted by quote().
    yield from (site["root"], site["tls"]["certificate"], site["tls"]["key"], site["upstream"].get("ca", ""))
    yield from (site["static"]["previous"], site["static"]["not_found"], *site["static"]["immutable"])
    yield from (*site["restricted"]["paths"], *site["texts"])


def _invalid_networks(texts: list[str]) -> t.Iterator[str]:
    for text in texts:
        try:
            ipaddress.ip_network(text)
        except ValueError:
            yield text


def _reject_control_characters(value: t.Any) -> None:
    # A line break would end a directive or a log line and begin a new one.
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list):
        for part in value:
            _reject_control_characters(part)
    elif isinstance(value, str) and any(ord(character) < 32 for character in value):
        raise AnsibleFilterError(f"nginx_sites: {value!r} contains a line break or another control character")


def _remove_line_breaks_of_texts(site: Site) -> Site:
    # Only texts may contain line breaks: they are written as \n.
    return {**site, "texts": {path: text.replace("\n", "") for path, text in (site.get("texts") or {}).items()}}


def _find_duplicates(sites: list[Site]) -> t.Iterator[str]:
    names = [site["name"] for site in sites]
    yield from (f"{name} is listed more than once" for name in sorted({n for n in names if names.count(n) > 1}))
    owners: dict[tuple[str, str], str] = {}
    for site in sites:
        for domain in site["domains"]:
            first = owners.setdefault((site["listen"]["sockets"][0], domain), site["name"])
            # nginx itself only warns and serves the first site.
            if first != site["name"]:
                yield f"{domain} belongs to both {first} and {site['name']}"


def _collect_listeners(sites: list[Site], ipv6: bool) -> list[dict[str, t.Any]]:
    # The public sockets exist even without a site, so that nginx always rejects unknown names.
    public = _add_sockets(LISTEN, ipv6)["sockets"]
    entries = {socket: {"socket": socket, "public": True, "versions": {"TLSv1.3"}, "tls": None} for socket in public}
    for site in sites:
        for socket in site["listen"]["sockets"]:
            entry = entries.setdefault(
                socket, {"socket": socket, "public": False, "versions": set(), "tls": site["tls"]}
            )
            entry["versions"] |= set(site["tls"]["versions"])
    return [{**entry, "versions": sorted(entry["versions"])} for entry in entries.values()]


class FilterModule:
    """Registers the filter of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filters by name."""
        return {"nginx_model": nginx_model}
