"""What apt prints, as data; and an update with a fake apt that does more, less or nothing."""

from __future__ import annotations

import os
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils import package_updates
from ansible_collections.vise.platform.plugins.module_utils.base import reboot
from ansible_collections.vise.platform.plugins.module_utils.component import packages
from ansible_collections.vise.platform.plugins.module_utils.component.host import HostError
from ansible_collections.vise.platform.plugins.module_utils.host import programs

SIMULATION = """Reading package lists...
The following NEW packages will be installed:
  linux-image-6.12.48+deb13-amd64
The following packages have been kept back:
  php8.4 redis-server
  apparmor
The following packages will be upgraded:
  linux-image-amd64 openssl grafana
Inst openssl [3.5.1-1] (3.5.1-1+deb13u1 Debian:13.1/stable, Debian-Security:13/stable-security [amd64])
Inst linux-image-6.12.48+deb13-amd64 (6.12.48-1 Debian-Security:13/stable-security [amd64])
Inst linux-image-amd64 [6.12.41-1] (6.12.48-1 Debian:13.1/stable [amd64]) []
Inst grafana [12.0.1] (12.1.0 . stable:stable [amd64])
Inst local [1.0] (1.1 [amd64])
Conf openssl (3.5.1-1+deb13u1 Debian:13.1/stable [amd64])
"""
QUESTION = (
    "Need to get 98.4 MB/101 MB of archives.\nAfter this operation, 1,234 kB of additional disk space will be used.\n"
)


def test_simulation_has_versions_security_and_archives_of_others() -> None:
    found = package_updates.parse_upgrade(SIMULATION)
    assert [(one["name"], one["from"], one["to"], one["security"], one["foreign"]) for one in found] == [
        ("openssl", "3.5.1-1", "3.5.1-1+deb13u1", True, ""),
        ("linux-image-6.12.48+deb13-amd64", "", "6.12.48-1", True, ""),
        ("linux-image-amd64", "6.12.41-1", "6.12.48-1", False, ""),
        ("grafana", "12.0.1", "12.1.0", False, ". stable:stable"),
        ("local", "1.0", "1.1", False, "an archive without a name"),
    ]
    assert package_updates.parse_kept(SIMULATION) == ["apparmor", "php8.4", "redis-server"]
    assert package_updates.parse_upgrade("0 upgraded, 0 newly installed\n") == []


@pytest.mark.parametrize(
    ("text", "needs"),
    [
        (QUESTION, (98_400_000, 1_234_000)),
        ("Need to get 0 B of archives.\nAfter this operation, 5 MB disk space will be freed.\n", (0, 0)),
        ("Need to get 1.5 GB of archives.\n", (1_500_000_000, 0)),
        ("", (0, 0)),
    ],
)
def test_needed_space_is_read(text: str, needs: tuple[int, int]) -> None:
    assert package_updates.parse_needs(text) == needs


@pytest.mark.parametrize(
    ("free", "kernel", "mounts", "full"),
    [
        ({"/": 10**9}, False, [], []),
        ({"/": 10**8}, False, [], ["/"]),
        ({"/": 10**9, "/boot": 10**8}, True, ["/boot"], ["/boot"]),
        ({"/": 10**9, "/boot": 10**8}, False, ["/boot"], []),
        # Not a file system of its own
        ({"/": 10**9, "/boot": 10**8}, True, [], []),
        ({"/": 10**9, "/var/cache/apt": 10**8}, False, ["/var/cache/apt"], ["/var/cache/apt"]),
    ],
)
def test_full_file_system_is_named_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, free: dict[str, int], kernel: bool, mounts: list[str], full: list[str]
) -> None:
    monkeypatch.setattr(os.path, "ismount", lambda path: path in mounts)
    found = package_updates.find_space_problems(10**8, 10**8, kernel, lambda path: free.get(path, 10**12))
    assert [text.split()[0] for text in found] == full
    assert all("apt-get clean" in text for text in found)


class Host:
    """A host with a fake apt."""

    def __init__(self) -> None:
        self.pending = "Inst openssl [1] (2 Debian-Security:13/stable-security [amd64])\n"
        self.effective, self.code, self.unfinished, self.holder = True, 0, list[str](), 0
        self.errors, self.held = "", ""
        self.calls = list[str]()

    def run(self, argv: list[str], **options: Any) -> programs.Result:
        """Run apt."""
        if "--simulate" in argv:
            return programs.Result(0, self.pending + self.errors, "")
        if "--assume-no" in argv:
            return programs.Result(1, QUESTION, "")
        if "update" in argv:
            return programs.Result(self.code, "", self.errors)
        assert options["environment"]["DEBIAN_FRONTEND"] == "noninteractive"
        self.calls.append("upgrade")
        self.pending = "" if self.effective and not self.code else self.pending
        return programs.Result(self.code, "E: Sub-process /usr/bin/dpkg returned an error code (1)", "")

    def complete(self) -> None:
        """Complete what dpkg left."""
        self.calls.append("complete")
        self.unfinished, self.errors = [], ""


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    found = Host()
    monkeypatch.setattr(programs, "run", found.run)
    monkeypatch.setattr(programs, "call", lambda _argv, **_options: found.held)
    monkeypatch.setattr(packages, "read_packages", list)
    monkeypatch.setattr(packages, "find_unfinished", lambda _packages: found.unfinished)
    monkeypatch.setattr(packages, "find_lock_holder", lambda: found.holder)
    monkeypatch.setattr(packages, "complete_unfinished", found.complete)
    monkeypatch.setattr(reboot, "find_reasons", list)
    monkeypatch.setattr(package_updates, "measure_free", lambda _path: 10**12)
    return found


def test_planned_updates_are_installed_and_a_second_run_changes_nothing(host: Host) -> None:
    plan = package_updates.read_plan()
    assert package_updates.update(plan) == ["openssl 1 -> 2 (security)"]
    assert package_updates.write_rollback(plan) == "apt-get install --allow-downgrades openssl=1"
    assert package_updates.update(package_updates.read_plan()) == []
    assert host.calls == ["upgrade"]


def test_success_of_apt_without_the_update_is_a_failure(host: Host) -> None:
    host.effective = False
    with pytest.raises(HostError, match="apt reported success, but openssl is not installed completely"):
        package_updates.update(package_updates.read_plan())


def test_failed_apt_is_reported_with_what_to_do(host: Host) -> None:
    host.code = 100
    with pytest.raises(HostError, match=r"(?s)exit 100.*returned an error code.*run this again"):
        package_updates.update(package_updates.read_plan())


def test_interrupted_dpkg_is_completed_first(host: Host) -> None:
    host.unfinished, host.errors = ["nginx"], "E: dpkg was interrupted\n"
    plan = package_updates.read_plan()
    assert (plan["unfinished"], plan["problems"]) == (["nginx"], [])
    assert package_updates.update(plan)[0] == "complete the interrupted installation of nginx"
    assert host.calls == ["complete", "upgrade"]


def test_broken_dependencies_are_a_problem_that_ends_the_update(host: Host) -> None:
    host.errors = "E: Unmet dependencies.\n"
    plan = package_updates.read_plan()
    assert "Unmet dependencies.; correct it on the host by `apt-get -f install`" in plan["problems"][0]
    with pytest.raises(HostError, match="Unmet dependencies"):
        package_updates.update(plan)
    assert host.calls == []


def test_packages_on_hold_are_distinguished_from_those_that_apt_keeps_back(host: Host) -> None:
    host.pending, host.held = SIMULATION, "redis-server hold\nother hold\nnginx install\n"
    plan = package_updates.read_plan()
    assert (plan["held"], plan["kept"], plan["kernel"]) == (["redis-server"], ["apparmor", "php8.4"], True)


def test_archive_that_cannot_be_read_is_named(host: Host) -> None:
    host.code, host.errors = 100, "W: x\nE: The repository 'https://x.example stable Release' is not signed.\n"
    assert package_updates.refresh() == "The repository 'https://x.example stable Release' is not signed."
    host.code = 0
    assert package_updates.refresh() == ""
