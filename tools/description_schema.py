"""Generate the schema of the description for editors from the one that preflight uses.

Usage: python -m tools.description_schema      writes roles/preflight/files/description.editor.schema.json

A file of group_vars contains a part of the description, and Jinja expressions instead of values. The schema for editors
therefore requires no key of the description and accepts an expression for each type. It is draft 7 without references,
which every version of yaml-language-server can read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plugins.module_utils import description
from plugins.module_utils.model import names
from tools import collection

SCHEMA = "roles/preflight/files/description.schema.json"
EDITOR_SCHEMA = "roles/preflight/files/description.editor.schema.json"
MODELINE = "# yaml-language-server: $schema="
EXPRESSION = {"type": "string", "pattern": "\\{\\{|\\{%"}
# Keywords that describe a value; the others restrict it.
ANNOTATIONS = ("title", "description", "examples")


def load(root: Path) -> dict[str, Any]:
    """Return the schema of the description without references."""
    return description.inline_references(json.loads((root / SCHEMA).read_text()))


def accept_expressions(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema that accepts a Jinja expression too, in the value and in each part of it."""
    annotations = {key: schema[key] for key in ANNOTATIONS if key in schema}
    rules = {key: restrict(key, value) for key, value in schema.items() if key not in ANNOTATIONS}
    # An editor does not know the own groups of the inventory.
    unknown = ("enum",) if schema.get("x-group") else ()
    rules = {**name_pattern(schema), **rules}
    rules = {key: value for key, value in rules.items() if key not in unknown and not key.startswith(("x-", "$"))}
    if rules == {"type": "string"}:
        return {**annotations, **rules}
    return {**annotations, "anyOf": [rules, EXPRESSION]}


def restrict(keyword: str, value: Any) -> Any:
    """Return the value of a keyword for editors; names of keys are never expressions."""
    if keyword == "properties":
        return {name: accept_expressions(part) for name, part in value.items()}
    if keyword in ("items", "additionalProperties") and isinstance(value, Mapping):
        return accept_expressions(value)
    if keyword == "propertyNames":
        return {"type": value["type"]} if value.get("x-group") else name_pattern(value)
    return value


def name_pattern(schema: Mapping[str, Any]) -> dict[str, str]:
    """Return the pattern of a name."""
    kind = schema.get("x-name", "text")
    return {} if kind == "text" else {"pattern": f"^({names.KINDS[kind].pattern})$"}


def editor_schema(schema: Mapping[str, Any], role_names: list[str]) -> dict[str, Any]:
    """Return the schema for editors. A file may also set variables of roles and secrets, but no other names."""
    prefixes = "|".join([*role_names, "ansible", "vault"])
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$comment": f"Generated from {Path(SCHEMA).name} by tools/description_schema.py",
        "title": schema["title"],
        "type": "object",
        "properties": restrict("properties", schema["properties"]),
        "patternProperties": {f"^({prefixes})_": {}},
        "additionalProperties": False,
    }


def render(root: Path) -> str:
    """Return the text of the file for editors."""
    names = [role.name for role in collection.role_directories(root)]
    return json.dumps(editor_schema(load(root), names), indent=2, ensure_ascii=False) + "\n"


def modeline(file: Path, root: Path) -> str:
    """Return the first line by which an editor finds the schema for a file."""
    return MODELINE + os.path.relpath(root / EDITOR_SCHEMA, file.parent)


def main(root: Path = collection.ROOT) -> None:
    """Write the file for editors."""
    (root / EDITOR_SCHEMA).write_text(render(root))


if __name__ == "__main__":
    main()
