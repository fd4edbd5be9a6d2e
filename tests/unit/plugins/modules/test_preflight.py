"""Each problem of a host is reported."""

from __future__ import annotations

import argparse
import pwd
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.base import clock
from ansible_collections.vise.platform.plugins.modules import preflight
from ansible_collections.vise.platform.plugins.modules.preflight import HostFacts

EDGE = ["192.0.2.1", "2001:db8::1"]
PARAMS: dict[str, Any] = {
    "system": "debian 13",
    "memory_mb": 1000,
    "disk_mb": {"/": 500},
    "names": {"docs.vln.test": EDGE},
}
GOOD = HostFacts("debian 13", 2000, {"/": 1000}, {"docs.vln.test": EDGE})


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, []),
        ({"system": "debian 12"}, ["system: debian 12, not debian 13; install that system"]),
        ({"system": ""}, ["system: unknown, not debian 13; install that system"]),
        ({"memory_mb": 999}, ["preflight_memory_mb: 999 MiB of memory, 1000 are needed"]),
        ({"disk_mb": {"/": 499}}, ["preflight_disk_mb: 499 MiB are free at /, 500 are needed"]),
        (
            {"names": {"docs.vln.test": []}},
            ["docs.vln.test does not resolve on this host; create DNS records for 192.0.2.1"],
        ),
        (
            {"names": {"docs.vln.test": ["192.0.2.1", "2001:db8::9"]}},
            ["docs.vln.test has the AAAA record 2001:db8::9, and the inventory has 2001:db8::1; correct or"],
        ),
    ],
)
def test_problem_of_the_host_is_reported(change: dict[str, Any], expected: list[str]) -> None:
    lines = preflight.find_problems(GOOD._replace(**change), PARAMS)
    assert len(lines) == len(expected)
    assert all(line.startswith(start) for line, start in zip(lines, expected, strict=True))


@pytest.mark.parametrize(
    ("addresses", "expected", "starts"),
    [
        (["192.0.2.1"], EDGE, []),
        (
            ["192.0.2.1", "2001:db8::9"],
            ["192.0.2.1"],
            ["a.b has the AAAA record 2001:db8::9, and the inventory has no IPv6 address for it; correct or remove"],
        ),
        (["192.0.2.9"], ["2001:db8::1"], ["a.b has the A record 192.0.2.9, and the inventory has no IPv4 address"]),
        (["192.0.2.9"], EDGE, ["a.b has the A record 192.0.2.9, and the inventory has 192.0.2.1; correct or remove"]),
        (["192.0.2.9", "2001:db8::9"], EDGE, ["a.b has the A record", "a.b has the AAAA record"]),
        (
            ["192.0.2.9"],
            [],
            ["a.b: the addresses in the inventory do not resolve on this host; write the IP addresses"],
        ),
    ],
)
def test_wrong_record_of_a_name_is_blamed(addresses: list[str], expected: list[str], starts: list[str]) -> None:
    lines = preflight.find_name_problems("a.b", addresses, expected)
    assert len(lines) == len(starts)
    assert all(line.startswith(start) for line, start in zip(lines, starts, strict=True))


@pytest.mark.parametrize(
    ("variables", "expected"), [({"SUDO_USER": "nobody"}, "nobody"), ({"DOAS_USER": "games"}, "games")]
)
def test_account_of_the_login_is_the_one_that_became_root(
    variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SUDO_USER", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert preflight.read_login()["user"] == expected


def test_keys_in_the_home_of_the_account_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/authorized_keys").write_bytes(b"# note\nssh-ed25519 AAAA me\n\xff\n")
    monkeypatch.setenv("SUDO_USER", "debian")
    monkeypatch.setattr(pwd, "getpwnam", lambda _name: argparse.Namespace(pw_dir=str(tmp_path)))
    assert preflight.read_login()["keys"] == ["ssh-ed25519 AAAA me", "\ufffd"]


def test_all_problems_are_reported_at_once() -> None:
    bad = HostFacts("ubuntu 24.04", 1, {"/": 1}, {"a.b": [], "c.d": ["192.0.2.9"]})
    assert len(preflight.find_problems(bad, {**PARAMS, "names": dict.fromkeys(bad.names, EDGE)})) == 5


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, ""),
        ({"base_timezone": "Mars/Olympus"}, "base_timezone: there is no time zone Mars/Olympus"),
        ({"base_locale": "de_DE.UTF-8"}, "base_locale: the host has no locale de_DE.UTF-8: add it to base_locales too"),
        ({"base_locale": "de_DE.UTF-8", "base_locales": ["de_DE.UTF-8"]}, ""),
    ],
)
def test_time_zone_and_locale_are_judged_by_the_host(
    change: dict[str, Any], expected: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(clock, "ENVIRONMENT", str(tmp_path / "environment"))
    monkeypatch.setattr(clock, "SUPPORTED", str(tmp_path / "SUPPORTED"))
    monkeypatch.setattr(clock, "ZONES", str(tmp_path))
    monkeypatch.setattr(clock, "read_locales", lambda: {"C.utf8"})
    (tmp_path / "tzdata.zi").write_text("Z Etc/UTC 0 - UTC\n")
    (tmp_path / "Etc").mkdir()
    (tmp_path / "Etc/UTC").touch()
    options = {"base_timezone": "Etc/UTC", "base_locale": "C.UTF-8", "base_locales": [], "base_packages": []}
    assert "\n".join(preflight.find_base_problems({**options, **change})) == expected
    assert preflight.find_base_problems({}) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nVERSION_ID="13"\nID=debian\n', "debian 13"),
        ("ID=arch\n", "arch"),
        ("", ""),
    ],
)
def test_system_is_read_from_os_release(text: str, expected: str) -> None:
    assert preflight.parse_system(text) == expected


@pytest.mark.parametrize(("text", "expected"), [("MemTotal:  2048000 kB\nMemFree: 1 kB\n", 2000), ("", 0)])
def test_memory_is_read_from_meminfo(text: str, expected: int) -> None:
    assert preflight.parse_memory_mb(text) == expected


def test_space_of_a_missing_path_is_that_of_its_parent(tmp_path: Path) -> None:
    assert preflight.measure_free_mb(str(tmp_path / "a/b")) == pytest.approx(
        preflight.measure_free_mb(str(tmp_path)), rel=0.1
    )


@pytest.mark.parametrize(("name", "expected"), [("192.0.2.1", ["192.0.2.1"]), ("does-not-exist.invalid", [])])
def test_names_resolve_to_addresses_or_to_none(name: str, expected: list[str]) -> None:
    assert preflight.resolve_name(name) == expected
