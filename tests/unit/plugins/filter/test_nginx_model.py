from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.vise.platform.plugins.filter.nginx_model import FilterModule, make_identifier, nginx_model

SPELLINGS = [("a", ""), ("b", "0.0.0.0"), ("c", "fd00::1"), ("d", "FD00:0::1")]  # noqa: S104
TLS = {"certificate": "/c", "key": "/k"}


def site(**options: Any) -> dict[str, Any]:
    return {"name": "docs", "domains": ["docs.example.org"], "tls": TLS, "root": "/srv", **options}


def upstream(**options: Any) -> dict[str, Any]:
    return site(root="", upstream={"servers": ["10.0.0.1:80"], **options})


def complete(given: dict[str, Any], **options: Any) -> dict[str, Any]:
    return dict(nginx_model([given], **options)["sites"][0])


def listeners(*sites: dict[str, Any], **options: Any) -> dict[str, list[str]]:
    return {entry["socket"]: entry["versions"] for entry in nginx_model(list(sites), **options)["listeners"]}


@pytest.mark.parametrize(
    ("sites", "options", "expected"),
    [
        ([], {}, {"443": ["TLSv1.3"], "[::]:443": ["TLSv1.3"]}),
        ([], {"ipv6": False}, {"443": ["TLSv1.3"]}),
        (
            [site(), site(name="old", domains=["old"], tls={**TLS, "versions": ["TLSv1.2", "TLSv1.3"]})],
            {"ipv6": False},
            {"443": ["TLSv1.2", "TLSv1.3"]},
        ),
        (
            [site(listen={"address": "10.0.0.5", "port": 8443}), site(name="b", listen={"address": "fd00::5"})],
            {"ipv6": False},
            {"443": ["TLSv1.3"], "10.0.0.5:8443": ["TLSv1.3"], "[fd00::5]:443": ["TLSv1.3"]},
        ),
        (
            [site(listen={"port": 8443}), site(name="b", domains=["b"], listen={"port": 8443})],
            {"ipv6": False},
            {"443": ["TLSv1.3"], "8443": ["TLSv1.3"]},
        ),
    ],
)
def test_each_socket_is_listed_once_with_the_tls_versions_of_its_sites(
    sites: list[dict[str, Any]], options: dict[str, Any], expected: dict[str, list[str]]
) -> None:
    assert listeners(*sites, **options) == expected


def test_site_refuses_a_tls_version_that_only_another_site_of_its_socket_allows() -> None:
    old = site(name="old", domains=["old"], tls={**TLS, "versions": ["TLSv1.2", "TLSv1.3"]})
    sites = nginx_model([site(), old, site(name="in", domains=["in"], listen={"port": 8443})])["sites"]
    assert [entry["refused_versions"] for entry in sites] == [["TLSv1.2"], [], []]


def test_only_internal_sockets_present_a_certificate_for_unknown_names() -> None:
    sockets = nginx_model([site(), site(name="in", listen={"port": 8443})])["listeners"]
    assert [(entry["public"], bool(entry["tls"])) for entry in sockets] == [(True, False)] * 2 + [(False, True)] * 2


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"Content-Security-Policy": '"self"', "X": '"1"'}),
        ({"csp": "none"}, {"Content-Security-Policy": '"none"', "X": '"1"'}),
        ({"csp": ""}, {"X": '"1"'}),
        ({"headers": {"X": "", "Y": 'a "b" \\c'}}, {"Content-Security-Policy": '"self"', "Y": '"a \\"b\\" \\\\c"'}),
    ],
)
def test_headers_of_a_site_override_those_of_all_sites(options: dict[str, Any], expected: dict[str, str]) -> None:
    given = {"Content-Security-Policy": "self", "X": "1"}
    assert complete(site(**options), headers=given)["headers"] == expected


def test_header_is_set_once_whatever_its_case() -> None:
    result = complete(site(headers={"x-frame-options": "DENY"}), headers={"X-Frame-Options": "SAMEORIGIN"})
    assert result["headers"] == {"x-frame-options": '"DENY"'}


@pytest.mark.parametrize(
    ("headers", "cache_control", "alt_svc"),
    [({}, True, True), ({"cache-control": "no-store"}, False, True), ({"Alt-Svc": ""}, True, False)],
)
def test_header_of_the_description_replaces_the_line_of_the_template(
    headers: dict[str, str], cache_control: bool, alt_svc: bool
) -> None:
    result = complete(site(headers=headers))
    assert (result["sets_cache_control"], result["sets_alt_svc"]) == (cache_control, alt_svc)


@pytest.mark.parametrize("name", ["X-Real-IP", "x-forwarded-for", "CF-Connecting-IP"])
def test_request_header_with_the_address_is_sent_once(name: str) -> None:
    found = nginx_model([], real_ip_header=name)["request_headers"]
    assert found[name] == "$remote_addr"
    assert len({header.lower() for header in found}) == len(found)


@pytest.mark.parametrize("name", ["Host", "x-forwarded-proto", "Upgrade", "proxy_protocol", "a b", ""])
def test_header_that_nginx_uses_for_another_purpose_is_refused(name: str) -> None:
    with pytest.raises(AnsibleFilterError, match=r"^nginx_real_ip_header: "):
        nginx_model([], real_ip_header=name)


@pytest.mark.parametrize(
    ("limits", "problem"),
    [
        ([{"name": "a", "rate": "1r/s"}] * 2, "a is listed more than once"),
        ([{"name": "a b", "rate": "1r/s"}], "`a b` is not a valid name"),
        ([{"name": "a", "rate": "fast"}], "a: rate 'fast' must be such as"),
        ([{"name": "a", "rate": "1r/s", "size": "1"}], "a: size '1' is not"),
        ([{"name": "a", "rate": "1r/s", "paths": ["*"]}], "a: '[*]' is not a possible pattern"),
    ],
)
def test_invalid_rate_limit_is_an_error(limits: list[dict[str, Any]], problem: str) -> None:
    with pytest.raises(AnsibleFilterError, match=f"^nginx_rate_limits: {problem}"):
        nginx_model([], rate_limits=limits)


def test_identifiers_of_different_sites_differ() -> None:
    names = ["a-b", "a_b", "a.aliases", "a_daliases", "a_db", "a_ub", "a__b", "a--b", "a-_b"]
    assert len({make_identifier(name) for name in names}) == len(names)


def test_domain_or_pattern_that_is_listed_twice_is_used_once() -> None:
    result = complete(site(domains=["a", "a"], static={"immutable": ["^/a", "^/a"]}))
    assert (result["domains"], result["static"]["immutable"]) == (["a"], ["^/a"])


def test_international_domain_is_converted_and_unique() -> None:
    assert complete(site(domains=["bücher.example", "xn--bcher-kva.example"]))["domains"] == ["xn--bcher-kva.example"]
    with pytest.raises(AnsibleFilterError, match=r"xn--bcher-kva.example belongs to both docs and b"):
        nginx_model([site(domains=["bücher.example"]), site(name="b", domains=["xn--bcher-kva.example"])])


def test_one_socket_in_two_spellings_is_one_socket() -> None:
    sites = [site(name=name, domains=[name], listen={"address": a, "port": 8443}) for name, a in SPELLINGS]
    assert listeners(*sites, ipv6=False) == {"443": ["TLSv1.3"], "8443": ["TLSv1.3"], "[fd00::1]:8443": ["TLSv1.3"]}


def test_line_breaks_of_texts_are_escaped() -> None:
    assert complete(site(texts={"/a": 'one "1"\ntwo\n'}))["texts"] == {"/a": '"one \\"1\\"\\ntwo\\n"'}


def test_defaults_of_an_upstream_are_filled_in() -> None:
    result = complete(upstream(timeouts={"read": 3600}))["upstream"]
    assert result["server_name"] == "docs.example.org"
    assert result["timeouts"] == {"connect": 5, "read": 3600, "send": 60}


def test_buffers_have_the_size_of_the_largest_header() -> None:
    assert complete(upstream())["upstream"]["buffers"] == {"header": "32k", "number": 8, "size": "32k"}
    result = complete(site(root="", upstream={"servers": ["10.0.0.1:80"], "buffers": {"header": "128k"}}))
    assert result["upstream"]["buffers"] == {"header": "128k", "number": 8, "size": "128k"}


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (site(name="Docs"), "`Docs` is not a valid name"),
        (site(name="../x"), "`../x` is not a valid name"),
        (site(root=""), "docs needs exactly one of root, upstream and redirect_to"),
        (site(redirect_to="https://a"), "docs needs exactly one of root, upstream and redirect_to"),
        (site(root="", redirect_to="a/b"), "docs: redirect_to must be a URL without a path"),
        (site(domains=[]), "docs has no domains"),
        (site(domains=["a b"]), "docs: 'a b' is not a valid domain name"),
        (site(domains=["💩.la"]), "docs: '💩.la' is not a valid domain name"),
        (site(domains=["a;return"]), "docs: 'a;return' is not a valid domain name"),
        (site(rate_limits=[{"zone": "api"}]), "docs: uses the rate limit 'api'"),
        (site(origin_lock="cloudflare"), "needs nginx_cloudflare: true"),
        (site(origin_lock="authenticated_origin_pulls"), "needs the CA in nginx_origin_pull_ca"),
        (upstream(tls=True), "docs: an upstream with tls needs ca"),
        (site(restricted={"paths": ["^/a"], "allow": ["office"]}), "docs: restricted.allow: 'office' is not an IP"),
        (site(restricted={"paths": ['^/"a']}), "must not contain a quotation mark"),
        (site(restricted={"headers": ["X Key"]}), "docs: restricted.headers: 'X Key' is not the name of a header"),
        (
            site(root="", upstream={"servers": ["a:1"], "buffers": {"size": "64;"}}),
            "docs: upstream.buffers.size '64;' is not a size",
        ),
        (site(texts={"a": ""}), "docs: texts: path 'a' must begin with /"),
        (site(texts={"/a": "$host"}), "docs: the text of /a must not contain $"),
        (site(texts={"/a": "\r"}), "contains a line break"),
        (site(csp="a\nb"), "contains a line break"),
        (site(root='/srv";'), "must not contain a quotation mark"),
        (site(static={"immutable": ['"']}), "must not contain a quotation mark"),
        (site(static={"immutable": ["^/a\\"]}), "must not end with a backslash"),
        (site(static={"immutable": ["*.js"]}), "must not be empty or begin with *"),
        (site(static={"fallback": "index.html"}), "static.fallback 'index.html' must begin with /"),
        (site(name="x" * 101), "is not a valid name"),
        (site(domains=["a." * 127 + "a"]), "is not a valid domain name"),
        (site(domains=["a" * 64 + ".org"]), "is not a valid domain name"),
        (site(headers={"Content-Length": "1"}), "nginx sets the header Content-Length by itself"),
        (site(headers={"X Y": "1"}), "'X Y' is not a valid name of a header"),
        (site(csp="x" * 4001), "the header Content-Security-Policy has"),
        (site(texts={"/a": "x" * 4001}), "nginx reads at most 4000; serve it as a file"),
        (site(max_body_size="1m; return 444"), "is not a size such as 100m"),
        (site(listen={"port": 80}), "listen.port 80 is not possible"),
        (site(listen={"address": "host-1"}), "listen.address 'host-1' is not an IP address"),
        (upstream(buffers={"header": "0"}), "upstream.buffers.header '0' is not a size"),
        (upstream(buffers={"size": "16k"}), "upstream.buffers.size 16k is smaller than upstream.buffers.header 32k"),
        (upstream(buffers={"number": 1}), "upstream.buffers.number 1 is too small"),
        (site(root="", upstream={"servers": ["a:1; return 444"]}), "is not an address with a port"),
        (site(root="", upstream={"servers": [], "tls": True}), "upstream.servers is empty"),
    ],
)
def test_invalid_description_is_an_error(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(AnsibleFilterError, match="nginx_sites: ") as raised:
        nginx_model([given])
    assert problem in str(raised.value)


@pytest.mark.parametrize(
    ("second", "problem"),
    [
        (site(domains=["b"]), "docs is listed more than once"),
        (site(name="b"), "docs.example.org belongs to both docs and b"),
    ],
)
def test_name_or_domain_of_two_sites_is_an_error(second: dict[str, Any], problem: str) -> None:
    with pytest.raises(AnsibleFilterError, match=problem):
        nginx_model([site(), second])


def test_same_domain_may_be_public_and_internal() -> None:
    assert len(nginx_model([site(), site(name="in", listen={"port": 8443})])["sites"]) == 2


def test_each_domain_must_stay_reachable_and_a_lock_is_known() -> None:
    sites = [
        site(domains=["docs.example.org", "*.example.org"]),
        site(name="in", domains=["in"], listen={"port": 8443}),
    ]
    locked = site(name="app", domains=["app"], origin_lock="authenticated_origin_pulls")
    assert nginx_model([*sites, locked], origin_pull_ca="x")["visited"] == [
        {"domain": "docs.example.org", "port": 443, "locked": False},
        {"domain": "*.example.org", "port": 443, "locked": False},
        {"domain": "in", "port": 8443, "locked": False},
        {"domain": "app", "port": 443, "locked": True},
    ]


def test_site_that_may_become_unreachable_is_not_visited_and_neither_are_its_aliases() -> None:
    sites = [site(), site(name="docs.aliases", domains=["www.example.org"]), site(name="app", domains=["app"])]
    assert [one["domain"] for one in nginx_model(sites, unreachable=["docs"])["visited"]] == ["app"]
    with pytest.raises(
        AnsibleFilterError, match=r"nginx_unreachable_sites: 'dosc' is not .* of this host \(docs, app\)"
    ):
        nginx_model(sites, unreachable=["dosc"])


def test_all_problems_are_reported_at_once() -> None:
    with pytest.raises(AnsibleFilterError, match="no domains; docs: uses the rate limit 'api'"):
        nginx_model([site(domains=[], rate_limits=[{"zone": "api"}])])


def test_filter_is_registered_by_name() -> None:
    assert FilterModule().filters() == {"nginx_model": nginx_model}
