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
def test_each_socket_is_listed_once_with_what_its_sites_admit(
    sites: list[dict[str, Any]], options: dict[str, Any], expected: dict[str, list[str]]
) -> None:
    assert listeners(*sites, **options) == expected


def test_site_refuses_by_itself_what_only_a_neighbour_admits() -> None:
    old = site(name="old", domains=["old"], tls={**TLS, "versions": ["TLSv1.2", "TLSv1.3"]})
    sites = nginx_model([site(), old, site(name="in", domains=["in"], listen={"port": 8443})])["sites"]
    assert [entry["refused_versions"] for entry in sites] == [["TLSv1.2"], [], []]


def test_only_internal_sockets_show_a_certificate_to_strangers() -> None:
    found = nginx_model([site(), site(name="in", listen={"port": 8443})])["listeners"]
    assert [(entry["public"], bool(entry["tls"])) for entry in found] == [(True, False)] * 2 + [(False, True)] * 2


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"Content-Security-Policy": '"self"', "X": '"1"'}),
        ({"csp": "none"}, {"Content-Security-Policy": '"none"', "X": '"1"'}),
        ({"csp": ""}, {"X": '"1"'}),
        ({"headers": {"X": "", "Y": 'a "b" \\c'}}, {"Content-Security-Policy": '"self"', "Y": '"a \\"b\\" \\\\c"'}),
    ],
)
def test_headers_of_a_site_go_before_those_of_all(options: dict[str, Any], expected: dict[str, str]) -> None:
    given = {"Content-Security-Policy": "self", "X": "1"}
    assert complete(site(**options), headers=given)["headers"] == expected


def test_texts_are_written_on_one_line() -> None:
    assert complete(site(texts={"/a": 'one "1"\ntwo\n'}))["texts"] == {"/a": '"one \\"1\\"\\ntwo\\n"'}


def test_upstream_is_filled_in() -> None:
    found = complete(upstream(timeouts={"read": 3600}))["upstream"]
    assert found["server_name"] == "docs.example.org"
    assert found["timeouts"] == {"connect": 5, "read": 3600, "send": 60}


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (site(name="Docs"), "'Docs' is no name"),
        (site(name="../x"), "'../x' is no name"),
        (site(root=""), "docs needs exactly one of root, upstream and redirect_to"),
        (site(redirect_to="https://a"), "docs needs exactly one of root, upstream and redirect_to"),
        (site(root="", redirect_to="a/b"), "docs: redirect_to is an address without a path"),
        (site(domains=[]), "docs has no domains"),
        (site(domains=["a b"]), "docs: 'a b' is no domain name"),
        (site(domains=["a;return"]), "docs: 'a;return' is no domain name"),
        (site(rate_limits=[{"zone": "api"}]), "docs names the rate limit 'api'"),
        (site(origin_lock="cloudflare"), "nginx_cloudflare must be true"),
        (site(origin_lock="authenticated_origin_pulls"), "nginx_origin_pull_ca must hold their CA"),
        (upstream(tls=True), "docs: an upstream with tls needs the ca"),
        (site(restricted={"paths": ["^/a"], "allow": ["office"]}), "docs: restricted.allow: 'office' is no IP address"),
        (site(restricted={"paths": ['^/"a']}), "holds a quotation mark"),
        (site(texts={"a": ""}), "docs: texts: 'a' is no path"),
        (site(texts={"/a": "$host"}), "docs: the text of /a holds a $"),
        (site(texts={"/a": "\r"}), "holds a line break"),
        (site(csp="a\nb"), "holds a line break"),
        (site(root='/srv";'), "holds a quotation mark"),
        (site(static={"immutable": ['"']}), "holds a quotation mark"),
    ],
)
def test_contradiction_is_an_error(given: dict[str, Any], complaint: str) -> None:
    with pytest.raises(AnsibleFilterError, match="nginx_sites: ") as raised:
        nginx_model([given])
    assert complaint in str(raised.value)


@pytest.mark.parametrize(
    ("second", "complaint"),
    [
        (site(domains=["b"]), "docs is described more than once"),
        (site(name="b"), "docs.example.org belongs to both docs and b"),
    ],
)
def test_what_two_sites_claim_is_an_error(second: dict[str, Any], complaint: str) -> None:
    with pytest.raises(AnsibleFilterError, match=complaint):
        nginx_model([site(), second])


def test_same_domain_may_be_public_and_internal() -> None:
    assert len(nginx_model([site(), site(name="in", listen={"port": 8443})])["sites"]) == 2


def test_every_complaint_is_told_at_once() -> None:
    with pytest.raises(AnsibleFilterError, match="no domains; docs names the rate limit 'api'"):
        nginx_model([site(domains=[], rate_limits=[{"zone": "api"}])])


def test_filter_is_found_by_its_name() -> None:
    assert FilterModule().filters() == {"nginx_model": nginx_model}
