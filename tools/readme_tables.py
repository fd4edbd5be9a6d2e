"""Write each role's table of variables into its README, from its argument_specs.

Usage: python -m tools.readme_tables [ROLE...]
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any

from tools import collection

BEGIN = "<!-- variables: begin -->"
END = "<!-- variables: end -->"
HEADING = "## Variables"
# A section that lists variables by hand, under whatever name
SECTION = re.compile(r"^#+ +(?:all |role |the )*(?:variables|options|parameters)\b.*$", re.IGNORECASE | re.MULTILINE)
# Ansible's documentation markup, such as C(text) or P(vise.platform.survey#callback)
MARKUP = re.compile(r"\b[BCEIMOPV]\(([^()#]*)(?:#\w+)?\)")
Options = dict[str, dict[str, Any]]


def format_default(option: dict[str, Any]) -> str:
    """Return a default in the format of YAML, or `required`."""
    if option.get("required"):
        return "required"
    default = option.get("default")
    text = default if isinstance(default, str) and default else json.dumps(default, ensure_ascii=False)
    return f"`{text}`"


def format_type(option: dict[str, Any]) -> str:
    """Return a type, with the type of the elements of a list."""
    name = str(option.get("type", "str"))
    return f"{name} of {option['elements']}" if "elements" in option else name


def format_description(option: dict[str, Any]) -> str:
    """Return a description, with the choices and with the keys of a dictionary."""
    description = option.get("description", "")
    parts = [description] if isinstance(description, str) else list(description)
    if option.get("choices"):
        parts.append("One of " + ", ".join(f"`{choice}`" for choice in option["choices"]) + ".")
    if option.get("options"):
        keys = (f"`{key}`{' (required)' if sub.get('required') else ''}" for key, sub in option["options"].items())
        parts.append("Keys: " + ", ".join(keys) + ".")
    return MARKUP.sub(r"`\1`", " ".join(" ".join(str(part).split()) for part in parts))


def build_table(options: Options) -> str:
    """Return the Markdown table of a role's options."""
    if not options:
        return "The role has no variables.\n"
    rows = [("Variable", "Type", "Default", "Meaning"), ("---", "---", "---", "---")]
    rows += [
        (f"`{name}`", format_type(option), format_default(option), format_description(option))
        for name, option in options.items()
    ]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |\n" for row in rows)


def remove_table(text: str) -> str:
    """Return the hand-written part of a README."""
    before, _, rest = text.partition(BEGIN)
    return before + rest.partition(END)[2]


def update_table(text: str, options: Options) -> str:
    """Return a README with an updated table; without markers, table and markers are added at its end."""
    block = f"{BEGIN}\n{build_table(options)}{END}"
    if BEGIN not in text or END not in text:
        return f"{text.rstrip()}\n\n{HEADING}\n\n{block}\n"
    before, _, rest = text.partition(BEGIN)
    return before + block + rest.partition(END)[2]


def find_sections(text: str) -> list[str]:
    """Return the headings of sections that list variables; the README has one, above its table."""
    without_code = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    return [found[0] for found in SECTION.finditer(without_code)]


def main(names: list[str]) -> int:
    """Update the tables of the given roles, by default of all roles."""
    for role in collection.role_directories(collection.ROOT):
        path = role / "README.md"
        if (names and role.name not in names) or not path.exists() or not collection.role_options(role):
            continue
        text = path.read_text()
        new_text = update_table(text, collection.role_options(role))
        if new_text != text:
            path.write_text(new_text)
            print(f"{path.relative_to(collection.ROOT)}: table updated")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
