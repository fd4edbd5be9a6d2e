from __future__ import annotations

from typing import Any

import pytest

from tools import readme_tables

OPTION = {"type": "int", "default": 80, "description": "Where it\nlistens"}


@pytest.mark.parametrize(
    ("option", "row"),
    [
        (OPTION, "| `x` | int | `80` | Where it listens |"),
        ({"type": "str", "default": "", "description": "D"}, '| `x` | str | `""` | D |'),
        ({"type": "str", "required": True, "description": ["D.", "E."]}, "| `x` | str | required | D. E. |"),
        ({"type": "bool", "default": False, "description": "a|b"}, "| `x` | bool | `false` | a\\|b |"),
        ({"type": "list", "elements": "str", "default": [], "description": "D"}, "| `x` | list of str | `[]` | D |"),
        ({"type": "str", "default": "a", "choices": ["a", "b"], "description": "D."}, "D. One of `a`, `b`. |"),
        (
            {"type": "dict", "default": {}, "description": "D.", "options": {"k": {"required": True}, "l": {}}},
            "D. Keys: `k` (required), `l`. |",
        ),
    ],
)
def test_option_is_shown_with_its_type_default_and_meaning(option: dict[str, Any], row: str) -> None:
    assert row in readme_tables.table({"x": option})


def test_table_is_renewed_between_its_markers_only() -> None:
    first = readme_tables.updated("# role\n", {"x": OPTION})
    text = first.replace("## Variables", "## All variables") + "\nAfter.\n"
    renewed = readme_tables.updated(text, {"y": OPTION})
    assert "`y`" in renewed
    assert "`x`" not in renewed
    assert renewed.startswith("# role\n\n## All variables")
    assert renewed.endswith("\nAfter.\n")


def test_renewing_twice_changes_nothing() -> None:
    once = readme_tables.updated("# role\n", {"x": OPTION})
    assert readme_tables.updated(once, {"x": OPTION}) == once
