"""The reference page of the description has every key of the schema."""

from __future__ import annotations

from typing import Any

from tools import collection, description_page, description_schema

SCHEMA: dict[str, Any] = {
    "required": ["domain", "email"],
    "properties": {
        "domain": {"type": "string", "x-topic": "Names", "description": "The domain.", "examples": ["example.org"]},
        "email": {"type": "string", "description": "An address."},
        "sites": {
            "type": "object",
            "description": "The sites.",
            "additionalProperties": {
                "type": "object",
                "required": ["group"],
                "properties": {
                    "group": {"type": "string", "enum": ["docs", "edu"], "description": "The group."},
                    "keys": {
                        "type": "object",
                        "description": "Its keys.",
                        "properties": {
                            "secret": {
                                "type": "string",
                                "x-secret": True,
                                "description": "The secret.",
                                "examples": ["x"],
                            }
                        },
                    },
                },
            },
        },
        "ports": {"type": "array", "items": {"type": "integer"}, "description": "Ports.", "x-groups": ["mail"]},
    },
}
DEFAULTS = {"email": "me@{{ domain }}", "ports": []}


def test_key_has_its_type_default_and_example() -> None:
    page = description_page.page(SCHEMA, DEFAULTS)
    assert page.startswith("# The description\n")
    assert (
        "## Names\n\n### `domain` {#domain}\n\nstring · required\n\nThe domain.\n\n```yaml\ndomain: example.org\n```\n"
        in page
    )
    # A key with a default is not required of the reader.
    assert '### `email` {#email}\n\nstring\n\nAn address.\n\nDefault: `"me@{{ domain }}"`\n' in page
    assert "list of numbers · read for groups `mail`\n\nPorts.\n\nDefault: `[]`" in page


def test_keys_of_entries_are_listed_below_their_key() -> None:
    page = description_page.page(SCHEMA, DEFAULTS)
    assert (
        "mapping of names to mappings\n\nThe sites.\n\nKeys of each entry:\n\n"
        "- `group` (string · required · one of `docs`, `edu`): The group.\n"
        "- `keys` (mapping): Its keys.\n"
        "  - `secret` (string · secret): The secret. Example: `x`.\n"
    ) in page


def test_page_of_the_collection_has_every_key() -> None:
    schema = description_schema.load(collection.ROOT)
    page = description_page.page(schema, {})
    assert [name for name in schema["properties"] if f"{{#{name}}}" not in page] == []
