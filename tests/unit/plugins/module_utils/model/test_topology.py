"""The services of one host, with one host in every group and with one host per group."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.vise.platform.plugins.filter.host_services import FilterModule, host_services

SITES = {
    "docs": {
        "domain": "docs.vln.test",
        "group": "docs",
        "source": "/built",
        "nginx": {"csp": "default-src 'self'", "static": {"immutable": ["^/assets/"]}},
    }
}
PORTS = {"all": ["22/tcp"], "edge": ["80/tcp", "443/tcp", "443/udp"], "mail": ["25/tcp", "587/tcp", "993/tcp"]}
EDGE_TLS = {"certificate": "/etc/vise/tls/docs/fullchain.pem", "key": "/etc/vise/tls/docs/privkey.pem"}
INTERNAL_TLS = {"certificate": "/etc/vise/tls/internal/fullchain.pem", "key": "/etc/vise/tls/internal/privkey.pem"}

ONE = {"edge": ["a"], "docs": ["a"], "mail": ["a"]}
EACH = {"edge": ["e"], "docs": ["d"], "mail": ["m"]}
SEVERAL = {"edge": ["a", "e"], "docs": ["a", "d"]}
HOSTVARS: dict[str, dict[str, Any]] = {
    "a": {"ansible_host": "10.0.0.1"},
    "e": {
        "ansible_host": "192.0.2.2",
        "internal_addresses": ["10.0.0.2", "fd00::2"],
        "public_addresses": ["192.0.2.2", "2001:db8::2"],
    },
    "d": {"ansible_host": "10.0.0.3"},
    "m": {"ansible_host": "10.0.0.4"},
}


def of(host: str, groups: dict[str, list[str]], sites: Any = SITES, **more: Any) -> dict[str, Any]:
    return host_services(sites, host, groups, {**HOSTVARS, **more.pop("hostvars", {})}, open_ports=PORTS, **more)


@pytest.mark.parametrize(
    ("host", "groups", "expected"),
    [("a", ONE, False), ("e", EACH, True), ("d", EACH, False), ("m", EACH, False), ("a", SEVERAL, False)],
)
def test_host_that_forwards_requests_follows_the_hosts_behind_it(
    host: str, groups: dict[str, list[str]], expected: bool
) -> None:
    assert of(host, groups)["forwards"] is expected


@pytest.mark.parametrize(
    ("host", "groups", "expected"),
    [
        ("a", ONE, {"docs": "root"}),
        ("e", EACH, {"docs": "upstream"}),
        ("d", EACH, {"docs.internal": "root"}),
        ("m", EACH, {}),
        ("a", SEVERAL, {"docs": "root", "docs.internal": "root"}),
        ("e", SEVERAL, {"docs": "upstream"}),
        ("d", SEVERAL, {"docs.internal": "root"}),
    ],
)
def test_host_serves_or_proxies_a_site_by_its_groups(
    host: str, groups: dict[str, list[str]], expected: dict[str, str]
) -> None:
    sites = of(host, groups)["nginx_sites"]
    assert {site["name"]: "root" if "root" in site else "upstream" for site in sites} == expected


def test_edge_host_with_the_content_serves_it() -> None:
    assert of("a", ONE)["nginx_sites"] == [
        {
            "name": "docs",
            "domains": ["docs.vln.test"],
            "tls": EDGE_TLS,
            "root": "/srv/sites/docs/current",
            "static": {"immutable": ["^/assets/"], "previous": "/srv/sites/docs/previous"},
            "csp": "default-src 'self'",
        }
    ]


def test_edge_host_without_the_content_proxies_to_every_host_that_has_it_over_tls() -> None:
    (site,) = of("e", SEVERAL)["nginx_sites"]
    assert site["upstream"] == {
        "servers": ["10.0.0.1:8443", "10.0.0.3:8443"],
        "tls": True,
        "ca": "/etc/vise/tls/internal/ca.pem",
        "server_name": "docs.internal",
    }
    assert site["static"] == {"immutable": ["^/assets/"]}


def test_host_behind_the_edge_serves_with_its_internal_certificate() -> None:
    found = of("d", EACH)
    (site,) = found["nginx_sites"]
    assert (site["domains"], site["tls"], site["listen"]) == (
        ["docs.vln.test", "docs.internal"],
        INTERNAL_TLS,
        {"port": 8443},
    )
    assert found["internal_names"] == ["d", "10.0.0.3", "docs.internal"]
    assert found["trusted_proxies"] == ["10.0.0.2", "fd00::2"]


@pytest.mark.parametrize(("host", "proxied", "expected"), [("e", True, True), ("e", False, False), ("d", True, False)])
def test_addresses_of_visitors_are_read_from_cloudflare_only_for_proxied_sites(
    host: str, proxied: bool, expected: bool
) -> None:
    sites = {name: {**site, "proxied": proxied} for name, site in SITES.items()}
    assert of(host, EACH, sites=sites)["cloudflare"] is expected


def rules(found: dict[str, Any]) -> list[str]:
    return [
        f"{rule['port']}/{rule['proto']}" + "".join(f" {a}" for a in rule.get("from", []))
        for rule in found["firewall_allow"]
    ]


@pytest.mark.parametrize(
    ("host", "groups", "expected"),
    [
        ("a", ONE, ["22/tcp", "80/tcp", "443/tcp", "443/udp", "25/tcp", "587/tcp", "993/tcp"]),
        ("e", EACH, ["22/tcp", "80/tcp", "443/tcp", "443/udp"]),
        ("d", EACH, ["22/tcp", "8443/tcp 10.0.0.2 fd00::2"]),
        ("m", EACH, ["22/tcp", "25/tcp", "587/tcp", "993/tcp"]),
    ],
)
def test_ports_follow_from_the_groups_and_internal_ports_are_open_to_the_edge_only(
    host: str, groups: dict[str, list[str]], expected: list[str]
) -> None:
    assert rules(of(host, groups)) == expected


def test_aliases_are_in_the_certificate_and_redirect_to_the_domain() -> None:
    sites = {"docs": {"domain": "docs.vln.test", "aliases": ["www.vln.test"], "group": "docs"}}
    found = of("a", ONE, sites)
    assert found["certificates_wanted"] == [
        {"name": "docs", "domains": ["docs.vln.test", "www.vln.test"], "challenge": "http-01"}
    ]
    assert found["nginx_sites"][1] == {
        "name": "docs.aliases",
        "domains": ["www.vln.test"],
        "tls": EDGE_TLS,
        "redirect_to": "https://docs.vln.test",
    }


@pytest.mark.parametrize(
    ("host", "groups", "names"), [("e", EACH, ["docs.vln.test"]), ("d", EACH, []), ("m", EACH, [])]
)
def test_only_the_edge_has_public_certificates(host: str, groups: dict[str, list[str]], names: list[str]) -> None:
    found = of(host, groups)
    assert [name for one in found["certificates_wanted"] for name in one["domains"]] == names
    assert found["public_urls"] == [f"https://{name}/" for name in names]
    assert found["public_addresses"] == (["192.0.2.2", "2001:db8::2"] if names else [])


MAIL = {
    "mail": {
        "domain": "mail.vln.test",
        "names": ["mta-sts.vln.test"],
        "group": "mail",
        "entrance": "mail",
        "port": 8080,
    }
}


@pytest.mark.parametrize(("host", "groups", "names"), [("a", ONE, ["mail"]), ("m", EACH, ["mail"]), ("e", EACH, [])])
def test_site_is_public_on_the_hosts_of_its_entrance(host: str, groups: dict[str, list[str]], names: list[str]) -> None:
    found = of(host, groups, MAIL)
    assert [one["name"] for one in found["certificates_wanted"]] == names
    assert [site["domains"] for site in found["nginx_sites"]] == [["mail.vln.test", "mta-sts.vln.test"] for _ in names]
    assert [site["upstream"] for site in found["nginx_sites"]] == [{"servers": ["127.0.0.1:8080"]} for _ in names]
    assert found["static_sites"] == []


def test_international_domains_are_converted_everywhere() -> None:
    site = {"domain": "bücher.example", "names": ["faß.example"], "aliases": ["www.bücher.example"], "group": "docs"}
    found = of("a", ONE, {"books": {**site, "source": "/built"}})
    ascii_names = ["xn--bcher-kva.example", "xn--fa-hia.example"]
    assert [one["domains"] for one in found["nginx_sites"]] == [ascii_names, ["www.xn--bcher-kva.example"]]
    assert found["nginx_sites"][1]["redirect_to"] == "https://xn--bcher-kva.example"
    assert found["certificates_wanted"][0]["domains"] == [*ascii_names, "www.xn--bcher-kva.example"]
    assert found["public_urls"] == [found["static_sites"][0]["url"]] == ["https://xn--bcher-kva.example/"]
    with pytest.raises(AnsibleFilterError, match=r"sites: 💩.example: "):
        of("a", ONE, {"books": {**site, "domain": "💩.example"}})


def test_generated_virtual_hosts_do_not_collide_with_a_site_of_that_name() -> None:
    sites = {**SITES, "docs-aliases": {"domain": "b.vln.test", "group": "docs"}}
    sites["docs"] = {**SITES["docs"], "aliases": ["www.vln.test"]}
    names = [site["name"] for site in of("a", ONE, sites)["nginx_sites"]]
    assert names == ["docs", "docs.aliases", "docs-aliases"]


def test_limits_of_a_site_apply_at_the_edge_and_behind_it() -> None:
    limits = {"max_body_size": "100m", "upstream": {"buffers": {"header": "64k"}, "timeouts": {"read": 3600}}}
    sites = {"edu": {"domain": "edu.vln.test", "group": "docs", "port": 3000, "nginx": limits}}
    for host in ("e", "d"):
        (site,) = of(host, EACH, sites)["nginx_sites"]
        assert site["max_body_size"] == "100m"
        assert {"buffers": {"header": "64k"}, "timeouts": {"read": 3600}}.items() <= site["upstream"].items()


@pytest.mark.parametrize(("host", "groups", "kind"), [("a", ONE, "root"), ("e", EACH, "upstream"), ("d", EACH, "root")])
def test_options_of_an_upstream_apply_only_where_requests_are_forwarded(
    host: str, groups: dict[str, list[str]], kind: str
) -> None:
    sites = {"docs": {**SITES["docs"], "nginx": {"upstream": {"timeouts": {"read": 3600}}}}}
    (site,) = of(host, groups, sites)["nginx_sites"]
    assert {"root", "upstream"} & set(site) == {kind}


def test_edge_proxies_to_a_program_as_to_files() -> None:
    sites = {"edu": {"domain": "edu.vln.test", "group": "docs", "port": 3000}}
    (public,), (internal,) = (of(host, EACH, sites)["nginx_sites"] for host in ("e", "d"))
    assert public["upstream"]["servers"] == ["10.0.0.3:8443"]
    assert internal["upstream"] == {"servers": ["127.0.0.1:3000"]}


def test_edge_and_program_wait_equally_long_and_take_equally_large_requests() -> None:
    options = {"upstream": {"timeouts": {"read": 3600}}, "max_body_size": "100m"}
    sites = {"edu": {"domain": "edu.vln.test", "group": "docs", "port": 3000, "nginx": options}}
    for host in ("e", "d"):
        (found,) = of(host, EACH, sites)["nginx_sites"]
        assert (found["upstream"]["timeouts"], found["max_body_size"]) == ({"read": 3600}, "100m")


@pytest.mark.parametrize(
    ("host", "groups", "urls"),
    [
        ("a", ONE, ["https://docs.vln.test/"]),
        ("d", EACH, ["https://docs.vln.test:8443/"]),
        ("e", EACH, []),
    ],
)
def test_built_sites_are_released_on_the_hosts_of_their_group(
    host: str, groups: dict[str, list[str]], urls: list[str]
) -> None:
    assert of(host, groups)["static_sites"] == [{"name": "docs", "url": url, "source": "/built"} for url in urls]


def test_site_with_an_origin_lock_has_no_url_for_its_own_host() -> None:
    sites = {"docs": {**SITES["docs"], "nginx": {"origin_lock": "cloudflare"}, "release": "previous"}}
    assert of("a", ONE, sites)["static_sites"] == [
        {"name": "docs", "url": "", "source": "/built", "release": "previous"}
    ]


def test_site_without_a_host_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match=r"sites.docs: no host is in group docs"):
        of("e", {"edge": ["e"]})


def test_upstream_by_name_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match=r"d: d.example.org is not an IP address; write `internal_addresses"):
        of("e", EACH, hostvars={"d": {"ansible_host": "d.example.org"}})


def test_ipv6_upstream_is_in_brackets() -> None:
    (site,) = of("e", EACH, hostvars={"d": {"internal_addresses": ["fd00::3"]}})["nginx_sites"]
    assert site["upstream"]["servers"] == ["[fd00::3]:8443"]


def test_filter_is_named_host_services() -> None:
    assert FilterModule().filters() == {"host_services": host_services}
