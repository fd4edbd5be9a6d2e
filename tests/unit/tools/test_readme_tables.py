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
        ({"type": "str", "default": "", "description": "C(a) of P(b.c#callback) (d)"}, "| `a` of `b.c` (d) |"),
        ({"type": "list", "elements": "str", "default": [], "description": "D"}, "| `x` | list of str | `[]` | D |"),
        ({"type": "str", "default": "a", "choices": ["a", "b"], "description": "D."}, "D. One of `a`, `b`. |"),
        (
            {"type": "dict", "default": {}, "description": "D.", "options": {"k": {"required": True}, "l": {}}},
            "D. Keys: `k` (required), `l`. |",
        ),
    ],
)
def test_row_has_type_default_and_description(option: dict[str, Any], row: str) -> None:
    assert row in readme_tables.build_table({"x": option})


def test_only_the_text_between_the_markers_is_updated() -> None:
    first = readme_tables.update_table("# role\n", {"x": OPTION})
    text = first.replace("## Variables", "## All variables") + "\nAfter.\n"
    new_text = readme_tables.update_table(text, {"y": OPTION})
    assert "`y`" in new_text
    assert "`x`" not in new_text
    assert new_text.startswith("# role\n\n## All variables")
    assert new_text.endswith("\nAfter.\n")


def test_second_update_changes_nothing() -> None:
    once = readme_tables.update_table("# role\n", {"x": OPTION})
    assert readme_tables.update_table(once, {"x": OPTION}) == once
