"""Reasons to reboot: the host's own processes and kernels, not those of containers."""

from __future__ import annotations

import os
import pathlib

import pytest
from ansible_collections.vise.platform.plugins.module_utils.base import reboot

STALE = "7f00-7f01 r-xp 00000000 08:01 42  /usr/lib/x86_64-linux-gnu/libc.so.6 (deleted)\n"
INIT = reboot.Process("systemd", "", "pid:[1]", "mnt:[1]", 1)


@pytest.mark.parametrize(
    ("process", "stale"),
    [
        pytest.param(reboot.Process("sshd", STALE, "pid:[1]", "mnt:[1]", 1), True, id="host"),
        pytest.param(reboot.Process("chronyd", STALE, "pid:[1]", "mnt:[2]", 1), True, id="service with PrivateTmp"),
        pytest.param(reboot.Process("smtpd", STALE, "pid:[1]", "mnt:[1]", 9), True, id="chroot on another disk"),
        pytest.param(reboot.Process("php", STALE, "pid:[2]", "mnt:[2]", 2), False, id="container"),
        pytest.param(reboot.Process("agent", STALE, "pid:[1]", "mnt:[2]", 2), False, id="container with --pid=host"),
        pytest.param(
            reboot.Process("sshd", STALE.replace(" (deleted)", ""), "pid:[1]", "mnt:[1]", 1), False, id="current"
        ),
        pytest.param(
            reboot.Process("a", "0-1 r-xp 0 08:01 4 /tmp/x.so (deleted)\n", "pid:[1]", "mnt:[1]", 1), False, id="tmp"
        ),
        pytest.param(
            reboot.Process("pg", "0-1 rw-s 0 00:01 4 /dev/zero (deleted)\n", "pid:[1]", "mnt:[1]", 1), False, id="shm"
        ),
    ],
)
def test_replaced_library_counts_for_programs_of_the_host(process: reboot.Process, stale: bool) -> None:
    assert reboot.find_stale([process], INIT) == ([process.name] if stale else [])


@pytest.mark.parametrize(
    ("running", "names", "newer"),
    [
        pytest.param(
            "6.12.48-amd64", ["vmlinuz-6.12.48-amd64", "vmlinuz-6.12.57-amd64"], "vmlinuz-6.12.57-amd64", id="newer"
        ),
        pytest.param(
            "6.12.9-amd64", ["vmlinuz-6.12.9-amd64", "vmlinuz-6.12.10-amd64"], "vmlinuz-6.12.10-amd64", id="numbers"
        ),
        pytest.param("6.12.57-amd64", ["vmlinuz-6.12.48-amd64", "vmlinuz-6.12.57-amd64"], "", id="newest"),
        pytest.param(
            "6.12.48-cloud-amd64", ["vmlinuz-6.12.48-cloud-amd64", "vmlinuz-6.12.57-amd64"], "", id="other flavor"
        ),
        pytest.param("6.8.0-1-generic", ["vmlinuz-6.12.57-amd64"], "", id="kernel of the machine in a container"),
        pytest.param("6.12.48-amd64", [], "", id="no kernel on the host"),
        pytest.param(
            "6.12.48+deb13-amd64",
            ["vmlinuz-6.12.48+deb13-amd64", "vmlinuz-6.12.57+deb13-amd64"],
            "vmlinuz-6.12.57+deb13-amd64",
            id="debian 13",
        ),
    ],
)
def test_newer_kernel_of_the_same_flavor_counts(running: str, names: list[str], newer: str) -> None:
    assert reboot.find_newer_kernel(running, names) == newer


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> pathlib.Path:
    monkeypatch.setattr(reboot, "REQUIRED", str(tmp_path / "reboot-required"))
    monkeypatch.setattr(reboot, "find_newer_kernel", lambda _running, _names: "")
    monkeypatch.setattr(reboot, "find_stale", lambda _processes, _init: [])
    return tmp_path


def test_requirement_of_an_upgrade_names_its_packages(host: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert reboot.main([]) == 1
    (host / "reboot-required").write_text("*** System restart required ***\n")
    (host / "reboot-required.pkgs").write_text("linux-image-amd64\nlibc6\nlibc6\n")
    assert reboot.main([]) == 0
    assert capsys.readouterr().out == "an upgrade requires a reboot: linux-image-amd64, libc6\n"


@pytest.mark.parametrize(("boot", "reasons"), [(0.0, 1), (4e9, 0)])
@pytest.mark.usefixtures("host")
def test_kernel_that_the_boot_loader_did_not_choose_is_no_reason(
    monkeypatch: pytest.MonkeyPatch, boot: float, reasons: int
) -> None:
    real = os.stat
    monkeypatch.setattr(reboot, "find_newer_kernel", lambda _running, _names: "vmlinuz-9.9-amd64")
    monkeypatch.setattr(os, "stat", lambda path, **options: real("/" if "vmlinuz" in str(path) else path, **options))
    monkeypatch.setattr(reboot, "_read_boot_time", lambda: boot)
    assert len(reboot.find_reasons()) == reasons
