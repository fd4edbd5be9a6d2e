"""The settings of the role base: values that a program would ignore are refused."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.vise.platform.plugins.filter.base_settings import FilterModule, base_settings

from tools.collection import ROOT, load_yaml

DEFAULTS: dict[str, Any] = load_yaml(ROOT / "roles/base/defaults/main.yml")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"base_journal_max_use": "500MB"}, "base_journal_max_use: '500MB' is not a size", id="unit MB"),
        pytest.param({"base_journal_max_use": "500m"}, "'500m' is not a size", id="lower case"),
        pytest.param({"base_journal_max_use": "10%"}, "'10%' is not a size", id="percentage"),
        pytest.param({"base_journal_max_use": "-1"}, "'-1' is not a size", id="negative size"),
        pytest.param({"base_journal_max_use": "512M 1G"}, "is not a size", id="ascending units"),
        pytest.param({"base_journal_max_use": "\u0665M"}, "is not a size", id="other digits"),
        pytest.param({"base_journal_max_use": ""}, "'' is not a size", id="no size"),
        pytest.param({"base_journal_max_use": "64K"}, "needs 16M or more", id="too small"),
        pytest.param({"base_journal_max_use": "16383K"}, "needs 16M or more", id="slightly too small"),
        pytest.param({"base_journal_max_age": "a month"}, "'a month' is not a time span", id="time span"),
        pytest.param({"base_journal_max_age": "30 dayz"}, "'30 dayz' is not a time span", id="unit of a time span"),
        pytest.param({"base_upgrade_start": "26:00"}, "base_upgrade_start: '26:00' is not a time of day", id="hour"),
        pytest.param({"base_reboot_start": "2:3"}, "base_reboot_start: '2:3' is not a time of day", id="minute"),
        pytest.param({"base_reboot_minutes": 15}, "needs more than 15 minutes", id="short window"),
        pytest.param({"base_ntp_pools": []}, "both are empty, so the clock would drift", id="no time source"),
        pytest.param({"base_ntp_servers": ["a b"]}, "'a b' is neither a host name nor an address", id="time server"),
        pytest.param({"base_locales": ["de_DE"]}, "'de_DE' is not a locale with its character set", id="character set"),
        pytest.param({"base_locales": ["German"]}, "'German' is not a locale", id="locale"),
        pytest.param({"base_upgrade_excluded": ['a"']}, "is not a pattern", id="quote"),
    ],
)
def test_value_that_a_program_would_ignore_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(AnsibleFilterError, match=message):
        base_settings({**DEFAULTS, **options})


@pytest.mark.parametrize("options", [{"base_journal_max_use": "16M"}, {"base_reboot_minutes": 16}])
def test_smallest_value_is_accepted(options: dict[str, Any]) -> None:
    settings = base_settings({**DEFAULTS, **options})
    assert settings["reboot_spread_minutes"] == int(options.get("base_reboot_minutes", 240)) - 15


def test_all_problems_are_reported_at_once() -> None:
    with pytest.raises(AnsibleFilterError) as raised:
        base_settings({**DEFAULTS, "base_journal_max_use": "much", "base_ntp_pools": []})
    assert "'much'" in str(raised.value)
    assert "both are empty" in str(raised.value)


def test_missing_option_is_named() -> None:
    with pytest.raises(AnsibleFilterError, match="'base_journal_max_use' is missing"):
        base_settings({})


@pytest.mark.parametrize(
    ("locale", "line"),
    [
        ("de_DE.UTF-8", "de_DE.UTF-8 UTF-8"),
        ("ca_ES.UTF-8@valencia", "ca_ES.UTF-8@valencia UTF-8"),
        ("de_DE.ISO-8859-15@euro", "de_DE.ISO-8859-15@euro ISO-8859-15"),
        ("sr_RS@latin UTF-8", "sr_RS@latin UTF-8"),
        ("de_DE@euro ISO-8859-15", "de_DE@euro ISO-8859-15"),
    ],
)
def test_locale_becomes_a_line_of_locale_gen(locale: str, line: str) -> None:
    assert base_settings({**DEFAULTS, "base_locales": [locale]})["locales"] == [line]


@pytest.mark.parametrize(
    ("enabled", "timers"),
    [
        (True, {"apt-daily-upgrade.timer": "*-*-* 00:00:00 UTC", "vise-reboot.timer": "Sun *-*-* 02:00:00 UTC"}),
        (False, {"apt-daily-upgrade.timer": "*-*-* 00:00:00 UTC"}),
    ],
)
def test_timers_are_those_that_run(enabled: bool, timers: dict[str, str]) -> None:
    settings = FilterModule().filters()["base_settings"]({**DEFAULTS, "base_reboot_enabled": enabled})
    assert settings["timers"] == timers
    assert settings["reboot_spread_minutes"] == 225
