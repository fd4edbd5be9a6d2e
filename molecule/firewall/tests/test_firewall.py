"""Only the ports of the description answer, on the host and in containers, whatever Docker or a person does."""

from __future__ import annotations

import functools
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

from tests import machines
from tests.scenario import ADDRESS, ADDRESS6, NAME, Role

FILES = Path(__file__).resolve().parents[1] / "files"
# Every port on which a program listens, and one more: on the host and in a container.
LISTENING = "22,8080-8085,9090"
ALLOWED = {ADDRESS: ["22", "8082", "8084", "8085", "9090"], ADDRESS6: ["22", "8082", "8084", "9090"]}
# No registry is in reach: the image is the host's own busybox. An init ends the containers at once on a reboot.
CONTAINERS = """
cat >/etc/docker/daemon.json <<'JSON'
{"userland-proxy": false, "live-restore": true, "ipv6": true, "fixed-cidr-v6": "fd00:d0c::/64",
 "experimental": true, "ip6tables": true}
JSON
systemctl restart docker
systemd-run --quiet --unit=listeners python3 /root/listeners.py tcp:808{1,2,3,4,5} udp:530{1,2}
mkdir -p /root/image/bin /root/image/www
cp /bin/busybox /root/image/bin/
for name in sh httpd wget nc; do ln -sf busybox /root/image/bin/$name; done
echo served > /root/image/www/index.html
tar -C /root/image -c . | docker import - fixture >/dev/null
docker network create --ipv6 --subnet fd00:d0c:1::/64 inner >/dev/null
docker run -d --init --restart always --name closed --network inner -p 8080:80 fixture httpd -f -h /www
docker run -d --init --restart always --name promised -p 9090:80 fixture httpd -f -h /www
"""


@pytest.fixture(scope="module", autouse=True)
def listeners(host: Host, world: Host) -> Iterator[None]:
    """More ports are open on the host and in containers than the firewall allows."""
    install = "apt-get update -qq; apt-get install -qq -y --no-install-recommends docker.io docker-cli busybox-static"
    machines.script(host, install)
    host.check_output("printf %%s %s >/root/listeners.py", (FILES / "listeners.py").read_text())
    machines.script(host, CONTAINERS)
    for address in ALLOWED:
        assert machines.eventually(functools.partial(scan, world, address, "9090"))
    yield
    # Other roles' tests on this host use the ports; after a reboot the unit is gone.
    host.run("systemctl stop listeners; docker rm --force closed promised")


def scan(world: Host, address: str, ports: str) -> list[str]:
    """Return the open TCP ports as a stranger sees them."""
    flags = "-n -Pn -sS --open --min-rate 30000 --max-retries 1 --max-rtt-timeout 100ms -oG -"
    family = "-6 " if ":" in address else ""
    return sorted(re.findall(r"(\d+)/open/tcp", world.check_output(f"nmap {flags} {family}-p {ports} {address}")))


@pytest.mark.parametrize("address", ALLOWED)
def test_only_allowed_ports_answer(world: Host, address: str) -> None:
    assert scan(world, address, "1-10000") == ALLOWED[address]


@pytest.mark.parametrize(
    ("network", "command", "answer"),
    [
        ("bridge", "sleep 1 | nc -w 2 172.30.0.2 22", "SSH-2.0"),
        ("inner", "sleep 1 | nc -w 2 fd30::2 22", "SSH-2.0"),
        ("inner", "wget -q -O - http://closed/", "served"),
    ],
)
def test_containers_reach_the_outside_and_each_other(host: Host, network: str, command: str, answer: str) -> None:
    assert answer in host.check_output("docker run --rm --network %s fixture sh -c %s", network, command)


@pytest.mark.parametrize("address", ALLOWED)
@pytest.mark.parametrize(("port", "answer"), [(5301, "heard"), (5302, "")])
def test_udp_answers_only_at_the_allowed_port(world: Host, address: str, port: int, answer: str) -> None:
    command = f"(echo heard; sleep 0.5) | timeout 2 nc -u {address} {port}; true"
    assert world.check_output("sh -c %s", command) == answer


def test_invalid_input_is_refused(role: Role) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"firewall_allow": [{"proto": "tcp"}]}, "argument.*port.*required|missing required.*port"),
        ({"firewall_allow": [{"port": 1, "prot": "tcp"}]}, "firewall_allow.prot. Supported parameters"),
        ({"firewall_allow": [{"port": 1, "proto": "icmp"}]}, "must be one of.*icmp"),
        ({"firewall_allow": [{"port": "ssh"}]}, "'ssh' is neither a port"),
        (
            {"firewall_allow": [], "firewall_container_interfaces": ["a-name-that-no-kernel-takes"]},
            "refused, nothing was changed",
        ),
    ]
    role.assert_refused(cases)


def both(commands: str) -> str:
    """Return commands for each IP version."""
    return f"for i in iptables ip6tables; do {commands}; done"


@pytest.mark.parametrize(
    ("fault", "opened"),
    [
        pytest.param("ufw allow 8081", "8081", id="a port is allowed"),
        pytest.param("ufw disable", "8081", id="the firewall is disabled"),
        pytest.param(
            both("$i -N MINE; $i -A MINE -p tcp --dport 8081 -j ACCEPT; $i -I INPUT -j MINE"),
            "8081",
            id="a rule in another chain comes first",
            marks=pytest.mark.deep,
        ),
        pytest.param(
            both("$i -P INPUT ACCEPT; $i -F INPUT"), "8081", id="chain and policy are open", marks=pytest.mark.deep
        ),
        pytest.param(both("$i -F DOCKER-USER"), "8080", id="the containers' chain is empty", marks=pytest.mark.deep),
        pytest.param(
            both("$i -N FIRST; $i -A FIRST -j ACCEPT; $i -I FORWARD -j FIRST"),
            "8080",
            id="another chain comes before the containers'",
        ),
    ],
)
def test_drift_that_opens_a_port_is_reported_and_corrected(
    role: Role, host: Host, world: Host, fault: str, opened: str
) -> None:
    machines.script(host, fault)
    for address in ALLOWED:
        assert scan(world, address, opened) == [opened]
    role.correct()
    for address, ports in ALLOWED.items():
        assert scan(world, address, LISTENING) == ports


@pytest.fixture
def knocking() -> Iterator[subprocess.Popen[str]]:
    """Connections from outside to a closed container port, one after another, for twelve seconds."""
    argv = ["docker", "exec", "-i", machines.WORLD, "python3", "-", "12", "8080,8081", ADDRESS, ADDRESS6]
    with (FILES / "knock.py").open() as program:
        child = subprocess.Popen(argv, stdin=program, stdout=subprocess.PIPE, text=True)
    yield child
    child.wait(timeout=30)


@pytest.mark.deep
def test_restart_of_docker_opens_no_port_at_any_moment(role: Role, host: Host, knocking: subprocess.Popen[str]) -> None:
    machines.script(host, "systemctl restart docker; iptables -D ufw-user-input -p tcp --dport 8082 -j ACCEPT")
    role.apply()
    counted = json.loads(knocking.communicate(timeout=30)[0])
    assert counted["knocks"] > 2000
    assert counted["answers"] == 0


@pytest.mark.deep
def test_reboot_opens_no_port_and_leaves_nothing_to_correct(role: Role, host: Host, world: Host) -> None:
    started = machines.started_at(NAME)
    host.run("systemctl reboot")
    assert machines.eventually(lambda: machines.started_at(NAME) != started, 120)
    assert machines.eventually(lambda: machines.answers_ssh(ADDRESS), 60)
    for address in ALLOWED:
        assert machines.eventually(functools.partial(scan, world, address, "9090"), 30)
        # The listeners of the host ended with it.
        assert scan(world, address, LISTENING) == ["22", "9090"]
    assert role.apply().is_unchanged
