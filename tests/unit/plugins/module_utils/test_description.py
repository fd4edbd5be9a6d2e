"""The description is validated against its schema, and each problem names what to write."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible_collections.vise.platform.plugins.module_utils import description
from ansible_collections.vise.platform.plugins.module_utils.model import names

FORM = names.KINDS["database"].form
PERSON = names.KINDS["person"].form
SCHEMA: dict[str, Any] = description.inline_references(
    yaml.safe_load("""
required: [domain]
properties:
  domain: {$ref: "#/$defs/domain", examples: [example.org]}
  sites:
    type: object
    additionalProperties:
      type: object
      required: [group]
      additionalProperties: false
      properties:
        group: {type: string, enum: [docs, edu]}
        aliases: {type: array, items: {$ref: "#/$defs/domain"}, examples: [[www.example.org]]}
        source: {type: string}
        nginx: {type: object}
  count: {type: integer}
  enabled: {type: boolean}
  key: {type: string, x-secret: true, pattern: "^[a-z]{4,}$", examples: ["{{ vault_key }}"]}
  token: {type: string, x-secret: true}
  version: {type: string, examples: ["17"]}
  stores:
    type: object
    propertyNames: {x-name: database}
    additionalProperties: {type: object, properties: {clients: {type: string}}}
  people:
    type: array
    items: {type: object, properties: {name: {type: string, x-name: person}}}
    examples: [[{name: alice, keys: [ssh-ed25519 ...]}]]
  ports:
    type: object
    propertyNames: {type: string, enum: [all, edge]}
    additionalProperties:
      type: array
      items: {type: string, pattern: "^[0-9]+/(tcp|udp)$"}
      examples: [[443/tcp]]
$defs:
  domain: {type: string, pattern: "^[a-z.]+$"}
""")
)


def find_lines(text: str) -> list[str]:
    return [problem.line() for problem in description.find_problems(yaml.safe_load(text), SCHEMA)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{domain: a.b}", []),
        ("{domain: a.b, sites: {docs: {group: docs, aliases: [w.b], nginx: {anything: [1, null]}}}}", []),
        ("{}", ["domain: is missing; write `domain: example.org`"]),
        ("{domain: [a.b]}", ["domain: is a list, not a string; write `domain: example.org`"]),
        ("{domain: A B}", ["domain: `A B` is not valid; write `domain: example.org`"]),
        ('{domain: "a.b\\n"}', ['domain: `"a.b\\n"` is not valid; write `a.b`']),
        ('{domain: ""}', ['domain: `""` is not valid; write `domain: example.org`']),
        ("{domain: null}", ["domain: is empty, not a string; write `domain: example.org`"]),
        ("{domain: a.b, sites: []}", ["sites: is a list, not a mapping; write a mapping"]),
        ("{domain: a.b, sites: {docs: x}}", ["sites.docs: is a string, not a mapping; write a mapping"]),
        (
            "{domain: a.b, sites: {docs: {gruop: docs}}}",
            [
                "sites.docs.gruop: unknown key; did you mean `group`?",
                "sites.docs.group: is missing; write one of docs, edu",
            ],
        ),
        (
            "{domain: a.b, sites: {docs: {group: docs, qqq: 1}}}",
            ["sites.docs.qqq: unknown key; write one of aliases, group, nginx, source"],
        ),
        (
            "{domain: a.b, sites: {1: {group: docs, 2: 3}}}",
            [
                'sites.1: the name is not text: YAML reads it as a number; quote it, as in `"1"`',
                "sites.1.2: unknown key; write one of aliases, group, nginx, source",
            ],
        ),
        (
            "{domain: a.b, stores: {off: {clients: 1}}}",
            [
                'stores.false: the name is not text: YAML reads it as true or false; quote it, as in `"off"`',
                "stores.false.clients: is a number, not a string; write a string",
            ],
        ),
        (
            "{domain: a.b, stores: {2024: {}, my-app: {}, postgres: {}, replication: {}, ok: {}}}",
            [
                f"stores.2024: the name is not text: YAML reads it as a number; quote it, and {FORM}",
                f"stores.my-app: `my-app` is not a valid name; {FORM}",
                "stores.postgres: `postgres` is reserved by PostgreSQL; choose another name",
                "stores.replication: `replication` is a user of the platform; choose another name",
            ],
        ),
        (
            '{domain: a.b, stores: {2024-01-01: {}, null: {}, 1.5: {}, "a\\nb": {}}}',
            [
                f"stores.1.5: the name is not text: YAML reads it as a number; quote it, and {FORM}",
                f"stores.2024-01-01: the name is not text: YAML reads it as a date; quote it, and {FORM}",
                f"stores.a\nb: `a\\nb` is not a valid name; {FORM}",
                'stores.null: the name is not text: YAML reads it as empty; quote it, as in `"null"`',
            ],
        ),
        (
            "{domain: a.b, people: [{name: no}, {name: 7}, {name: alice}, {name: [a]}]}",
            [
                'people[0].name: the name is not text: YAML reads it as true or false; quote it, as in `"off"`',
                f"people[1].name: the name is not text: YAML reads it as a number; quote it, and {PERSON}",
                "people[3].name: is a list, not a string; write a string",
            ],
        ),
        (
            "{domain: a.b, ports: {off: [443/tcp]}}",
            ["ports.false: unknown key; write one of all, edge"],
        ),
        (
            "{domain: a.b, sites: {docs: {group: dosc}}}",
            ["sites.docs.group: `dosc` is not valid; did you mean `docs`?"],
        ),
        (
            "{domain: a.b, sites: {docs: {group: [docs]}}}",
            ["sites.docs.group: is a list, not a string; write one of docs, edu"],
        ),
        (
            "{domain: a.b, sites: {docs: {group: docs, aliases: [w.b, W]}}}",
            ["sites.docs.aliases[1]: `W` is not valid; write `w`"],
        ),
        ("{domain: a.b, ports: {edge: [443/tcp, 443/udp]}}", []),
        ("{domain: a.b, ports: {egde: [443/tcp]}}", ["ports.egde: unknown key; did you mean `edge`?"]),
        ("{domain: a.b, ports: {mail: [443/tcp]}}", ["ports.mail: unknown key; write one of all, edge"]),
        ("{domain: a.b, ports: {edge: 443}}", ["ports.edge: is a number, not a list; write `edge: [443/tcp]`"]),
        (
            "{domain: a.b, ports: {edge: [443/tpc]}}",
            ["ports.edge[0]: `443/tpc` is not valid; write `edge: [443/tcp]`"],
        ),
        (
            "{domain: a.b, people: [alice]}",
            ["people[0]: is a string, not a mapping; write `people: [{name: alice, keys: [ssh-ed25519 ...]}]`"],
        ),
        ("{domain: a.b, key: ab1}", ['key: the secret has an invalid format; write `key: "{{ vault_key }}"`']),
        ("{domain: a.b, key: [x]}", ['key: is a list, not a string; write `key: "{{ vault_key }}"`']),
        ("{domain: a.b, key: change_me}", ["key: is a placeholder; write the real secret, encrypted"]),
        ("{domain: a.b, key: placeholder}", ["key: is a placeholder; write the real secret, encrypted"]),
        ("{domain: a.b, token: todo}", ["token: is a placeholder; write the real secret, encrypted"]),
        ('{domain: a.b, token: ""}', []),
        ("{domain: a.b, version: 17}", ['version: is a number, not a string; write `version: "17"`']),
        ("{domain: a.b, count: 1}", []),
        ("{domain: a.b, count: true}", ["count: is true or false, not a number; write a number"]),
        ("{domain: a.b, count: 1.0}", ["count: is float, not a number; write a number"]),
        ("{domain: a.b, enabled: 1}", ["enabled: is a number, not true or false; write true or false"]),
    ],
)
def test_each_problem_is_reported_with_what_to_write(text: str, expected: list[str]) -> None:
    assert find_lines(text) == expected


def test_value_of_a_secret_is_never_shown() -> None:
    assert "hunter2" not in "".join(find_lines("{domain: a.b, key: hunter2}"))


def test_problems_of_one_mapping_stay_together_in_order() -> None:
    found = find_lines("{domain: a.b, sites: {b: {group: x, q: 1}, a: {group: x, aliases: [" + "w, " * 11 + "W, W]}}}")
    assert [line.partition(":")[0] for line in found] == [
        "sites.a.aliases[11]",
        "sites.a.aliases[12]",
        "sites.a.group",
        "sites.b.q",
        "sites.b.group",
    ]


def test_missing_library_is_reported_with_the_python_that_needs_it() -> None:
    text = description.explain_missing_library("jsonschema", "/opt/venv/bin/python", "3.13.0")
    assert "package jsonschema on the controller" in text
    assert "/opt/venv/bin/python (Python 3.13.0)" in text
    assert "`/opt/venv/bin/python -m pip install jsonschema`" in text


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("domain", "a.b", "a.b"),
        ("domain", "A B", None),
        ("sites", "[docs]", None),
        ("sites", "{docs: {gruop: docs, aliases: [w.b, W]}, edu: x}", {"docs": {"aliases": ["w.b"]}}),
        ("ports", "{edge: [443/tcp, 443], egde: [80/tcp]}", {"edge": ["443/tcp"]}),
        ("sites", "{docs: {group: docs, nginx: {a: [null]}}}", {"docs": {"group": "docs", "nginx": {"a": [None]}}}),
        ("people", "[alice, {name: bob}]", [{"name": "bob"}]),
        ("count", "x", None),
        ("token", "todo", None),
    ],
)
def test_valid_part_of_a_faulty_value_stays(name: str, text: str, expected: Any) -> None:
    assert description.valid_part(yaml.safe_load(text), SCHEMA["properties"][name]) == expected


def test_all_problems_are_reported_at_once() -> None:
    assert len(find_lines("{domain: 1, count: x, sites: {docs: {}, edu: {group: x}}}")) == 4


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("domain", []),
        ("vault_anything", []),
        ("ansible_user", []),
        (
            "domian",
            ["did you mean `domain`? or, for a variable of your own, write `preflight_own_variables: [domian]`"],
        ),
        ("unheard_of", ["remove it, or, for a variable of your own, write `preflight_own_variables: [unheard_of]`"]),
    ],
)
def test_unknown_variables_are_reported_with_their_file(name: str, expected: list[str]) -> None:
    found = description.find_unknown_names({name: "group_vars/all/x.yml"}, {"domain", "sites"})
    assert [problem.file for problem in found] == ["group_vars/all/x.yml"] * len(expected)
    assert [problem.advice for problem in found] == expected


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
    (problem,) = description.find_placeholders({"vault_x": value}, {"vault_x": "vault.yml"})
    assert problem.line() == "vault_x (vault.yml): is empty or a placeholder; write the real secret, encrypted"


@pytest.mark.parametrize("value", ["Vq3-x", "-----BEGIN CERTIFICATE-----\nMII", "tokenring7", ["a1b2"], {"a": "b3"}])
def test_real_secrets_pass(value: Any) -> None:
    assert description.find_placeholders({"vault_x": value}, {}) == []


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
def test_keys_for_groups_are_read_if_one_of_them_has_a_host(
    groups: dict[str, list[str]], expected: list[str], sets: list[dict[str, str]]
) -> None:
    schema: dict[str, Any] = {
        "required": ["domain", "key"],
        "properties": {
            "domain": {"type": "string"},
            "key": {"type": "string", "x-groups": ["mail", "relay"]},
            "place": {"type": "string", "x-groups": [], "x-groups-of": "sets"},
        },
    }
    read = description.select_keys(schema, groups, {"sets": sets})
    assert list(read["properties"]) == expected
    assert read["required"] == [name for name in ("domain", "key") if name in expected]
    assert "place" not in description.select_keys(schema, groups, {})["properties"]


@pytest.mark.parametrize(("empty", "expected"), [((), ["sets", "key"]), (("sets",), ["sets"])])
def test_key_that_needs_another_one_is_read_if_that_has_entries(empty: tuple[str, ...], expected: list[str]) -> None:
    properties = {"sets": {"type": "array"}, "key": {"type": "string", "x-needs": "sets"}}
    read = description.select_keys({"properties": properties, "required": ["key"]}, {"all": ["a"]}, {}, empty)
    assert list(read["properties"]) == expected
    assert read["required"] == [name for name in ("key",) if name in expected]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("b", []),
        ("", []),
        ("nobody", ["pruner: `nobody` is not valid; write one of a, b"]),
        ("web1", ["pruner: `web1` is not valid; did you mean `web-1`?"]),
    ],
)
def test_host_of_a_key_is_one_of_the_inventory(value: str, expected: list[str]) -> None:
    hosts = ["web-1", "b"] if value.startswith("web") else ["b", "a"]
    schema = description.select_keys({"properties": {"pruner": {"type": "string", "x-host": True}}}, {"all": hosts}, {})
    assert [problem.line() for problem in description.find_problems({"pruner": value}, schema)] == expected
