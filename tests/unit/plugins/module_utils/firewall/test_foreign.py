"""What a host had before the role is found: rules of ufw, edited files, settings, live rules; a copy keeps it."""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.filter.ufw_rules import ufw_rules
from ansible_collections.vise.platform.plugins.module_utils.firewall import foreign, loaders
from ansible_collections.vise.platform.plugins.module_utils.host import programs

ALLOWED = {family: ufw_rules([{"port": 22}, {"port": 443}], family) for family in (4, 6)}
PROVIDER = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:InstanceServices - [0:0]
:f2b-sshd - [0:0]
-A INPUT -p tcp -m multiport --dports 22 -j f2b-sshd
-A INPUT -p tcp -m state --state NEW -m tcp --dport 22 -j ACCEPT
-A INPUT -j REJECT --reject-with icmp-host-prohibited
-A OUTPUT -d 169.254.0.0/16 -j InstanceServices
-A f2b-sshd -s 198.51.100.7/32 -j REJECT
COMMIT
"""
DOCKER = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:DOCKER - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A FORWARD -i br-0a1b2c -o br-0a1b2c -j ACCEPT
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER-USER -j RETURN
COMMIT
"""
ADDRESSES = (
    '[{"ifname": "eth0", "flags": [], "addr_info": [{"local": "192.0.2.9", "prefixlen": 24, "scope": "global"}]}]'
)


class Machine:
    """Programs by their first arguments, and a directory for the files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.outputs = {"iptables-save": "", "ip6tables-save": "", "ip": ADDRESSES, "dpkg-query": ""}

    def run(self, argv: list[str], **_options: Any) -> programs.Result:
        """Stand in for programs.run: unknown programs are not installed."""
        if argv[0] not in self.outputs:
            return programs.Result(programs.NOT_FOUND, "", "program not found")
        return programs.Result(0, self.outputs[argv[0]])

    def write(self, name: str, text: str) -> None:
        """Write a file of ufw."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def find(self, is_new: bool = True, take_over: bool = False) -> list[str]:
        """Return what is found."""
        return foreign.find(ALLOWED, ["docker0", "br-+"], is_new, take_over).removed


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    """A host without any firewall."""
    found = Machine(tmp_path)
    monkeypatch.setattr(programs, "run", found.run)
    monkeypatch.setattr(loaders, "find", lambda _is_new: ([], []))
    for name, path in {"UFW": "ufw", "UFW_TEMPLATES": "share", "DEFAULTS": "ufw/default", "COPIES": "copies"}.items():
        monkeypatch.setattr(foreign, name, str(tmp_path / path))
    return found


def test_host_without_rules_has_nothing_to_take_over(machine: Machine) -> None:
    assert machine.find() == []


def test_fresh_package_of_ufw_is_not_foreign(machine: Machine) -> None:
    for name in foreign.RULE_FILES:
        machine.write(f"ufw/{name}", "*filter\nCOMMIT\n")
        machine.write(f"share/iptables/{name}", "*filter\nCOMMIT\n")
    machine.write("ufw/user.rules", "*filter\n### RULES ###\n### END RULES ###\n")
    machine.write("ufw/default", 'IPV6=yes\nDEFAULT_FORWARD_POLICY="DROP"\nIPT_MODULES="nf_conntrack_ftp"\n')
    assert machine.find() == []


def test_rules_of_docker_and_bans_are_not_foreign(machine: Machine) -> None:
    machine.outputs["iptables-save"] = DOCKER
    machine.outputs["ip6tables-save"] = PROVIDER.replace("-A INPUT -p tcp -m state", "#").replace("-A INPUT -j", "#")
    assert machine.find() == []


def test_rules_of_a_provider_are_listed(machine: Machine) -> None:
    machine.outputs["iptables-save"] = PROVIDER
    assert machine.find() == [
        "live rule: iptables -A INPUT -p tcp -m state --state NEW -m tcp --dport 22 -j ACCEPT",
        "live rule: iptables -A INPUT -j REJECT --reject-with icmp-host-prohibited",
    ]


def test_host_of_the_role_lists_live_rules_only_when_it_may_remove_them(machine: Machine) -> None:
    machine.outputs["iptables-save"] = PROVIDER
    assert machine.find(is_new=False) == []
    assert len(machine.find(is_new=False, take_over=True)) == 2


def test_later_rules_that_open_ports_are_drift(machine: Machine) -> None:
    mine = "-A INPUT -s 192.0.2.7/32 -j DROP\n-A INPUT -i lo -j ACCEPT\n-A INPUT -p tcp -m tcp --dport 8081 -j ACCEPT\n"
    machine.outputs["ip6tables-save"] = f"{DOCKER}{mine}COMMIT\n"
    found = foreign.find(ALLOWED, ["docker0", "br-+"], False, False)
    assert found.drift == ["ip6tables -A INPUT -p tcp -m tcp --dport 8081 -j ACCEPT"]
    copy = foreign.keep_copy(found, "now")
    with tarfile.open(copy) as archive:
        assert archive.extractfile("found.txt").read().decode() == f"{found.drift[0]}\n"  # type: ignore[union-attr]
    # These lists have the rule already.
    assert foreign.find(ALLOWED, [], True, False).drift == foreign.find(ALLOWED, [], False, True).drift == []


def test_forwarding_by_hand_is_listed(machine: Machine) -> None:
    mine = "-A FORWARD -i wg0 -j ACCEPT\n-A DOCKER-USER -s 192.0.2.7/32 -j DROP\n-A FORWARD -j DOCKER-USER\n"
    machine.outputs["iptables-save"] = DOCKER.replace("-A FORWARD -j DOCKER-USER\n", mine)
    assert machine.find() == [
        "live rule: iptables -A FORWARD -i wg0 -j ACCEPT",
        "live rule: iptables -A DOCKER-USER -s 192.0.2.7/32 -j DROP",
    ]


@pytest.mark.parametrize(
    ("rule", "is_listed"),
    [
        ("allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in comment=53", False),
        ("allow any 22 0.0.0.0/0 any 0.0.0.0/0 in", False),
        ("allow tcp 22,443 0.0.0.0/0 any 0.0.0.0/0 in", False),
        ("allow tcp 80,443 0.0.0.0/0 any 0.0.0.0/0 Nginx%20Full - in", True),
        ("allow udp 443 0.0.0.0/0 any 0.0.0.0/0 in", True),
        ("allow tcp 22 0.0.0.0/0 any 192.0.2.0/24 in", True),
        ("limit tcp 22 0.0.0.0/0 any 0.0.0.0/0 in", True),
        ("deny any any 0.0.0.0/0 any 203.0.113.9 in", True),
    ],
)
def test_rule_of_ufw_is_listed_unless_the_list_has_it(machine: Machine, rule: str, is_listed: bool) -> None:
    machine.write("ufw/user.rules", f"*filter\n### RULES ###\n\n### tuple ### {rule}\n-A x\n### END RULES ###\n")
    expected = [f"{machine.folder}/ufw/user.rules: ufw rule `{rule}`"] if is_listed else []
    assert machine.find() == expected


def test_files_of_the_role_are_not_foreign(machine: Machine) -> None:
    for name in ("user.rules", "before.rules", "default"):
        machine.write(f"ufw/{name}", "# Managed by Ansible\n### tuple ### allow tcp 1 ::/0 any ::/0 in\nIPV6=no\n")
    assert machine.find() == []


def test_edited_files_and_settings_are_listed(machine: Machine) -> None:
    machine.write("share/iptables/before.rules", "*filter\nCOMMIT\n")
    machine.write("ufw/before.rules", "*filter\nCOMMIT\n*nat\n-A POSTROUTING -o eth0 -j MASQUERADE\nCOMMIT\n")
    old = "*filter\n# of an older package\nCOMMIT\n"
    machine.write(
        "share/after.rules.md5sum", f"{hashlib.md5(old.encode(), usedforsecurity=False).hexdigest()}  after\n"
    )
    machine.write("ufw/after.rules", old)
    machine.write("ufw/default", 'IPV6=no\nDEFAULT_OUTPUT_POLICY="DROP"\n')
    assert machine.find() == [
        f"{machine.folder}/ufw/before.rules: edited, for example `*nat`",
        f"{machine.folder}/ufw/default: IPV6=no",
        f"{machine.folder}/ufw/default: DEFAULT_OUTPUT_POLICY=DROP",
    ]


def test_package_that_ufw_would_remove_is_listed_on_every_host(machine: Machine) -> None:
    machine.outputs["dpkg-query"] = "iptables-persistent installed\nnetfilter-persistent config-files\n"
    assert machine.find(is_new=False) == ["package iptables-persistent: the installation of ufw removes it"]


def test_copy_has_files_live_rules_and_the_list(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.outputs["iptables-save"] = PROVIDER
    machine.write("ufw/user.rules", "mine\n")
    monkeypatch.setattr(foreign, "KEPT", (str(machine.folder / "ufw"),))
    path = foreign.keep_copy(foreign.Findings(["live rule: x"], [], []), "20261129T230000Z")
    assert Path(path).stat().st_mode & 0o777 == 0o600
    assert Path(path).parent.stat().st_mode & 0o777 == 0o700
    with tarfile.open(path) as archive:
        texts = {entry.name: archive.extractfile(entry) for entry in archive if entry.isfile()}
        contents = {name: handle.read().decode() for name, handle in texts.items() if handle}
    assert contents["live/iptables.rules"] == PROVIDER
    assert contents["found.txt"] == "live rule: x\n"
    assert contents[f"{str(machine.folder).lstrip('/')}/ufw/user.rules"] == "mine\n"
