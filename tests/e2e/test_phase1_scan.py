"""One host in every group: only the promised ports answer, whoever opens another one."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator

import pytest

from tests.e2e.converge import ADDRESS, ADDRESS6
from tests.e2e.scan import UDP, scans

Shell = Callable[..., "subprocess.CompletedProcess[str]"]

OPEN = {"22/tcp", "80/tcp", "443/tcp", "25/tcp", "465/tcp", "587/tcp", "993/tcp"}
# A listener on the host, and containers that publish a port to all addresses.
LISTEN = """
set -e
apt-get install -y -qq busybox-static >/dev/null
mkdir -p /root/image/bin && cp /bin/busybox /root/image/bin/
tar -C /root/image -c . | docker import - e2e-fixture >/dev/null
docker run -d --name e2e-published -p 8090:80 -p 8091:81/udp e2e-fixture /bin/busybox httpd -f -p 80
systemd-run --unit e2e-listener /bin/busybox httpd -f -p 9090
for port in 8090 9090; do curl -s -o /dev/null --retry 5 --retry-connrefused 127.0.0.1:$port; done
"""
CLEAN = """
docker rm -f e2e-published; docker rmi e2e-fixture; systemctl stop e2e-listener
apt-get purge -y -qq busybox-static; rm -rf /root/image
"""


@pytest.fixture
def listeners(on_host: Shell) -> Iterator[str]:
    """Somebody opens ports that nobody promised; they do listen."""
    on_host(ADDRESS, "bash -s", LISTEN)
    yield on_host(ADDRESS, "ss -Hltn 'sport = 9090'; docker port e2e-published").stdout
    on_host(ADDRESS, CLEAN, check=False)


@pytest.mark.usefixtures("converged")
def test_only_promised_ports_answer_also_when_others_listen(world: Shell, listeners: str) -> None:
    assert ":9090" in listeners
    assert "0.0.0.0:8090" in listeners
    for address, (opened, closed) in scans(world, [ADDRESS, ADDRESS6]).items():
        assert opened == OPEN, address
        assert closed == set(), address


@pytest.mark.usefixtures("converged")
def test_of_udp_only_quic_is_let_in(world: Shell) -> None:
    for address, (opened, closed) in scans(world, [ADDRESS, ADDRESS6], UDP).items():
        assert opened | closed <= {"443/udp"}, address
