"""apt's effective configuration, and the line that decides a setting."""

from __future__ import annotations

import datetime
import pathlib
import typing as t

import pytest
from ansible_collections.vise.platform.plugins.module_utils.base import apt
from ansible_collections.vise.platform.plugins.module_utils.host import programs

DUMP = """\
APT::Periodic "";
APT::Periodic::Unattended-Upgrade "1";
Unattended-Upgrade::Origins-Pattern "";
Unattended-Upgrade::Origins-Pattern:: "security";
"""
POLICY = """\
Package files:
 100 /var/lib/dpkg/status
     release a=now
 {} http://deb.debian.org/debian-security trixie-security/main amd64 Packages
     release v=13,o=Debian,a=stable-security,n=trixie-security,l=Debian-Security,c=main,b=amd64
     origin deb.debian.org
 500 http://deb.debian.org/debian trixie/main amd64 Packages
     release v=13.8,o=Debian,a=stable,n=trixie,l=Debian,c=main,b=amd64
"""
RELEASE = "Origin: Debian\nLabel: {}\nDate: Sat, 28 Nov 2026 02:53:01 UTC\nValid-Until: Sat, 05 Dec 2026 02:53:01 UTC\n"
WANTED = apt.Settings(
    {"APT::Periodic::Unattended-Upgrade": "1"},
    {"Unattended-Upgrade::Origins-Pattern": ["security"], "Unattended-Upgrade::Allowed-Origins": []},
    ["docker"],
)


class Host:
    """What the programs of a host print."""

    def __init__(self) -> None:
        self.dump, self.policy, self.states = DUMP, POLICY.format(500), "less install\n"

    def call(self, argv: list[str], **_options: t.Any) -> str:
        """Stand in for programs.call."""
        return {"apt-config": self.dump, "apt-cache": self.policy, "dpkg-query": self.states}[argv[0]]


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> Host:
    stand_in = Host()
    monkeypatch.setattr(programs, "call", stand_in.call)
    monkeypatch.setattr(apt, "PARTS", str(tmp_path))
    monkeypatch.setattr(apt, "LISTS", str(tmp_path / "lists"))
    return stand_in


def test_wanted_settings_have_no_problems(host: Host) -> None:
    host.dump += 'Unattended-Upgrade::Package-Blacklist:: "docker";\n'
    host.states += "docker hold\n"
    assert apt.find_problems(WANTED) == []


@pytest.mark.parametrize(
    ("name", "text", "dump", "problem"),
    [
        pytest.param(
            "zzz-off",
            '// Periodic\nAPT::Periodic::Unattended-Upgrade "0";\n',
            DUMP.replace('Upgrade "1"', 'Upgrade "0"'),
            'Unattended-Upgrade is "0", not "1"; {}/zzz-off:2 decides',
            id="value",
        ),
        pytest.param(
            "zzz-off",
            'apt::periodic {\n  unattended-upgrade "always";\n};\n',
            DUMP.replace("APT::Periodic::Unattended-Upgrade", "apt::periodic::unattended-upgrade").replace(
                "1", "always"
            ),
            'is "always", not "1"; {}/zzz-off:2 decides',
            id="block in lower case",
        ),
        pytest.param(
            "99-all",
            'Unattended-Upgrade::Allowed-Origins {\n  "${distro_id}:${distro_codename}-updates";\n};\n',
            DUMP + 'Unattended-Upgrade::Allowed-Origins:: "${distro_id}:${distro_codename}-updates";\n',
            "Allowed-Origins is ['${{distro_id}}:${{distro_codename}}-updates'], not []; {}/99-all:2 decides",
            id="more origins",
        ),
        pytest.param(
            "99-local",
            'Unattended-Upgrade::Package-Blacklist {\n  "libc6";\n  "nginx";\n};\n',
            DUMP + 'Unattended-Upgrade::Package-Blacklist:: "nginx";\n',
            "does not upgrade packages that match 'nginx' ({}/99-local:3): remove the line",
            id="excluded package",
        ),
    ],
)
def test_setting_of_another_file_is_a_problem_with_its_line(
    host: Host, tmp_path: pathlib.Path, name: str, text: str, dump: str, problem: str
) -> None:
    host.dump = dump
    (tmp_path / name).write_text(text)
    assert problem.format(tmp_path) in "\n".join(apt.find_problems(WANTED))


def test_package_on_hold_is_a_problem(host: Host) -> None:
    host.states += "nginx hold\n"
    assert "package nginx is on hold" in "\n".join(apt.find_problems(WANTED))


@pytest.mark.parametrize(
    ("policy", "problem"),
    [
        pytest.param(
            "Package files:\n 100 /var/lib/dpkg/status\n     release a=now\n", "apt has no packages", id="absent"
        ),
        pytest.param(POLICY.format(100), "the priority 100, less than 500", id="pinned down"),
        pytest.param(POLICY.format(-1), "the priority -1, less than 500", id="forbidden"),
        pytest.param(POLICY.format(990), "", id="preferred"),
        pytest.param(
            POLICY.format(500).replace(
                " 500 http://deb.debian.org/debian trixie", " 990 http://deb.debian.org/debian trixie"
            ),
            "priority 500, less than 990, and does not use it: correct",
            id="default release",
        ),
    ],
)
def test_security_archive_must_be_used(host: Host, policy: str, problem: str) -> None:
    host.policy = policy
    found = "\n".join(apt.find_archive_problems(datetime.datetime(2026, 11, 29, tzinfo=datetime.UTC)))
    assert problem in found
    assert bool(found) is bool(problem)


@pytest.mark.parametrize(("day", "expired"), [(4, False), (6, True)])
@pytest.mark.usefixtures("host")
def test_expired_list_of_the_security_archive_is_a_problem(tmp_path: pathlib.Path, day: int, expired: bool) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists/security_InRelease").write_text(RELEASE.format("Debian-Security"))
    (tmp_path / "lists/other_InRelease").write_text(RELEASE.replace("2026", "2020").format("Docker"))
    found = apt.find_archive_problems(datetime.datetime(2026, 12, day, tzinfo=datetime.UTC))
    assert ["expired on 2026-12-05" in text for text in found] == [True] * expired
