"""Packages as apt and dpkg evaluate them; the programs are stand-ins with the output of Debian 13."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.vise.platform.plugins.module_utils.component import packages
from ansible_collections.vise.platform.plugins.module_utils.component.host import HostError
from ansible_collections.vise.platform.plugins.module_utils.host import programs

KNOWN = packages.parse_packages("""\
dpkg	amd64	1.22.21		installed
bind9-dnsutils	amd64	1:9.20.30-1~deb13u1	dnsutils	installed
htop	amd64	3.4.1-5		installed
libc6	amd64	2.41-12		installed
libc6	i386	2.41-12		installed
libz1	i386	1.3.1-1		installed
tzdata	all	2026a-0	tzdata-trixie	installed
neovim	amd64	0.10.4-8	editor, vim (= 2:9.1)	installed
less	amd64	668-1	pager	half-configured
old	amd64	1.0-1		config-files
""")
NAMES = ("htop", "htdig", "nginx", "nginx-core")
POLICY = "{}:\n  Installed: (none)\n  Candidate: {}\n  Version table:\n"
HTOP = "Inst htop [3.4.1-5] (3.5.0-1~bpo13+1 Debian Backports:stable-backports [amd64])\nConf htop (3.5.0-1~bpo13+1)\n"
REMOVAL = (
    "Remv systemd-timesyncd [257.8-1]\nRemv docker-ce [5:28.0]\nInst docker.io (26.1.5 Debian:13/stable [amd64])\n"
)
UNKNOWN = "E: Unable to locate package htopp\nE: Version '9*' for 'htop' was not found\n"
AMBIGUOUS = """\
Package mail-transport-agent is a virtual package provided by:
  ssmtp 2.64-12
  postfix 3.10.13-0+deb13u1
You should explicitly select one to install.

E: Package 'mail-transport-agent' has no installation candidate
"""


class Apt:
    """Stand-in for the programs: what apt would do, what exists, and which commands ran."""

    def __init__(self) -> None:
        self.simulations: list[str] = []
        self.candidates: dict[str, str] = {}
        self.update = programs.Result(0, "")
        self.calls: list[str] = []

    def run(self, argv: list[str], **_options: t.Any) -> programs.Result:
        """Stand in for programs.run."""
        self.calls.append(" ".join(argv))
        if argv[:2] == ["apt-cache", "policy"]:
            return programs.Result(0, POLICY.format(argv[2], self.candidates.get(argv[2], "(none)")))
        if argv[:2] == ["apt-cache", "pkgnames"]:
            return programs.Result(0, "".join(f"{name}\n" for name in NAMES if name.startswith(argv[2])))
        if argv[:2] == ["dpkg", "--compare-versions"]:
            return programs.Result(int(argv[2] < argv[4]), "")
        return self.update if argv[-1] == "update" else programs.Result(0, self.simulations.pop(0))


@pytest.fixture
def apt(monkeypatch: pytest.MonkeyPatch) -> Apt:
    stand_in = Apt()
    monkeypatch.setattr(programs, "run", stand_in.run)
    return stand_in


@pytest.mark.parametrize(
    ("spec", "satisfied"),
    [
        pytest.param("htop", True, id="name"),
        pytest.param("htop:amd64", True, id="the host's architecture"),
        pytest.param("htop:native", True, id="native architecture"),
        pytest.param("tzdata:amd64", True, id="package of all architectures"),
        pytest.param("tzdata:i386", False, id="other architecture of a package of all architectures"),
        pytest.param("libc6:i386", True, id="other architecture"),
        pytest.param("htop:i386", False, id="architecture that is missing"),
        pytest.param("libz1", False, id="only another architecture is installed"),
        pytest.param("libz1:any", True, id="any architecture"),
        pytest.param("htop=3.4.1-5", True, id="version"),
        pytest.param("htop=3.*", True, id="version glob"),
        pytest.param("htop:amd64=3.4*", True, id="architecture and version glob"),
        pytest.param("htop=2.*", False, id="other version"),
        pytest.param("htop>=3.3", True, id="least version"),
        pytest.param("htop>=3.5", False, id="least version that is missing"),
        pytest.param("dnsutils", True, id="virtual package"),
        pytest.param("dnsutils=1*", False, id="version of a virtual package without one"),
        pytest.param("vim=2:9*", True, id="version of a virtual package"),
        pytest.param("less", False, id="half-configured package"),
        pytest.param("pager", False, id="provided by a half-configured package"),
        pytest.param("old", False, id="removed package with configuration files"),
        pytest.param("nosuch", False, id="unknown package"),
    ],
)
@pytest.mark.usefixtures("apt")
def test_missing_means_what_apt_means(spec: str, satisfied: bool) -> None:
    assert packages.find_missing([spec], KNOWN) == ([] if satisfied else [spec])


def test_real_package_is_missing_although_another_one_provides_its_name(apt: Apt) -> None:
    apt.candidates["vim"] = "2:9.1.1230-2"
    assert packages.find_missing(["vim"], KNOWN) == ["vim"]


@pytest.mark.parametrize(("simulation", "missing"), [("", []), (HTOP, ["htop/trixie-backports"])])
def test_release_is_missing_when_apt_would_install_another_version(
    apt: Apt, simulation: str, missing: list[str]
) -> None:
    apt.simulations = [simulation]
    assert packages.find_missing(["htop/trixie-backports"], KNOWN) == missing


@pytest.mark.parametrize("spec", ["php8*", "htop >= 3", "htop=", "./htop.deb", "-y", ""])
def test_text_that_names_no_package_is_refused(spec: str) -> None:
    with pytest.raises(HostError, match="is not a package: write NAME"):
        packages.find_missing([spec], KNOWN)


def test_unwanted_package_is_removed_unless_only_its_configuration_remains() -> None:
    assert packages.find_installed(["less", "old", "nosuch"], KNOWN) == ["less"]


def test_release_becomes_the_version_that_apt_chose(apt: Apt) -> None:
    apt.simulations = [HTOP]
    assert packages.resolve(["htop:amd64/trixie-backports", "less"], []) == ["htop:amd64=3.5.0-1~bpo13+1", "less"]


def test_package_with_exchanged_letters_is_recognized(apt: Apt) -> None:
    apt.simulations = ["E: Unable to locate package ngnix\n"] * 2
    with pytest.raises(HostError, match=r"did you mean nginx\?"):
        packages.resolve(["ngnix"], [])


def test_unknown_packages_are_all_named_with_the_nearest_name_after_an_update(apt: Apt) -> None:
    apt.simulations = [UNKNOWN, UNKNOWN]
    with pytest.raises(HostError) as raised:
        packages.resolve(["htopp", "htop=9*"], [])
    assert "Unable to locate package htopp; Version '9*' for 'htop' was not found; did you mean htop?" in str(
        raised.value
    )
    assert any(call.endswith("update") for call in apt.calls)


def test_package_that_an_update_makes_known_is_installed(apt: Apt) -> None:
    apt.simulations = [UNKNOWN, ""]
    assert packages.resolve(["htopp"], []) == ["htopp"]


def test_failed_update_is_named_as_a_cause(apt: Apt) -> None:
    apt.simulations = [UNKNOWN, UNKNOWN]
    apt.update = programs.Result(100, "", "E: Release file for http://a.example/InRelease is expired\n")
    with pytest.raises(HostError, match=r"`apt-get update` failed too: Release file .* is expired"):
        packages.resolve(["htopp"], [])


def test_installation_that_removes_other_packages_is_refused(apt: Apt) -> None:
    apt.simulations = [REMOVAL]
    with pytest.raises(HostError, match=r"would remove docker-ce; .*apt-get remove docker-ce"):
        packages.resolve(["docker.io"], ["systemd-timesyncd"])


def test_replaced_package_that_is_unwanted_too_may_be_removed(apt: Apt) -> None:
    apt.simulations = [REMOVAL]
    assert packages.resolve(["docker.io"], ["systemd-timesyncd", "docker-ce"]) == ["docker.io"]


def test_virtual_package_that_several_ones_provide_is_refused_with_the_choice(apt: Apt) -> None:
    apt.simulations = [AMBIGUOUS, AMBIGUOUS]
    with pytest.raises(HostError, match="write one of ssmtp, postfix instead of mail-transport-agent"):
        packages.resolve(["mail-transport-agent"], [])


@pytest.mark.parametrize(
    ("known", "journal", "holder", "unfinished"),
    [
        pytest.param(KNOWN, False, 0, ["less"], id="half-configured package"),
        pytest.param(KNOWN, False, 77, [], id="dpkg is running"),
        pytest.param([], True, 0, ["the database of dpkg"], id="journal of a killed dpkg"),
        pytest.param([], False, 0, [], id="nothing"),
    ],
)
def test_unfinished_packages_are_those_of_a_dpkg_that_ended(
    monkeypatch: pytest.MonkeyPatch, known: list[packages.Package], journal: bool, holder: int, unfinished: list[str]
) -> None:
    monkeypatch.setattr(packages, "find_lock_holder", lambda: holder)
    monkeypatch.setattr(packages, "_has_journal", lambda: journal)
    assert packages.find_unfinished(known) == unfinished
