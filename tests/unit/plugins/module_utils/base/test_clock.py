"""Time zone, time servers and locales of a host."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
from ansible_collections.vise.platform.plugins.module_utils.base import clock
from ansible_collections.vise.platform.plugins.module_utils.host import programs

ZONES = (
    "# version 2026a\nR u 1967 o - O lastSu 2 0 S\nZ America/Los_Angeles -7:52 - LMT 1883\nZ Europe/Berlin 0:53 - LMT\n"
)
LINKS = "L America/Los_Angeles US/Pacific\nL Etc/UTC Zulu\n"
SUPPORTED = "de_DE.UTF-8 UTF-8\nde_DE ISO-8859-1\nen_US.UTF-8 UTF-8\nsr_RS@latin UTF-8\n"
REACHED = "^,*,ntp1.example.org,2,6,377,12,0.1,0.1,0.1\n"
SILENT = "^,?,ntp2.example.org,0,8,0,4294967295,0.0,0.0,0.0\n"


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> dict[str, programs.Result]:
    """What the programs of a host print, by name."""
    (tmp_path / "Europe").mkdir()
    (tmp_path / "Europe/Berlin").write_text("")
    (tmp_path / "tzdata.zi").write_text(ZONES + LINKS)
    (tmp_path / "SUPPORTED").write_text(SUPPORTED)
    monkeypatch.setattr(clock, "ZONES", str(tmp_path))
    monkeypatch.setattr(clock, "SUPPORTED", str(tmp_path / "SUPPORTED"))
    monkeypatch.setattr(clock, "ENVIRONMENT", str(tmp_path / "environment"))
    monkeypatch.setattr(clock, "_running_programs", lambda: {"chronyd"})
    printed = {"locale": programs.Result(0, "C\nC.utf8\nPOSIX\n"), "chronyc": programs.Result(0, REACHED + SILENT)}

    def run(argv: list[str], **_options: t.Any) -> programs.Result:
        return printed[argv[0]]

    monkeypatch.setattr(programs, "run", run)
    return printed


@pytest.mark.parametrize(
    ("zone", "problem"),
    [
        pytest.param("Europe/Berlin", "", id="known"),
        pytest.param("US/Pacific", "write America/Los_Angeles, or add tzdata-legacy to base_packages", id="old name"),
        pytest.param(
            "Europe/Berlni", "there is no time zone Europe/Berlni; did you mean Europe/Berlin?", id="misspelled"
        ),
        pytest.param("europe/berlin", "did you mean Europe/Berlin?", id="lower case"),
        pytest.param("Europe", "there is no time zone Europe", id="directory"),
        pytest.param("../zoneinfo/Europe/Berlin", "there is no time zone", id="path"),
    ],
)
@pytest.mark.usefixtures("host")
def test_time_zone_must_exist(zone: str, problem: str) -> None:
    found = "\n".join(clock.find_zone_problems(zone))
    assert problem in found
    assert bool(found) is bool(problem)


@pytest.mark.parametrize(
    ("default", "generated", "problem"),
    [
        pytest.param("C.UTF-8", [], "", id="built in"),
        pytest.param("de_DE.UTF-8", ["de_DE.UTF-8 UTF-8"], "", id="generated"),
        pytest.param("de_DE.UTF-8", [], "no locale de_DE.UTF-8: add it to base_locales too", id="not generated"),
        pytest.param("sr_RS@latin", ["sr_RS@latin UTF-8"], "", id="modifier"),
        pytest.param("C.UTF-8", ["en_US.utf8 utf8"], "en_US.utf8 is not a locale of", id="other spelling"),
        pytest.param("C.UTF-8", ["en_US.utf8 utf8"], "did you mean en_US.UTF-8?", id="advice"),
        pytest.param("C.UTF-8", ["de_DK.UTF-8 UTF-8"], "did you mean de_DE.UTF-8?", id="nearest"),
    ],
)
@pytest.mark.usefixtures("host")
def test_locale_must_be_supported(default: str, generated: list[str], problem: str) -> None:
    found = "\n".join(clock.find_locale_problems(default, generated))
    assert problem in found
    assert bool(found) is bool(problem)


@pytest.mark.parametrize(
    ("zone", "packages", "problem"),
    [
        pytest.param("Europe/Berlin", [], "", id="known"),
        pytest.param("US/Pacific", ["htop"], "write America/Los_Angeles, or add tzdata-legacy", id="old name"),
        pytest.param("US/Pacific", ["tzdata-legacy=2026a-*"], "", id="the role will install the old names"),
        pytest.param("Europe/Berlni", ["tzdata-legacy"], "did you mean Europe/Berlin?", id="misspelled"),
    ],
)
@pytest.mark.usefixtures("host")
def test_time_zone_is_judged_before_packages_are_installed(zone: str, packages: list[str], problem: str) -> None:
    found = "\n".join(clock.find_early_problems(zone, "C.UTF-8", [], packages))
    assert problem in found
    assert bool(found) is bool(problem)


def test_locale_is_judged_before_packages_are_installed(
    host: dict[str, programs.Result], tmp_path: pathlib.Path
) -> None:
    assert "add it to base_locales" in clock.find_early_problems("Europe/Berlin", "de_DE.UTF-8", [], [])[0]
    # Without their packages, the host knows neither time zones nor the locales that it could generate.
    (tmp_path / "tzdata.zi").unlink()
    (tmp_path / "SUPPORTED").unlink()
    assert clock.find_early_problems("Europe/Berlni", "xx_XX.UTF-8", ["xx_XX.UTF-8 UTF-8"], []) == []
    assert host


@pytest.mark.parametrize(
    ("line", "overrides"),
    [
        ('LC_ALL="en_US.UTF-8"', True),
        ("export LANG=en_US.UTF-8", True),
        ("LANG=C.UTF-8", False),
        ("#LANG=en_US.UTF-8", False),
        ("LANGUAGE=en", False),
    ],
)
def test_line_of_the_environment_that_decides_the_locale_is_a_problem(line: str, overrides: bool) -> None:
    found = clock.find_overrides("C.UTF-8", f"PATH=/bin\n{line}\n")
    assert ["/etc/environment:2 decides" in text for text in found] == [True] * overrides


def test_locale_that_is_not_generated_is_a_live_problem(host: dict[str, programs.Result]) -> None:
    assert clock.find_live_locale_problems("C.UTF-8", ["de_DE.UTF-8 UTF-8"]) == [
        "the locale de_DE.UTF-8 is not generated"
    ]
    host["locale"] = programs.Result(0, "C\nC.utf8\nde_DE.utf8\n")
    assert clock.find_live_locale_problems("C.UTF-8", ["de_DE.UTF-8 UTF-8"]) == []


@pytest.mark.parametrize(
    ("sources", "problem"),
    [
        pytest.param(programs.Result(0, REACHED + SILENT), "", id="one of two"),
        pytest.param(programs.Result(0, SILENT), "no time server has answered", id="blocked"),
        pytest.param(programs.Result(0, ""), "no time server has answered", id="no address"),
        pytest.param(
            programs.Result(0, REACHED.replace("ntp1", "dhcp")), "chronyd uses dhcp.example.org", id="foreign"
        ),
        pytest.param(programs.Result(1, "", "506 Cannot talk to daemon"), "chronyd does not answer: 506", id="stopped"),
    ],
)
def test_clock_follows_the_configured_servers(
    host: dict[str, programs.Result], sources: programs.Result, problem: str
) -> None:
    host["chronyc"] = sources
    found = "\n".join(clock.find_live_clock_problems(["ntp1.example.org", "ntp2.example.org"], adjust=True))
    assert problem in found
    assert bool(found) is bool(problem)


def test_container_that_only_measures_the_clock_needs_no_answer(host: dict[str, programs.Result]) -> None:
    host["chronyc"] = programs.Result(0, SILENT)
    assert clock.find_live_clock_problems(["ntp2.example.org"], adjust=False) == []


@pytest.mark.usefixtures("host")
def test_second_program_that_adjusts_the_clock_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "_running_programs", lambda: {"systemd-timesyn", "chronyd"})
    found = clock.find_live_clock_problems(["ntp1.example.org", "ntp2.example.org"], adjust=True)
    assert found == ["systemd-timesyncd runs next to chronyd, and both adjust the clock: stop and remove it"]
