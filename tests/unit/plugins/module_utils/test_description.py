"""The description beside its schema: what is refused, and what is said to write."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible_collections.vise.platform.plugins.module_utils import description

SCHEMA: dict[str, Any] = yaml.safe_load("""
domain: {type: str, required: true, pattern: "[a-z.]+", example: example.org}
sites:
  type: dict
  elements: dict
  options:
    group: {type: str, required: true, choices: [docs, edu]}
    aliases: {type: list, elements: str, pattern: "[a-z.]+", example: "[www.example.org]"}
    source: {type: str}
    nginx: {type: dict}
count: {type: int}
key: {type: str, secret: true, pattern: "[a-z]{4,}", example: "'{{ vault_key }}'"}
ports:
  type: dict
  keys: [all, edge]
  elements: {type: list, elements: str, pattern: "[0-9]+/(tcp|udp)", example: "[443/tcp]"}
""")


def lines(text: str) -> list[str]:
    return [problem.line() for problem in description.check(yaml.safe_load(text), SCHEMA)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{domain: a.b}", []),
        ("{domain: a.b, sites: {docs: {group: docs, aliases: [w.b], nginx: {anything: [1]}}}}", []),
        ("{}", ["domain: is missing; write `domain: example.org`"]),
        ("{domain: [a.b]}", ["domain: is a list, not a text; write `domain: example.org`"]),
        ("{domain: A B}", ["domain: 'A B' is not possible; write `domain: example.org`"]),
        ("{domain: a.b, sites: []}", ["sites: is a list, not a mapping; write a mapping"]),
        ("{domain: a.b, sites: {docs: x}}", ["sites.docs: is a text, not a mapping; write a mapping"]),
        (
            "{domain: a.b, sites: {docs: {gruop: docs}}}",
            [
                "sites.docs.gruop: nothing reads it; did you mean group?",
                "sites.docs.group: is missing; write one of docs, edu",
            ],
        ),
        (
            "{domain: a.b, sites: {docs: {group: docs, qqq: 1}}}",
            ["sites.docs.qqq: nothing reads it; known are aliases, group, nginx, source"],
        ),
        ("{domain: a.b, sites: {docs: {group: dosc}}}", ["sites.docs.group: dosc is not possible; did you mean docs?"]),
        (
            "{domain: a.b, sites: {docs: {group: docs, aliases: [w.b, W]}}}",
            ["sites.docs.aliases[1]: 'W' is not possible; write `aliases: [www.example.org]`"],
        ),
        ("{domain: a.b, ports: {edge: [443/tcp, 443/udp]}}", []),
        ("{domain: a.b, ports: {egde: [443/tcp]}}", ["ports.egde: nothing reads it; did you mean edge?"]),
        ("{domain: a.b, ports: {edge: 443}}", ["ports.edge: is a number, not a list; write `edge: [443/tcp]`"]),
        (
            "{domain: a.b, ports: {edge: [443/tpc]}}",
            ["ports.edge[0]: '443/tpc' is not possible; write `edge: [443/tcp]`"],
        ),
        ("{domain: a.b, key: ab1}", ["key: the secret is not possible; write `key: '{{ vault_key }}'`"]),
        ("{domain: a.b, key: change_me}", ["key: is a placeholder; write the real secret, encrypted"]),
        ("{domain: a.b, count: true}", ["count: is true or false, not a number; write a number"]),
    ],
)
def test_each_fault_is_told_with_what_to_write(text: str, expected: list[str]) -> None:
    assert lines(text) == expected


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("domain", "a.b", "a.b"),
        ("domain", "A B", None),
        ("sites", "[docs]", None),
        ("sites", "{docs: {gruop: docs, aliases: [w.b, W]}, edu: x}", {"docs": {"aliases": ["w.b"]}}),
        ("ports", "{edge: [443/tcp, 443], egde: [80/tcp]}", {"edge": ["443/tcp"]}),
        ("count", "x", None),
    ],
)
def test_right_part_of_a_faulty_value_is_kept(name: str, text: str, expected: Any) -> None:
    assert description.sound(yaml.safe_load(text), SCHEMA[name]) == expected


def test_all_faults_are_told_at_once() -> None:
    assert len(lines("{domain: 1, count: x, sites: {docs: {}, edu: {group: x}}}")) == 4


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("domain", []),
        ("vault_anything", []),
        ("ansible_user", []),
        ("domian", ["did you mean domain?"]),
        ("unheard_of", ["remove it"]),
    ],
)
def test_names_that_nothing_reads_are_told_with_their_file(name: str, expected: list[str]) -> None:
    found = description.check_names({name: "group_vars/all/x.yml"}, {"domain", "sites"})
    assert [problem.file for problem in found] == ["group_vars/all/x.yml"] * len(expected)
    assert all(wanted in problem.write for wanted, problem in zip(expected, found, strict=True))


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "changeme",
        "CHANGE-ME",
        "todo",
        "xxxx",
        "<token>",
        "your-token",
        "replace this",
        "secret",
        "***",
        None,
        ["changeme"],
        {"a": "changeme"},
    ],
)
def test_placeholders_are_no_secrets(value: Any) -> None:
    (problem,) = description.check_secrets({"vault_x": value}, {"vault_x": "vault.yml"})
    assert problem.line() == "vault_x (vault.yml): is empty or a placeholder; write the real secret, encrypted"


@pytest.mark.parametrize("value", ["Vq3-x", "-----BEGIN CERTIFICATE-----\nMII", "tokenring7", ["a1b2"], {"a": "b3"}])
def test_real_secrets_pass(value: Any) -> None:
    assert description.check_secrets({"vault_x": value}, {}) == []


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ({"all": ["a"]}, ["domain"]),
        ({"all": ["a"], "mail": []}, ["domain"]),
        ({"all": ["a"], "mail": ["a"]}, ["domain", "key"]),
        ({"all": ["a"], "relay": ["a"]}, ["domain", "key"]),
        ({"all": ["a"], "edu": ["a"]}, ["domain", "place"]),
    ],
)
@pytest.mark.parametrize("sets", [[{"group": "edu"}], [{"name": "group is wrong"}, {"group": "edu"}]])
def test_what_is_for_groups_is_asked_for_where_they_have_a_host(
    groups: dict[str, list[str]], expected: list[str], sets: list[dict[str, str]]
) -> None:
    schema: dict[str, Any] = {
        "domain": {"type": "str"},
        "key": {"type": "str", "groups": ["mail", "relay"]},
        "place": {"type": "str", "groups": [], "groups_of": "sets"},
    }
    assert list(description.asked(schema, groups, {"sets": sets})) == expected
    assert "place" not in description.asked(schema, groups, {})
