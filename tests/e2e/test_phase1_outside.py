"""One host in every group, as visitors see it: from world, which is outside."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.converge import ADDRESS, ADDRESS6, LOGS, ROOT, URL

Shell = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.mark.parametrize("version", ["1.1", "2"])
@pytest.mark.usefixtures("converged")
def test_site_is_served_over_each_http_version(world: Shell, version: str) -> None:
    for family in ("-4", "-6"):
        said = "%{http_code} %{http_version} %{ssl_verify_result}"
        asked = f"curl -sS --http{version} {family} -o /dev/null -w '{said}' {URL}"
        assert world(asked).stdout == f"200 {version} 0"


@pytest.mark.usefixtures("converged")
def test_site_is_served_over_http3(world: Shell) -> None:
    for family, address in (("-4", ADDRESS), ("-6", ADDRESS6)):
        assert world(f"h3 --only summary {family} {URL}").stdout == f"code=200 version=3 remote={address}\n"


@pytest.mark.usefixtures("converged")
def test_certificate_is_of_the_acme_server_and_old_tls_is_refused(world: Shell) -> None:
    show = "openssl s_client -connect docs.vln.test:443 -servername docs.vln.test"
    shown = world(f"{show} </dev/null 2>&1").stdout
    assert re.search(r"issuer=.*Pebble", shown), shown
    assert "TLSv1.3" in shown
    assert world(f"{show} -tls1_2 </dev/null", check=False).returncode != 0


@pytest.mark.usefixtures("converged")
def test_site_has_the_strict_headers_and_caches_hashed_assets(world: Shell) -> None:
    page = world(f"curl -sS -D /dev/stderr {URL} 2>&1").stdout
    headers = page.lower()
    for wanted in (
        "strict-transport-security: max-age=63072000",
        "content-security-policy: default-src 'self'",
        "x-content-type-options: nosniff",
        "cache-control: no-cache",
        'alt-svc: h3=":443"',
    ):
        assert wanted in headers
    asset = re.findall(r'(?:src|href)="/(assets/[^"]+)"', page)[0]
    answer = world(f"curl -sSI --compressed {URL}{asset}").stdout.lower()
    assert "immutable" in answer
    assert "content-encoding: br" in answer or "content-encoding: gzip" in answer


@pytest.mark.usefixtures("converged")
def test_port_80_redirects(world: Shell) -> None:
    asked = "curl -sS -o /dev/null -w '%{http_code} %{redirect_url}' http://docs.vln.test/x?y=z"
    assert world(asked).stdout == "301 https://docs.vln.test/x?y=z"


@pytest.mark.usefixtures("converged")
def test_browser_finds_pages_search_and_links_without_a_complaint(browse: Callable[..., dict[str, Any]]) -> None:
    seen = browse(
        {"open": URL},
        {"text": "h1", "as": "heading"},
        {"links": "links"},
        {"click": ".DocSearch-Button"},
        {"type": "firewall", "into": "#localsearch-input"},
        {"text": "ul.results a.result", "as": "found"},
        {"screenshot": "/var/tmp/search.png"},
        {"click": "ul.results a.result"},
        {"wait": "main h1"},
        {"links": "beside"},
    )
    LOGS.mkdir(parents=True, exist_ok=True)
    subprocess.run(["docker", "cp", "world:/var/tmp/search.png", str(LOGS / "docs-search.png")], check=True)
    assert seen["heading"]
    assert "firewall" in seen["found"].lower()
    assert seen["url"] != URL
    assert seen["console"] == []
    # What leads on from the start page, and from the page that was found with all those beside it
    every = {link.partition("#")[0] for link in [*seen["links"], *seen["beside"]]}
    links = {link for link in every if link.startswith(URL)}
    assert len(links) > 10
    followed = browse(*(step for link in sorted(links) for step in ({"open": link}, {"wait": "h1"})))
    assert followed["console"] == []


@pytest.mark.usefixtures("converged")
def test_every_page_is_there(world: Shell) -> None:
    folder = ROOT / "docs/.vitepress/dist"
    pages = sorted(str(page.relative_to(folder)) for page in folder.rglob("*.html") if page.name != "404.html")
    assert len(pages) > 10
    urls = "".join(f"url = {URL}{page}\noutput = /dev/null\n" for page in pages)
    codes = world("curl -sS --http2 -w '%{http_code} %{url}\\n' --config -", urls).stdout.splitlines()
    assert [line for line in codes if not line.startswith("200 ")] == []
    assert len(codes) == len(pages)
    assert world(f"curl -sS -o /dev/null -w '%{{http_code}}' {URL}no-such-page").stdout == "404"
