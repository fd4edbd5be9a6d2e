# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Validate the description of nginx's sites and fill in its defaults."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.vise.platform.plugins.module_utils.model import names
from ansible_collections.vise.platform.plugins.module_utils.model.domains import DomainError, to_ascii

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
  real_ip_header:
    description: Header with the client's address.
    type: str
    default: CF-Connecting-IP
  unreachable:
    description: Names of sites that need not answer to the controller.
    type: list
    elements: str
    default: []
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
    - C(request_headers) are the headers that nginx sends to upstreams, each name once.
    - C(names) is the number of server names, and C(probes) lists them with their sockets and certificates.
    - C(visited) are the server names with their ports that a change must keep reachable for the controller.
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
    "acme_peers": [],
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
# The size of the other buffers is that of the header.
BUFFERS: Site = {"header": "32k", "number": 8}
TIMEOUTS = {"connect": 5, "read": 60, "send": 60}
STATIC: Site = {"immutable": [], "previous": "", "fallback": "", "not_found": "/404.html"}
LISTEN: Site = {"address": "", "port": 443}
RESTRICTED: Site = {"paths": [], "headers": [], "allow": []}
RATE_LIMIT: Site = {"burst": 0, "delay": False}

# Headers to upstreams; clients cannot forge them.
REQUEST_HEADERS = {
    "Host": "$host",
    "X-Real-IP": "$remote_addr",
    "X-Forwarded-For": "$remote_addr",
    "X-Forwarded-Host": "$host",
    "X-Forwarded-Proto": "$scheme",
    "X-Request-ID": "$request_id",
}
# Headers that nginx sets by itself; a second line with another value would contradict it.
OWN_RESPONSE_HEADERS = (
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "etag",
    "keep-alive",
    "last-modified",
    "location",
    "server",
    "transfer-encoding",
)
# nginx reads a configuration in blocks of this size; a longer text is a syntax error.
LONGEST_TEXT = 4000

# The playbooks name their own sites <name>.aliases and <name>.internal; the name of a described site has no dot.
TOKEN = re.compile(r"[A-Za-z0-9!#%&'*+.^_|~-]+")
HEADER = re.compile(r"[A-Za-z0-9-]+")
SIZE = re.compile(r"[0-9]+[kKmMgG]?")
BUFFER = re.compile(r"[1-9][0-9]*[kKmM]")
RATE = re.compile(r"[1-9][0-9]*r/[sm]")
SERVER = re.compile(r"(unix:/[^\s;{}\"':]+|(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?)( [a-z_]+(=[0-9a-z]+)?)*")
LABEL = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"
DOMAIN = re.compile(rf"(\*\.)?({LABEL}\.)*{LABEL}")


def nginx_model(
    sites: list[Site],
    headers: dict[str, str] | None = None,
    rate_limits: list[Site] | None = None,
    cloudflare: bool = False,
    ipv6: bool = True,
    origin_pull_ca: str = "",
    real_ip_header: str = "CF-Connecting-IP",
    unreachable: t.Sequence[str] = (),
) -> dict[str, t.Any]:
    """Return the complete sites and the sockets that they need; raises AnsibleFilterError with all problems."""
    _reject_control_characters([[_remove_line_breaks_of_texts(site) for site in sites], headers])
    complete = [_complete_site(site, headers or {}, ipv6) for site in sites]
    zones = {str(zone["name"]) for zone in rate_limits or []}
    problems = [text for site in complete for text in _find_problems(site, zones, cloudflare, bool(origin_pull_ca))]
    problems += _find_duplicates(complete)
    others = [*_find_limit_problems(rate_limits or []), *_find_header_problem(real_ip_header)]
    others += _find_unreachable_problems(unreachable, complete)
    if problems or others:
        raise AnsibleFilterError(
            "; ".join([*filter(None, ["nginx_sites: " * bool(problems) + "; ".join(problems)]), *others])
        )
    listeners = _collect_listeners(complete, ipv6)
    allowed = {listener["socket"]: listener["versions"] for listener in listeners}
    for site in complete:
        # nginx selects the TLS version of a handshake for the socket, before it knows the site.
        site["refused_versions"] = [
            v for v in allowed[site["listen"]["sockets"][0]] if v not in site["tls"]["versions"]
        ]
    return {
        "sites": complete,
        "listeners": listeners,
        "request_headers": merge_headers(REQUEST_HEADERS, {real_ip_header: "$remote_addr"}),
        "names": sum(len(site["domains"]) for site in complete),
        "probes": [probe for site in complete for probe in _list_probes(site)],
        "visited": [
            {"domain": domain, "port": site["listen"]["port"], "locked": site["origin_lock"] != "none"}
            for site in complete
            if _strip_kind(site["name"]) not in unreachable
            for domain in site["domains"]
        ],
    }


def _list_probes(site: Site) -> t.Iterator[dict[str, t.Any]]:
    for domain in site["domains"]:
        yield {
            "name": site["name"],
            "domain": domain,
            "address": site["listen"]["address"],
            "port": site["listen"]["port"],
            "certificate": site["tls"]["certificate"],
        }


def _strip_kind(name: str) -> str:
    """Return the name in the description of a site that the playbooks named."""
    return name.partition(".")[0]


def _find_unreachable_problems(unreachable: t.Sequence[str], sites: list[Site]) -> t.Iterator[str]:
    known = list(dict.fromkeys(_strip_kind(site["name"]) for site in sites))
    for name in unreachable:
        if name not in known:
            yield f"nginx_unreachable_sites: {name!r} is not the name of a site of this host ({', '.join(known)})"


def merge_headers(*parts: t.Mapping[str, str]) -> dict[str, str]:
    """Return headers, each name once, whatever its case; a later part overrides an earlier one."""
    merged = {name.lower(): (name, value) for part in parts for name, value in part.items()}
    return dict(merged.values())


def make_identifier(name: str) -> str:
    """Return a site's name in the characters of nginx's variables; different names remain different."""
    return name.translate({ord("_"): "_u", ord("-"): "_d", ord("."): "_p"})


def quote(value: str) -> str:
    """Quote a text for nginx's configuration."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _complete_site(given: Site, headers: dict[str, str], ipv6: bool) -> Site:
    site = {**SITE, **given}
    site["id"] = make_identifier(site["name"])
    site["domains"] = list(dict.fromkeys(map(_convert_domain, site["domains"])))
    site["internal"] = bool(site["listen"])
    site["listen"] = _add_sockets({**LISTEN, **site["listen"]}, ipv6)
    site["static"] = {**STATIC, **site["static"]}
    # nginx refuses the same location twice.
    site["static"]["immutable"] = list(dict.fromkeys(site["static"]["immutable"]))
    site["texts"] = {path: quote(text).replace("\n", "\\n") for path, text in site["texts"].items()}
    site["restricted"] = {**RESTRICTED, **site["restricted"]}
    site["tls"] = {"versions": ["TLSv1.3"], **site["tls"]}
    site["rate_limits"] = [{**RATE_LIMIT, **limit} for limit in site["rate_limits"]]
    policy = {} if site["csp"] is None else {"Content-Security-Policy": site["csp"]}
    merged = merge_headers(headers, policy, site["headers"])
    site["headers"] = {name: quote(value) for name, value in merged.items() if value}
    # A header of the description replaces the line that the template writes by itself.
    described = {name.lower() for name in merged}
    site["sets_cache_control"] = "cache-control" not in described
    site["sets_alt_svc"] = site["http3"] and not site["internal"] and "alt-svc" not in described
    if site["upstream"]:
        site["upstream"] = {**UPSTREAM, "server_name": "".join(site["domains"][:1]), **site["upstream"]}
        site["upstream"]["timeouts"] = {**TIMEOUTS, **site["upstream"]["timeouts"]}
        buffers = {**BUFFERS, **site["upstream"]["buffers"]}
        site["upstream"]["buffers"] = {"size": buffers["header"], **buffers}
    return site


def _convert_domain(domain: str) -> str:
    # An impossible domain stays as it is, and is reported as one that is not valid.
    try:
        return to_ascii(domain)
    except DomainError:
        return domain


def _add_sockets(listen: Site, ipv6: bool) -> Site:
    address, port = listen["address"], listen["port"]
    with contextlib.suppress(ValueError):
        address = str(ipaddress.ip_address(address))
    if address == "0.0.0.0":  # noqa: S104  # it is compared
        sockets = [str(port)]  # the spelling of a site without an address, which has the same socket
    elif address:
        sockets = [f"[{address}]:{port}" if ":" in address else f"{address}:{port}"]
    else:
        sockets = [str(port), f"[::]:{port}"] if ipv6 else [str(port)]
    return {**listen, "sockets": sockets}


def _find_problems(site: Site, zones: set[str], cloudflare: bool, origin_pull_ca: bool) -> t.Iterator[str]:
    name = site["name"]
    if problem := names.find_problem("virtual_host", name):
        yield problem.line()
    if sum(bool(site[kind]) for kind in ("root", "upstream", "redirect_to")) != 1:
        yield f"{name} needs exactly one of root, upstream and redirect_to"
    if not site["domains"]:
        yield f"{name} has no domains"
    yield from (f"{name}: {d!r} is not a valid domain name" for d in site["domains"] if not _is_domain(d))
    yield from (
        f"{name}: acme_peers: {server!r} is not an address with a port, such as 10.0.0.5:80"
        for server in site["acme_peers"]
        if not SERVER.fullmatch(server)
    )
    if site["redirect_to"] and not re.fullmatch(r"https?://[^\s/;{}\"'$]+", site["redirect_to"]):
        yield f"{name}: redirect_to must be a URL without a path, for example https://docs.example.org"
    yield from (f"{name}: {text}" for text in _find_reference_problems(site, zones, cloudflare, origin_pull_ca))
    yield from (f"{name}: {text}" for text in _find_text_problems(site))
    yield from (f"{name}: {text}" for text in _find_listen_problems(site["listen"]))
    yield from (f"{name}: {text}" for text in _find_upstream_problems(site["upstream"]))


def _is_domain(text: str) -> bool:
    return len(text) <= 253 and bool(DOMAIN.fullmatch(text)) and all(len(label) <= 63 for label in text.split("."))


def _find_reference_problems(site: Site, zones: set[str], cloudflare: bool, origin_pull_ca: bool) -> t.Iterator[str]:
    used = [str(limit["zone"]) for limit in site["rate_limits"]]
    yield from (
        f"uses the rate limit {zone!r}, which is not defined in nginx_rate_limits"
        for zone in dict.fromkeys(used)
        if zone not in zones
    )
    yield from (
        f"uses the rate limit {zone!r} more than once" for zone in sorted({z for z in used if used.count(z) > 1})
    )
    if site["origin_lock"] == "cloudflare" and not cloudflare:
        yield "origin_lock cloudflare needs nginx_cloudflare: true"
    if site["origin_lock"] == "authenticated_origin_pulls" and not origin_pull_ca:
        yield "origin_lock authenticated_origin_pulls needs the CA in nginx_origin_pull_ca"


def _find_text_problems(site: Site) -> t.Iterator[str]:
    yield from (
        f"restricted.allow: {text!r} is not an IP address or network"
        for text in _invalid_networks(site["restricted"]["allow"])
    )
    yield from (
        f"restricted.headers: {text!r} is not the name of a header: use letters, digits and -"
        for text in site["restricted"]["headers"]
        if not HEADER.fullmatch(text)
    )
    yield from (f"texts: path {path!r} must begin with /" for path in site["texts"] if path[:1] != "/")
    yield from (f"the text of {path} must not contain $" for path, text in site["texts"].items() if "$" in text)
    for key in ("fallback", "not_found"):
        if site["static"][key] and site["static"][key][:1] != "/":
            yield f"static.{key} {site['static'][key]!r} must begin with /"
    yield from (f"{text!r} must not contain a quotation mark" for text in _quoted_texts(site) if '"' in text)
    yield from (f"{text!r} must not end with a backslash" for text in _quoted_texts(site) if text.endswith("\\"))
    patterns = [*site["static"]["immutable"], *site["restricted"]["paths"]]
    yield from (f"pattern {text!r} must not be empty or begin with *" for text in patterns if text[:1] in ("", "*"))
    if not SIZE.fullmatch(str(site["max_body_size"])):
        yield f"max_body_size {site['max_body_size']!r} is not a size such as 100m"
    for header, value in site["headers"].items():
        yield from _find_header_text_problems(header, value)
    yield from (
        f"the text of {path} has {len(text)} characters, but nginx reads at most {LONGEST_TEXT}; serve it as a file"
        for path, text in site["texts"].items()
        if len(text.encode()) > LONGEST_TEXT
    )


def _find_header_text_problems(header: str, value: str) -> t.Iterator[str]:
    if not TOKEN.fullmatch(header):
        yield f"{header!r} is not a valid name of a header"
    if header.lower() in OWN_RESPONSE_HEADERS:
        yield f"nginx sets the header {header} by itself; remove it from headers"
    if len(value.encode()) > LONGEST_TEXT:
        yield f"the header {header} has {len(value)} characters, but nginx reads at most {LONGEST_TEXT}"


def _find_listen_problems(listen: Site) -> t.Iterator[str]:
    if listen["address"] and list(_invalid_addresses([listen["address"]])):
        yield f"listen.address {listen['address']!r} is not an IP address"
    if not 0 < listen["port"] < 65536 or listen["port"] == 80:
        yield f"listen.port {listen['port']} is not possible: use 1 to 65535, but not 80, which redirects to HTTPS"


def _find_upstream_problems(upstream: Site) -> t.Iterator[str]:
    if not upstream:
        return
    if not upstream.get("servers"):
        yield "upstream.servers is empty, list at least one address with its port"
    yield from (
        f"upstream server {server!r} is not an address with a port, such as 10.0.0.5:8443"
        for server in upstream.get("servers") or ()
        if not SERVER.fullmatch(server)
    )
    yield from _find_buffer_problems(upstream["buffers"])
    if upstream["tls"] and not upstream["ca"]:
        yield "an upstream with tls needs ca, the CA that verifies its certificate"
    if not re.fullmatch(r"[A-Za-z0-9.*_-]*", upstream["server_name"]):
        yield f"upstream.server_name {upstream['server_name']!r} is not a name"


def _find_buffer_problems(buffers: Site) -> t.Iterator[str]:
    invalid = [key for key in ("header", "size") if not BUFFER.fullmatch(str(buffers[key]))]
    yield from (f"upstream.buffers.{key} {buffers[key]!r} is not a size such as 32k" for key in invalid)
    if not invalid and _count_bytes(buffers["size"]) < _count_bytes(buffers["header"]):
        yield f"upstream.buffers.size {buffers['size']} is smaller than upstream.buffers.header {buffers['header']}"
    # nginx may keep one of them busy, and one free.
    if buffers["number"] < 2:
        yield f"upstream.buffers.number {buffers['number']} is too small, write at least 2"


def _count_bytes(size: str) -> int:
    return int(size[:-1]) * (1024 if size[-1] in "kK" else 1024 * 1024)


def _find_limit_problems(limits: list[Site]) -> t.Iterator[str]:
    found = [str(limit["name"]) for limit in limits]
    for name in sorted({name for name in found if found.count(name) > 1}):
        yield f"nginx_rate_limits: {name} is listed more than once"
    for limit in limits:
        if problem := names.find_problem("rate_limit", limit["name"]):
            yield f"nginx_rate_limits: {problem.line()}"
        if not RATE.fullmatch(str(limit["rate"])):
            yield f"nginx_rate_limits: {limit['name']}: rate {limit['rate']!r} must be such as 10r/s or 30r/m"
        if not BUFFER.fullmatch(str(limit.get("size", "10m"))):
            yield f"nginx_rate_limits: {limit['name']}: size {limit['size']!r} is not a size such as 10m"
        for pattern in limit.get("paths") or ():
            if not pattern or pattern[0] == "*" or '"' in pattern or pattern.endswith("\\"):
                yield f"nginx_rate_limits: {limit['name']}: {pattern!r} is not a possible pattern"


def _find_header_problem(name: str) -> t.Iterator[str]:
    fixed = {header.lower() for header, value in REQUEST_HEADERS.items() if value != "$remote_addr"}
    if not TOKEN.fullmatch(name) or name.lower() in {*fixed, "connection", "upgrade", "proxy_protocol"}:
        yield f"nginx_real_ip_header: {name!r} is not a header with an address; write for example X-Real-IP"


def _quoted_texts(site: Site) -> t.Iterator[str]:
    # The template writes these texts in quotation marks; headers are quoted by quote().
    yield from (site["root"], site["tls"]["certificate"], site["tls"]["key"], site["upstream"].get("ca", ""))
    yield from (site["static"]["previous"], site["static"]["not_found"], site["static"]["fallback"])
    yield from (*site["static"]["immutable"], *site["restricted"]["paths"], *site["texts"])


def _invalid_addresses(texts: list[str]) -> t.Iterator[str]:
    for text in texts:
        try:
            ipaddress.ip_address(text)
        except ValueError:
            yield text


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
    found = [site["name"] for site in sites]
    yield from (f"{name} is listed more than once" for name in sorted({n for n in found if found.count(n) > 1}))
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
