"""The schema describes the whole description: every key, its default, and what editors show of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.vise.platform.plugins.module_utils import description
from ansible_collections.vise.platform.plugins.module_utils.model import topology

from tools import collection, description_schema

ROOT = collection.ROOT
SCHEMA = description_schema.load(ROOT)
EDITOR = json.loads((ROOT / description_schema.EDITOR_SCHEMA).read_text())
FILES = sorted(ROOT.glob("group_vars/*/*.yml"))
# What a JSON Schema may have here besides the keywords that preflight can explain
KEYWORDS = {
    *("type", "enum", "pattern", "required", "properties", "additionalProperties", "propertyNames", "items"),
    *("$comment", "title", "description", "examples"),
    *("x-topic", "x-groups", "x-groups-of", "x-needs", "x-secret", "x-host"),
    *("x-group", "x-readers", "x-host-of", "x-name", "x-generate", "x-issued"),
}


def load(path: Path) -> dict[str, Any]:
    """Return the variables of a file, whose strings Ansible may template."""
    return DataLoader().load_from_file(str(path), trusted_as_template=True) or {}


DEFAULTS = load(ROOT / "roles/description/defaults/main.yml")


def walk(schema: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every part of a schema, each with its path."""
    yield path, schema
    for name, part in schema.get("properties", {}).items():
        yield from walk(part, f"{path}.{name}")
    for keyword in ("items", "additionalProperties", "propertyNames"):
        if isinstance(schema.get(keyword), Mapping):
            yield from walk(schema[keyword], f"{path}[{keyword}]")


PARTS = dict(walk({key: value for key, value in SCHEMA.items() if key != "$schema"}))


def test_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads((ROOT / description_schema.SCHEMA).read_text()))
    jsonschema.Draft7Validator.check_schema(EDITOR)


def test_schema_for_editors_is_up_to_date() -> None:
    text = (ROOT / description_schema.EDITOR_SCHEMA).read_text()
    assert text == description_schema.render(ROOT), "run `make docs-tables`"


def test_schema_has_only_keywords_that_preflight_explains() -> None:
    assert {keyword for part in PARTS.values() for keyword in part} <= KEYWORDS


def test_patterns_are_anchored_as_preflight_and_editors_read_them_differently_otherwise() -> None:
    patterns = {path: part["pattern"] for path, part in PARTS.items() if "pattern" in part}
    assert [path for path, pattern in patterns.items() if not re.fullmatch(r"\^.*\$", pattern)] == []


def test_every_key_has_a_type_and_a_description() -> None:
    keys = {path: part for path, part in PARTS.items() if path and not path.endswith("]")}
    assert [path for path, part in keys.items() if not {"type", "description"} <= set(part)] == []


def test_groups_of_the_schema_are_functions() -> None:
    functions = {"all", *topology.FUNCTIONS}
    assert {"all", *PARTS[".sites[additionalProperties].group"]["enum"]} == functions
    words = ("x-groups", "x-readers")
    assert {group for part in PARTS.values() for word in words for group in part.get(word, ())} <= functions
    assert {"all", *PARTS[".open_ports[propertyNames]"]["enum"]} == functions
    named = {part[word] for part in PARTS.values() for word in ("x-groups-of", "x-needs", "x-host-of") if word in part}
    assert named <= set(SCHEMA["properties"])


def test_every_required_key_is_described() -> None:
    for part in PARTS.values():
        assert set(part.get("required", ())) <= set(part.get("properties", ()))


def test_examples_are_valid_for_editors() -> None:
    """In the schema of preflight, the expressions in them would not be."""
    for path, part in PARTS.items():
        validator = jsonschema.Draft7Validator(description_schema.accept_expressions(part))
        assert [(path, error.message) for one in part.get("examples", ()) for error in validator.iter_errors(one)] == []


def test_every_default_is_described_and_valid() -> None:
    secrets = set(re.findall(r"\bvault_\w+", str(DEFAULTS)))
    variables = {
        "groups": {"all": ["a"]},
        "inventory_hostname": "a",
        **dict.fromkeys(secrets, "a1b2c3d4e5f6a7b8"),
        **DEFAULTS,
        "domain": "vln.test",
    }
    values = {name: Templar(loader=DataLoader(), variables=variables).template(DEFAULTS[name]) for name in DEFAULTS}
    assert set(values) <= set(SCHEMA["properties"])
    found = description.find_problems(values, {**SCHEMA, "required": []})
    assert [problem.line() for problem in found] == []


def test_group_vars_repeat_no_default() -> None:
    # Everyone has to replace it: preflight refuses a platform without administrators.
    written = {name: value for file in FILES if file.parent.name == "all" for name, value in load(file).items()}
    assert [name for name, value in written.items() if name in DEFAULTS and DEFAULTS[name] == value] == ["people"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_file_of_group_vars_names_the_schema_and_is_valid_for_editors(file: Path) -> None:
    assert file.read_text().splitlines()[0] == description_schema.modeline(file, ROOT)
    variables = json.loads(json.dumps(load(file)))
    assert [error.message for error in jsonschema.Draft7Validator(EDITOR).iter_errors(variables)] == []


@pytest.mark.parametrize(
    ("variables", "valid"),
    [
        ({}, True),
        ({"domain": "vln.test"}, True),
        ({"domain": "docs.{{ domain }}"}, True),
        ({"domain": "VLN"}, False),
        ({"domian": "vln.test"}, False),
        ({"sites": "{{ other }}"}, True),
        ({"sites": {"docs": "{{ other }}"}}, True),
        ({"sites": {"docs": {"domain": "{{ a }}", "group": "docs", "port": "{{ b }}", "proxied": "{{ c }}"}}}, True),
        ({"sites": {"docs": {"domain": "vln.test", "group": "docs", "aliases": ["{{ a }}"]}}}, True),
        # A group of the inventory that an editor does not know
        ({"sites": {"shop": {"domain": "vln.test", "group": "shop"}}}, True),
        ({"databases": {"shop": {"clients": "shop", "password": "{{ a }}"}}, "open_ports": {"shop": ["1/tcp"]}}, True),
        ({"sites": {"docs": {"domain": "vln.test", "gruop": "docs"}}}, False),
        ({"sites": {"docs": {"domain": "vln.test", "group": "docs", "port": "80"}}}, False),
        ({"open_ports": {"edge": ["443"]}}, False),
        ({"open_ports": {"edge": "{{ ports }}"}}, True),
        ({"database_memory": "2048"}, False),
        ({"mailcow_repository": "https://example.org/", "vault_x": 1, "ansible_user": "root"}, True),
    ],
)
def test_editors_accept_expressions_and_report_mistakes(variables: dict[str, Any], valid: bool) -> None:
    assert jsonschema.Draft7Validator(EDITOR).is_valid(variables) is valid
