"""A host a group: the same description with another inventory."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator

import pytest

from tests.e2e import booting
from tests.e2e.converge import ADDRESS, ADDRESS6, MAIL_NAMES, PHASE2, URL, Platform
from tests.e2e.scan import scans

Shell = Callable[..., "subprocess.CompletedProcess[str]"]

HOSTS = {"docs-1": 30, "edu-1": 31, "mail-1": 32, "monitoring-1": 33, "database-1": 34, "cache-1": 35, "edge-1": 36}
DOCS, MAIL, EDGE = "172.30.0.30", "172.30.0.32", "172.30.0.36"
WEB = {"22/tcp", "80/tcp", "443/tcp"}
OPEN = {"edge-1": WEB, "mail-1": WEB | {"25/tcp", "465/tcp", "587/tcp", "993/tcp"}}
# In the words of h3.
SAID = "code=%{http_code} version=%{http_version} remote=%{remote_ip}\\n"


@pytest.fixture(scope="module")
def spread(sandbox: Shell) -> Iterator[Platform]:
    """A host a group, converged at once."""
    PHASE2.create()
    sandbox("point", EDGE, "fd30::36", "docs")
    sandbox("point", MAIL, "fd30::32", *MAIL_NAMES)
    PHASE2.converge()
    yield PHASE2
    sandbox("point", ADDRESS, ADDRESS6, "docs", *MAIL_NAMES)
    PHASE2.destroy()


@pytest.mark.parametrize(
    ("version", "page", "summary"),
    [
        ("1.1", "curl -sS --http1.1", f"curl -sS --http1.1 -o /dev/null -w '{SAID}'"),
        ("2", "curl -sS --http2", f"curl -sS --http2 -o /dev/null -w '{SAID}'"),
        ("3", "h3 --only body", "h3 --only summary"),
    ],
)
@pytest.mark.usefixtures("spread")
def test_edge_serves_the_site_of_the_docs_host(
    world: Shell, on_host: Shell, version: str, page: str, summary: str
) -> None:
    known = [f"code=200 version={version} remote={address}\n" for address in (EDGE, "fd30::36")]
    assert world(f"{summary} {URL}").stdout in known
    assert on_host(EDGE, "ls /srv/sites", check=False).stdout == ""
    assert world(f"{page} {URL}").stdout == on_host(DOCS, "cat /srv/sites/docs/current/index.html").stdout


@pytest.mark.usefixtures("spread")
def test_each_header_comes_once_through_both_hosts(world: Shell) -> None:
    headers = world(f"curl -sSI {URL}").stdout.lower().splitlines()
    for name in ("strict-transport-security", "content-security-policy", "x-content-type-options", "cache-control"):
        assert len([line for line in headers if line.startswith(f"{name}:")]) == 1, name


@pytest.mark.usefixtures("spread")
def test_edge_asks_the_docs_host_only_with_its_internal_certificate(on_host: Shell) -> None:
    verified = "openssl s_client -connect 172.30.0.30:8443 -servername docs.internal -verify_hostname docs.internal"
    shown = on_host(EDGE, f"{verified} -CAfile /etc/vise/tls/internal/ca.pem </dev/null 2>&1").stdout
    assert "Verify return code: 0 (ok)" in shown


@pytest.mark.usefixtures("spread")
def test_only_promised_ports_of_each_host_answer(world: Shell) -> None:
    addresses = {f"{prefix}{last}": host for host, last in HOSTS.items() for prefix in ("172.30.0.", "fd30::")}
    for address, (opened, closed) in scans(world, list(addresses)).items():
        host = addresses[address]
        assert opened == OPEN.get(host, {"22/tcp"}), address
        assert closed == set(), address


@pytest.mark.usefixtures("spread")
@pytest.mark.parametrize(
    ("port", "server"),
    [(5432, "172.30.0.34"), (6432, "172.30.0.34"), (6379, "172.30.0.35")],
    ids=["database", "pool", "cache"],
)
def test_services_answer_their_clients_and_nobody_else(on_host: Shell, port: int, server: str) -> None:
    asked = f"timeout 3 bash -c ': </dev/tcp/{server}/{port}'"
    assert on_host("172.30.0.31", asked, check=False).returncode == 0
    assert on_host(DOCS, asked, check=False).returncode == 124


@pytest.mark.usefixtures("spread")
def test_mail_is_reached_at_its_own_host(world: Shell) -> None:
    asked = world("curl -sS -o /dev/null -w '%{http_code} %{remote_ip}' -4 https://mail.vln.test/").stdout
    assert asked == f"200 {MAIL}"
    assert world("dig +short @172.30.0.2 vln.test MX").stdout == "10 mail.vln.test.\n"
    assert MAIL in world("dig +short @172.30.0.2 mail.vln.test A").stdout


def test_mail_flows_at_its_own_host(spread: Platform) -> None:
    spread.converge("probe_mail")


@pytest.mark.deep
@pytest.mark.usefixtures("spread")
def test_everything_runs_again_after_all_hosts_have_lost_their_power_at_once() -> None:
    ways = {name: booting.WAYS[name] for name in ("site", "smtp", "imaps")}
    boot = booting.boot([*HOSTS], booting.CUT, ways)
    print(f"healthy after {boot.seconds:.0f} s")
    assert boot.missing == []
    assert boot.ailing == []


# After the power cut, so that whatever was lost is seen here.
def test_second_run_changes_nothing(spread: Platform) -> None:
    assert spread.converge().changed == dict.fromkeys(HOSTS, 0)
