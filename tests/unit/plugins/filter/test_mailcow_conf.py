"""Variables of mailcow.conf in the spelling that mailcow reads."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.vise.platform.plugins.filter.mailcow_conf import SPELLINGS, FilterModule, mailcow_conf
from ansible_collections.vise.platform.plugins.module_utils.mailcow_host.settings import parse_conf

ON: list[Any] = [True, "yes", "Yes", "y", "Y", "true", "True", "on", "1", 1]
OFF: list[Any] = [False, "no", "No", "n", "N", "false", "False", "off", "0", 0]


@pytest.mark.parametrize("name", sorted(SPELLINGS))
def test_each_spelling_of_a_boolean_is_the_one_that_mailcow_reads(name: str) -> None:
    assert [mailcow_conf({name: value})[name] for value in ON] == [SPELLINGS[name][0]] * len(ON)
    assert [mailcow_conf({name: value})[name] for value in OFF] == [SPELLINGS[name][1]] * len(OFF)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("SNAT_TO_SOURCE", "192.0.2.1", "192.0.2.1"),
        *(("SNAT_TO_SOURCE", value, "n") for value in (*OFF, None, "")),
        ("SNAT6_TO_SOURCE", " 2001:DB8::1", "2001:db8::1"),
        ("OF_A_LATER_RELEASE", True, "y"),
        ("HTTP_PORT", 8080, "8080"),
        ("ADDITIONAL_SAN", None, ""),
        ("WATCHDOG_SUBJECT", "Alert: ä & $x", "Alert: ä & $x"),
    ],
)
def test_other_values_are_texts(name: str, value: Any, expected: str) -> None:
    assert mailcow_conf({name: value}) == {name: expected}


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("SKIP_SOGO", "perhaps", "SKIP_SOGO: 'perhaps' is not a boolean: set it to yes or no"),
        ("SNAT_TO_SOURCE", True, "SNAT_TO_SOURCE: 'True' is not an IPv4 address: set it to one, or to no"),
        ("SNAT6_TO_SOURCE", "192.0.2.1", "SNAT6_TO_SOURCE: '192.0.2.1' is not an IPv6 address"),
        ("USE_WATCHDOG", "", "USE_WATCHDOG: '' is not a boolean"),
        ("WATCHDOG_SUBJECT", "a\nHTTP_BIND=0.0.0.0", "WATCHDOG_SUBJECT must not contain a line break"),
        ("skip sogo", "y", "'skip sogo' is not the name of a variable"),
        ("WATCHDOG_SUBJECT", "it's $5", "WATCHDOG_SUBJECT contains ' together with one of"),
    ],
)
def test_what_mailcow_would_not_read_is_an_error(name: str, value: Any, problem: str) -> None:
    with pytest.raises(AnsibleFilterError, match="mailcow_settings") as raised:
        mailcow_conf({name: value})
    assert problem in str(raised.value)


@pytest.mark.parametrize(
    "value",
    ["", "a", "smtp.*,imap.example.org", "Alert: ä & $x", "a b", "$(id)", "`id`", "a #b", 'a"b', "a\\b", "o'b n"],
)
def test_shell_and_program_read_the_value_that_was_given(value: str) -> None:
    line = f"NAME={mailcow_conf({'NAME': value}, quoted=True)['NAME']}"
    script = f'{line}\nprintf %s "$NAME"'
    read = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, check=True).stdout
    assert (read, parse_conf(line)["NAME"]) == (value, value)


def test_filter_has_its_name() -> None:
    assert FilterModule().filters() == {"mailcow_conf": mailcow_conf}
