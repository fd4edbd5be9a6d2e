from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.vise.platform.plugins.filter.nginx_model import FilterModule, nginx_model

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


def test_line_breaks_of_texts_are_escaped() -> None:
    assert complete(site(texts={"/a": 'one "1"\ntwo\n'}))["texts"] == {"/a": '"one \\"1\\"\\ntwo\\n"'}


def test_defaults_of_an_upstream_are_filled_in() -> None:
    result = complete(upstream(timeouts={"read": 3600}))["upstream"]
    assert result["server_name"] == "docs.example.org"
    assert result["timeouts"] == {"connect": 5, "read": 3600, "send": 60}


def test_buffers_of_an_upstream_are_complete_or_absent() -> None:
    assert complete(upstream())["upstream"]["buffers"] == {}
    result = complete(site(root="", upstream={"servers": ["10.0.0.1:80"], "buffers": {"header": "128k"}}))
    assert result["upstream"]["buffers"] == {"header": "128k", "number": 8, "size": "8k"}


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (site(name="Docs"), "'Docs' is not a valid site name"),
        (site(name="../x"), "'../x' is not a valid site name"),
        (site(root=""), "docs needs exactly one of root, upstream and redirect_to"),
        (site(redirect_to="https://a"), "docs needs exactly one of root, upstream and redirect_to"),
        (site(root="", redirect_to="a/b"), "docs: redirect_to must be a URL without a path"),
        (site(domains=[]), "docs has no domains"),
        (site(domains=["a b"]), "docs: 'a b' is not a valid domain name"),
        (site(domains=["a;return"]), "docs: 'a;return' is not a valid domain name"),
        (site(rate_limits=[{"zone": "api"}]), "docs uses the rate limit 'api'"),
        (site(origin_lock="cloudflare"), "needs nginx_cloudflare: true"),
        (site(origin_lock="authenticated_origin_pulls"), "needs the CA in nginx_origin_pull_ca"),
        (upstream(tls=True), "docs: an upstream with tls needs ca"),
        (site(restricted={"paths": ["^/a"], "allow": ["office"]}), "docs: restricted.allow: 'office' is not an IP"),
        (site(restricted={"paths": ['^/"a']}), "must not contain a quotation mark"),
        (site(restricted={"headers": ["X Key"]}), "docs: restricted.headers: 'X Key' is not the name of a header"),
        (
            site(root="", upstream={"servers": ["a:1"], "buffers": {"size": "64;"}}),
            "docs: upstream.buffers.size: '64;' is not a size",
        ),
        (site(texts={"a": ""}), "docs: texts: path 'a' must begin with /"),
        (site(texts={"/a": "$host"}), "docs: the text of /a must not contain $"),
        (site(texts={"/a": "\r"}), "contains a line break"),
        (site(csp="a\nb"), "contains a line break"),
        (site(root='/srv";'), "must not contain a quotation mark"),
        (site(static={"immutable": ['"']}), "must not contain a quotation mark"),
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


def test_all_problems_are_reported_at_once() -> None:
    with pytest.raises(AnsibleFilterError, match="no domains; docs uses the rate limit 'api'"):
        nginx_model([site(domains=[], rate_limits=[{"zone": "api"}])])


def test_filter_is_registered_by_name() -> None:
    assert FilterModule().filters() == {"nginx_model": nginx_model}
