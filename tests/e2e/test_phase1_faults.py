"""One host in every group: what cannot go live is refused with the reason, and the site stays up."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from ansible_collections.vise.platform.plugins.filter.host_services import host_services

from tests.e2e.converge import ADDRESS, ADDRESS6, HOST, OTHER, PHASE1, ROOT, TASKS, URL, chosen

Shell = Callable[..., "subprocess.CompletedProcess[str]"]

EDGE = ("edge", "--tags", "nginx")


def serial(world: Shell) -> str:
    """The certificate that visitors get with the page, which must come."""
    world(f"curl -fsS -o /dev/null {URL}")
    command = "openssl s_client -connect docs.vln.test:443 -servername docs.vln.test </dev/null 2>/dev/null"
    return world(f"{command} | openssl x509 -noout -serial").stdout.strip()


pytestmark = pytest.mark.deep


@pytest.fixture
def stays_up(converged: str, world: Shell) -> Iterator[None]:  # noqa: ARG001 - the host has to be converged first
    """The site must be there before and after, with the same certificate."""
    before = serial(world)
    yield
    assert serial(world) == before


def sites(**change: Any) -> dict[str, Any]:
    """The docs site of the description, changed."""
    docs = yaml.safe_load((ROOT / "group_vars/all/sites.yml").read_text())["sites"]["docs"]
    nginx = {**docs["nginx"], **change.pop("nginx", {})}
    source = str(ROOT / "docs/.vitepress/dist")
    return {"docs": {**docs, "domain": "docs.vln.test", "source": source, "nginx": nginx, **change}}


def virtual_hosts(*more: dict[str, Any]) -> dict[str, Any]:
    """The virtual hosts of the host as they are, and more."""
    groups = {"edge": [HOST], "docs": [HOST]}
    return {"nginx_sites": [*host_services(sites(), HOST, groups, {HOST: {}})["nginx_sites"], *more]}


@pytest.fixture
def port_taken(on_host: Shell) -> Iterator[None]:
    """Another program has the port 9443."""
    on_host(ADDRESS, "systemd-run --unit e2e-taken python3 -m http.server 9443")
    on_host(ADDRESS, "for i in 1 2 3 4 5; do curl -s -o /dev/null 127.0.0.1:9443 && exit 0; sleep 1; done; exit 1")
    yield
    on_host(ADDRESS, "systemctl stop e2e-taken")


@pytest.fixture
def certificate_missing(on_host: Shell) -> Iterator[None]:
    """Somebody has moved the certificate away."""
    on_host(ADDRESS, "mv /etc/vise/tls/docs/fullchain.pem /root/")
    yield
    on_host(ADDRESS, "mv /root/fullchain.pem /etc/vise/tls/docs/")


@pytest.fixture
def acme_down(sandbox: Shell) -> Iterator[None]:
    """Nobody gives the host certificates; afterwards it is what it was."""
    sandbox("fault", "acme", "outage", ADDRESS, ADDRESS6)
    yield
    sandbox("fault", "acme", "none", ADDRESS, ADDRESS6)
    PHASE1.converge("edge", "--tags", "certificates")


def test_killed_change_ends_like_one_that_was_not(
    converged: str, listing: Callable[[], str], world: Shell, on_host: Shell
) -> None:
    PHASE1.converge(extra=OTHER)
    assert listing() != converged
    assert "referrer-policy: same-origin" in world(f"curl -sSI {URL}").stdout.lower()
    for task, delay in chosen(seed=7, tasks=TASKS, times=3, longest=2):
        print("killed in", PHASE1.kill_in(task, delay))
    PHASE1.converge()
    assert listing() == converged
    assert "referrer-policy: strict-origin" in world(f"curl -sSI {URL}").stdout.lower()
    assert "4242" not in on_host(ADDRESS, "iptables-save; ip6tables-save").stdout
    assert "maxauthtries 3" in on_host(ADDRESS, "sshd -T").stdout
    assert on_host(ADDRESS, "ls /var/lib/vise/components/*/pending.json", check=False).stdout == ""


@pytest.mark.usefixtures("stays_up")
def test_broken_virtual_host_is_refused(on_host: Shell) -> None:
    run = PHASE1.play(*EDGE, extra={"sites": sites(nginx={"max_body_size": "plenty"})})
    assert run.code == 2
    assert "client_max_body_size" in run.output, run.tail
    assert "plenty" not in on_host(ADDRESS, "cat /etc/nginx/sites-enabled/docs.conf").stdout


@pytest.mark.usefixtures("stays_up", "certificate_missing")
def test_missing_certificate_is_refused() -> None:
    run = PHASE1.play(*EDGE, extra={"nginx_headers": {"Referrer-Policy": "origin"}})
    assert run.code == 2
    assert "fullchain.pem" in run.output, run.tail


@pytest.mark.usefixtures("stays_up", "port_taken")
def test_taken_port_is_refused(on_host: Shell) -> None:
    tls = {"certificate": "/etc/vise/tls/docs/fullchain.pem", "key": "/etc/vise/tls/docs/privkey.pem"}
    site = {"name": "taken", "domains": ["taken.vln.test"], "tls": tls, "root": "/srv", "listen": {"port": 9443}}
    run = PHASE1.play(*EDGE, extra=virtual_hosts(site))
    assert run.code == 2
    assert "9443 failed" in run.output, run.tail
    assert "Rolled back to the previous configuration, which is live." in run.output, run.tail
    on_host(ADDRESS, "test ! -e /etc/nginx/sites-enabled/taken.conf")


@pytest.mark.usefixtures("stays_up", "acme_down")
def test_old_certificate_is_served_while_acme_is_down() -> None:
    # A further name needs a new certificate, which nobody gives.
    run = PHASE1.play("edge", "--tags", "certificates", extra={"sites": sites(aliases=["www.vln.test"])})
    assert run.code == 2
    assert "docs: not issued" in run.output, run.tail
    assert "Connection refused" in " ".join(run.output.split()), run.tail
