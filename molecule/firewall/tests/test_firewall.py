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
    host.run("systemctl stop listeners; docker rm --force closed promised; docker network rm inner")


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


def test_change_that_closes_the_port_of_a_service_is_reverted(role: Role, world: Host) -> None:
    # As a rule of others that decides only after the change: the port is promised, and the new rules close it.
    variables = {"firewall_allow": [], "__firewall_open_ports": [8082, 8081]}
    lost = r"port 8082 \(before: connection accepted, now: (no answer|connection refused)\)"
    role.assert_refused([(variables, f"{lost}(?s:.*)Rolled back to the previous configuration, which is live")])
    for address, ports in ALLOWED.items():
        assert scan(world, address, LISTENING) == ports


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


def test_rule_of_others_is_copied_before_it_is_removed(role: Role, host: Host, world: Host) -> None:
    machines.script(host, both("$i -I INPUT -p tcp --dport 8081 -j ACCEPT"))
    done = role.apply()
    assert "`ip6tables -A INPUT -p tcp -m tcp --dport 8081 -j ACCEPT` was added by others" in " ".join(
        done.output.split()
    )
    copy = re.search(r"a copy of the rules that are removed is in\s+(\S+)", done.output)
    assert copy
    kept = host.check_output("tar -xzOf %s live/iptables.rules found.txt", copy[1])
    assert kept.count("-A INPUT -p tcp -m tcp --dport 8081 -j ACCEPT") == 3
    assert scan(world, ADDRESS, "8081") == []
    assert role.apply().is_unchanged


def test_service_of_other_rules_flushes_nothing(role: Role, host: Host, world: Host) -> None:
    # Its end flushes all rules; the upgrade of its package restarts it.
    enable = "rm /etc/systemd/system/nftables.service; systemctl daemon-reload; systemctl enable --now nftables"
    machines.script(host, f"echo '# no rules' >/etc/nftables.conf; {enable}")
    role.correct()
    machines.script(
        host, "apt-get install -qq -y --reinstall nftables; ! systemctl start nftables; systemctl stop nftables"
    )
    for address, ports in ALLOWED.items():
        assert scan(world, address, LISTENING) == ports


def closes(table: str, rules: str) -> str:
    """Return a command that creates a table of nftables with a base chain."""
    return f"nft 'table inet {table} {{ chain one {{ {rules} }}; }}'"


@pytest.mark.parametrize(
    ("fault", "repair", "port", "is_open", "named"),
    [
        pytest.param(
            closes("fw", "type filter hook input priority -5; policy drop; iifname lo accept; tcp dport 22 accept;"),
            "nft delete table inet fw",
            "8082",
            False,
            "table inet fw, chain one: `policy drop` drops",
            id="a policy of nftables closes a port",
        ),
        pytest.param(
            both("$i -t raw -A PREROUTING -p tcp -m multiport --dports 8082,9090 -j DROP"),
            both("$i -t raw -F"),
            "9090",
            False,
            "table raw, chain PREROUTING: `-A PREROUTING -p tcp -m multiport --dports 8082,9090 -j DROP` drops",
            id="a table before Docker's closes ports",
            marks=pytest.mark.deep,
        ),
        pytest.param(
            both("${i}-legacy -A INPUT -p tcp --dport 8082 -j DROP"),
            both("${i}-legacy -F"),
            "8082",
            False,
            "tables-legacy: table filter, chain INPUT: `-A INPUT -p tcp -m tcp --dport 8082 -j DROP` drops",
            id="the legacy backend of iptables closes a port",
        ),
        pytest.param(
            both("$i -t nat -I PREROUTING -p tcp --dport 8181 -j REDIRECT --to-ports 8082"),
            both("$i -t nat -D PREROUTING -p tcp --dport 8181 -j REDIRECT --to-ports 8082"),
            "8181",
            True,
            "--dport 8181 -j REDIRECT --to-ports 8082` opens",
            id="a redirection opens a port",
        ),
        pytest.param(
            both("$i -I INPUT -p tcp --dport 8081 -j NFQUEUE --queue-num 9 --queue-bypass"),
            both("$i -D INPUT -p tcp --dport 8081 -j NFQUEUE --queue-num 9 --queue-bypass"),
            "",
            True,
            "-j NFQUEUE --queue-num 9 --queue-bypass` opens",
            id="a queue may open a port",
            marks=pytest.mark.deep,
        ),
    ],
)
def test_foreign_rule_that_decides_is_refused(
    host: Host, world: Host, fault: str, repair: str, port: str, is_open: bool, named: str
) -> None:
    machines.script(host, fault)
    for address in ALLOWED if port else ():
        assert bool(scan(world, address, port)) is is_open
    for command in ("plan", "verify", "apply"):
        done = host.run("/usr/local/sbin/vise-firewall %s", command)
        assert done.rc == 1
        assert named in f"{done.stdout}{done.stderr}"
    machines.script(host, f"{repair}; /usr/local/sbin/vise-firewall verify")


@pytest.mark.deep
def test_run_is_refused_before_it_changes_anything(role: Role, host: Host) -> None:
    machines.script(host, both("$i -I INPUT -p tcp --dport 8082 -j REJECT"))
    before = host.check_output("iptables-save -t filter | grep -v '^[#:]'")
    role.assert_refused([({}, "refused, nothing was changed.*chain INPUT: `-A INPUT -p tcp.*8082.*` drops.*take_over")])
    assert host.check_output("iptables-save -t filter | grep -v '^[#:]'") == before
    machines.script(host, both("$i -D INPUT -p tcp --dport 8082 -j REJECT"))


def test_bans_of_other_programs_stay(role: Role, host: Host, world: Host) -> None:
    # As fail2ban and CrowdSec do it: a chain of iptables, and a table of nftables with a set.
    machines.script(
        host,
        "iptables -N f2b-sshd; iptables -A f2b-sshd -s 172.30.0.2 -j REJECT; iptables -A f2b-sshd -j RETURN\n"
        "iptables -I INPUT -p tcp -m multiport --dports 8082 -j f2b-sshd\n"
        "nft 'table ip6 crowdsec { set bans { type ipv6_addr; flags interval; elements = { fd30::/112 }; };"
        " chain one { type filter hook input priority -10; ip6 saddr @bans tcp dport 8082 drop; }; }'",
    )
    assert role.apply().is_unchanged
    for address in ALLOWED:
        assert scan(world, address, "8082,9090") == ["9090"]
    machines.script(
        host, "iptables -D INPUT 1; iptables -F f2b-sshd; iptables -X f2b-sshd; nft delete table ip6 crowdsec"
    )


def test_first_run_lists_the_rules_of_the_host_and_takes_them_over(role: Role, host: Host, world: Host) -> None:
    machines.script(host, (FILES / "provider.sh").read_text())
    before = host.check_output("iptables-save -t filter | grep -v '^[#:]'")
    listed = [
        "refused, nothing was changed",
        "provider-rules.service: enabled, runs `/usr/sbin/iptables-restore /etc/provider.rules`",
        "/etc/ufw/user.rules: ufw rule `allow tcp 8081",
        "/etc/default/ufw: DEFAULT_FORWARD_POLICY=ACCEPT",
        "live rule: iptables -A INPUT -j REJECT --reject-with icmp-host-prohibited",
    ]
    role.assert_refused([({}, ".*".join(map(re.escape, listed)))])
    assert host.check_output("iptables-save -t filter | grep -v '^[#:]'") == before
    taken = role.apply(firewall_take_over=True)
    copy = re.search(r"a copy of the rules that are removed is in\s+(\S+)", taken.output)
    assert copy
    assert host.file(copy[1]).mode == 0o600
    files = host.check_output("tar -xzOf %s live/iptables.rules etc/ufw/user.rules found.txt", copy[1])
    assert "-A INPUT -j REJECT" in files
    assert "tuple ### allow tcp 8081" in files
    for address, ports in ALLOWED.items():
        assert scan(world, address, LISTENING) == ports
    assert host.run("iptables -C OUTPUT -d 169.254.0.0/16 -j InstanceServices").rc == 0
    assert host.run("systemctl is-enabled provider-rules").stdout == "disabled\n"
    assert host.check_output("/usr/local/sbin/vise-firewall verify") == "live"


@pytest.mark.deep
@pytest.mark.parametrize(
    "variables", [{"firewall_ssh_port": 2222}, {"firewall_ssh_from": ["192.0.2.0/24"]}, {"firewall_ssh_port": 0}]
)
def test_rules_that_close_ssh_for_the_controller_are_reverted(
    role: Role, host: Host, world: Host, variables: dict[str, Any]
) -> None:
    before = host.check_output("iptables-save -t filter | grep -v '^[#:]'")
    role.assert_refused([(variables, "no new login could confirm it.*Rolled back.*which is live.*firewall_ssh_port")])
    assert machines.answers_ssh(ADDRESS)
    assert host.check_output("iptables-save -t filter | grep -v '^[#:]'") == before
    for address, ports in ALLOWED.items():
        assert scan(world, address, LISTENING) == ports


@pytest.mark.deep
def test_first_change_that_closes_ssh_makes_the_earlier_rules_live_again(role: Role, host: Host) -> None:
    machines.script(host, (FILES / "provider.sh").read_text())
    before = host.check_output("iptables-save -t filter | grep -v '^[#:]'")
    refused = "no new login could confirm it.*Rolled back"
    role.assert_refused([({"firewall_ssh_port": 2222, "firewall_take_over": True}, refused)])
    assert machines.answers_ssh(ADDRESS)
    assert host.check_output("iptables-save -t filter | grep -v '^[#:]'") == before
    role.apply(firewall_take_over=True)


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
