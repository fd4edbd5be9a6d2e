"""A variable that a role would refuse is found before any role runs."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils import role_options

SPEC: dict[str, Any] = {
    "type": "list",
    "elements": "dict",
    "options": {
        "name": {"type": "str", "required": True},
        "max_body_size": {"type": "str"},
        "http3": {"type": "bool"},
        "lock": {"type": "str", "choices": ["none", "cloudflare"]},
        "upstream": {
            "type": "dict",
            "options": {"servers": {"type": "list", "required": True}, "keepalive": {"type": "int"}},
        },
        "rate_limits": {"type": "list", "elements": "dict", "options": {"zone": {"type": "str", "required": True}}},
        "texts": {"type": "dict"},
    },
}


@pytest.mark.parametrize(
    ("nginx", "expected"),
    [
        ({"max_body_size": 100, "http3": "yes", "texts": {"/any": "x"}, "upstream": {"keepalive": 1}}, []),
        (None, []),
        ({"max_body_siz": "1m"}, ["sites.docs.nginx.max_body_siz: unknown key; did you mean `max_body_size`?"]),
        ({"upstream": {"keepaliv": 1}}, ["sites.docs.nginx.upstream.keepaliv: unknown key; did you mean `keepalive`?"]),
        ({"rate_limits": [{"zon": "a"}]}, ["sites.docs.nginx.rate_limits[0].zon: unknown key; did you mean `zone`?"]),
        ({"rate_limits": [{}]}, ["sites.docs.nginx: missing required arguments: zone found in nginx -> rate_limits"]),
        ({"lock": "clodflare"}, ["sites.docs.nginx: value of lock must be one of: none, cloudflare, got: clodflare"]),
        (
            {"http3": "perhaps"},
            ["sites.docs.nginx: argument 'http3' is of type str found in 'nginx'. and we were unable"],
        ),
    ],
)
def test_options_of_a_site_are_those_of_a_virtual_host(nginx: Any, expected: list[str]) -> None:
    lines = [one.line() for one in role_options.find_site_problems({"docs": {"nginx": nginx}}, SPEC)]
    assert len(lines) == len(expected)
    assert all(line.startswith(start) for line, start in zip(lines, expected, strict=True))


@pytest.mark.parametrize(
    ("value", "spec", "expected"),
    [
        (22, {"type": "int"}, []),
        ("22", {"type": "int"}, []),
        ("two", {"type": "int"}, ["ssh_port: argument 'ssh_port' is of type str and we were unable to convert to int"]),
        (["dsa"], {"type": "list", "choices": ["rsa"]}, ["ssh_port: value of ssh_port must be one or more of: rsa"]),
        ("hunter2", {"type": "int", "no_log": True}, ["ssh_port: its value is not valid; correct it"]),
    ],
)
def test_value_of_a_role_is_checked_by_its_specification(value: Any, spec: dict[str, Any], expected: list[str]) -> None:
    lines = [one.line() for one in role_options.find_option_problems(("ssh_port",), value, spec)]
    assert len(lines) == len(expected)
    assert all(line.startswith(start) for line, start in zip(lines, expected, strict=True))
