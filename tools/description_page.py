"""The reference page of the description: every key with its type, default and example."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from plugins.module_utils.description import write_yaml

Schema = Mapping[str, Any]

TITLE = "The description"
OPENING = """\
The description is the set of variables that define the platform. Write them into `group_vars/`, and those of one host
into the inventory or `host_vars/`. A key that you leave out has the default of the role `description`. Preflight
validates all keys before anything changes, and so does an editor that reads the first line of each file in
`group_vars/`.
"""
TYPES = {
    "string": "string",
    "integer": "number",
    "boolean": "`true` or `false`",
    "array": "list",
    "object": "mapping",
}
PLURALS = {"string": "strings", "integer": "numbers", "array": "lists", "object": "mappings"}


def code(text: str) -> str:
    """Return a text as inline code."""
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def list_codes(texts: list[str]) -> str:
    """Return texts as a list of inline code."""
    return ", ".join(map(code, texts))


def type_of(key: Schema) -> str:
    """Return the type of a key in words."""
    if "items" in key:
        return f"list of {PLURALS[key['items']['type']]}"
    if isinstance(key.get("additionalProperties"), Mapping):
        return f"mapping of names to {PLURALS[key['additionalProperties']['type']]}"
    return TYPES[key["type"]]


def traits(key: Schema, required: bool) -> str:
    """Return the type of a key, its choices, and the hosts that read it, in one line."""
    parts = [type_of(key), *(["required"] if required else [])]
    if key.get("x-group"):
        parts.append("a group of the inventory")
    elif "enum" in key:
        parts.append("one of " + list_codes(key["enum"]))
    if key.get("x-host"):
        parts.append("a host of the inventory")
    if key.get("x-secret"):
        parts.append("secret")
    groups = [code(name) for name in key.get("x-groups", ())]
    if "x-groups-of" in key:
        groups.append(f"those of {code(key['x-groups-of'])}")
    if groups:
        parts.append(f"read for groups {', '.join(groups)}")
    if "x-needs" in key:
        parts.append(f"read with {code(key['x-needs'])}")
    return " · ".join(parts)


def entries_of(key: Schema) -> tuple[Schema, str]:
    """Return the mapping whose keys a key describes, its own or that of its entries, and a heading for them."""
    if key.get("properties"):
        return key, "Keys:"
    for keyword in ("items", "additionalProperties"):
        if isinstance(key.get(keyword), Mapping) and key[keyword].get("properties"):
            return key[keyword], "Keys of each entry:"
    return {}, ""


def nested_keys(mapping: Schema, depth: int = 0) -> Iterator[str]:
    """Yield one line for each key of a mapping."""
    for name, key in mapping.get("properties", {}).items():
        example = f" Example: {code(write_yaml(key['examples'][0]))}." if "examples" in key else ""
        line = f"- {code(name)} ({traits(key, name in mapping.get('required', ()))}): {key['description']}{example}"
        yield "  " * depth + line
        yield from nested_keys(entries_of(key)[0], depth + 1)


def section(name: str, key: Schema, required: bool, defaults: Mapping[str, Any]) -> str:
    """Return the section of one key."""
    blocks = [f"### {code(name)} {{#{name}}}", traits(key, required and name not in defaults), key["description"]]
    if name in defaults:
        blocks.append(f"Default: {code(write_yaml(defaults[name]))}")
    if "examples" in key:
        blocks.append(f"```yaml\n{name}: {write_yaml(key['examples'][0])}\n```")
    mapping, heading = entries_of(key)
    if mapping:
        blocks += [heading, "\n".join(nested_keys(mapping))]
    return "\n\n".join(blocks)


def page(schema: Schema, defaults: Mapping[str, Any]) -> str:
    """Return the whole page; a key with a topic begins a part of it."""
    blocks = [f"# {TITLE}", OPENING.rstrip()]
    for name, key in schema["properties"].items():
        blocks += [f"## {key['x-topic']}"] if "x-topic" in key else []
        blocks.append(section(name, key, name in schema.get("required", ()), defaults))
    return "\n\n".join(blocks) + "\n"
