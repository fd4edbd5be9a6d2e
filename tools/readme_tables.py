"""Write each role's table of variables into its README, from its argument_specs.

Usage: python -m tools.readme_tables [ROLE...]
"""

from __future__ import annotations

import json
import sys
from typing import Any

BEGIN = "<!-- variables: begin -->"
END = "<!-- variables: end -->"
Options = dict[str, dict[str, Any]]


def shown_default(option: dict[str, Any]) -> str:
    """Show a default as YAML would be written, or that there is none."""
    if option.get("required"):
        return "required"
    default = option.get("default")
    text = default if isinstance(default, str) and default else json.dumps(default, ensure_ascii=False)
    return f"`{text}`"


def shown_type(option: dict[str, Any]) -> str:
    """Show a type, with that of a list's entries."""
    name = str(option.get("type", "str"))
    return f"{name} of {option['elements']}" if "elements" in option else name


def shown_description(option: dict[str, Any]) -> str:
    """Show a description, with the choices and the keys of a dictionary."""
    description = option.get("description", "")
    parts = [description] if isinstance(description, str) else list(description)
    if option.get("choices"):
        parts.append("One of " + ", ".join(f"`{choice}`" for choice in option["choices"]) + ".")
    if option.get("options"):
        keys = (f"`{key}`{' (required)' if sub.get('required') else ''}" for key, sub in option["options"].items())
        parts.append("Keys: " + ", ".join(keys) + ".")
    return " ".join(" ".join(str(part).split()) for part in parts)


def table(options: Options) -> str:
    """Build the Markdown table of a role's options."""
    if not options:
        return "The role has no variables.\n"
    rows = [("Variable", "Type", "Default", "Meaning"), ("---", "---", "---", "---")]
    rows += [
        (f"`{name}`", shown_type(option), shown_default(option), shown_description(option))
        for name, option in options.items()
    ]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |\n" for row in rows)


def without_table(text: str) -> str:
    """Return a README's hand-written part."""
    before, _, rest = text.partition(BEGIN)
    return before + rest.partition(END)[2]


def updated(text: str, options: Options) -> str:
    """Return a README with its table renewed; one without markers gets them at its end."""
    block = f"{BEGIN}\n{table(options)}{END}"
    if BEGIN not in text or END not in text:
        return f"{text.rstrip()}\n\n## Variables\n\n{block}\n"
    before, _, rest = text.partition(BEGIN)
    return before + block + rest.partition(END)[2]


def main(names: list[str]) -> int:
    """Renew the tables of the named roles, or of all."""
    from tools import collection, roles

    for role in roles.role_directories(collection.ROOT):
        path = role / "README.md"
        if (names and role.name not in names) or not path.exists() or not roles.options(role):
            continue
        text = path.read_text()
        renewed = updated(text, roles.options(role))
        if renewed != text:
            path.write_text(renewed)
            print(f"{path.relative_to(collection.ROOT)}: table renewed")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
