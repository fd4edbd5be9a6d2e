"""What every role must keep to, as functions from a role's directory to a list of complaints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tools import collection, readme_tables

# The defaults of the description: names without a common prefix, long, and without tasks or a scenario; preflight
# validates them.
DEFAULTS_ONLY = "description"
REQUIRED = (
    "README.md",
    "defaults/main.yml",
    "meta/argument_specs.yml",
    "meta/main.yml",
    "tasks/main.yml",
)
LIMITS = {"tasks/main.yml": 40, "defaults/main.yml": 80}
TASKS_LIMIT = 100
README_LIMIT = 60

# Formats without comments cannot say that Ansible manages them.
COMMENTLESS = (".json.j2", ".html.j2")


def missing_files(role: Path) -> list[str]:
    """Complain about files that each role has."""
    required = REQUIRED if role.name != DEFAULTS_ONLY else ("README.md", "defaults/main.yml", "meta/main.yml")
    return [f"{role.name}: {name} is missing" for name in required if not (role / name).is_file()]


def scenario(role: Path, root: Path) -> list[str]:
    """Complain when no molecule scenario has the role's name."""
    if (root / "molecule" / role.name / "molecule.yml").is_file():
        return []
    return [f"{role.name}: molecule/{role.name}/molecule.yml is missing"]


def specs_and_defaults(role: Path) -> list[str]:
    """Complain where argument_specs and defaults/main.yml differ; Ansible itself never compares them."""
    defaults = collection.load_yaml(role / "defaults/main.yml") or {}
    described = collection.role_options(role)
    complaints = [
        f"{role.name}: {name} is in defaults but not in argument_specs" for name in defaults.keys() - described
    ]
    for name, option in described.items():
        complaints += [f"{role.name}: {text}" for text in option_and_default(name, option, defaults)]
    return sorted(complaints)


def option_and_default(name: str, option: dict[str, Any], defaults: dict[str, Any]) -> list[str]:
    """Complain about one option: either it is required, or its default is the one in defaults/main.yml."""
    if option.get("required"):
        return [f"{name} is required but has a default"] if name in defaults or "default" in option else []
    if "default" not in option:
        return [f"{name} is neither required nor has a default in argument_specs"]
    if name not in defaults:
        return [f"{name} has a default in argument_specs but none in defaults/main.yml"]
    described, actual = option["default"], defaults[name]
    # 1 == True and 1 == 1.0 in Python, but not in YAML.
    if described != actual or type(described) is not type(actual):
        return [f"{name} is {described!r} in argument_specs but {actual!r} in defaults/main.yml"]
    return []


def option_texts(role: Path) -> list[str]:
    """Complain about options without a type or a description, and about names of another role."""
    complaints = []
    for name, option in collection.role_options(role).items():
        complaints += [f"{role.name}: {name} has no {key}" for key in ("type", "description") if not option.get(key)]
        if not name.startswith(f"{role.name}_"):
            complaints.append(f"{role.name}: {name} does not begin with {role.name}_")
    return complaints


def lengths(role: Path) -> list[str]:
    """Complain about files that are longer than the house style allows."""
    limits = dict.fromkeys((str(path.relative_to(role)) for path in role.glob("tasks/**/*.yml")), TASKS_LIMIT)
    complaints = []
    for name, limit in {**limits, **LIMITS}.items():
        path = role / name
        count = len(path.read_text().splitlines()) if path.exists() else 0
        if count > limit:
            complaints.append(f"{role.name}: {name} has {count} lines, over {limit}")
    return complaints


def readme(role: Path) -> list[str]:
    """Complain about a README that is too long or whose table of variables is not the generated one."""
    path = role / "README.md"
    if not path.exists():
        return []
    text = path.read_text()
    complaints = readme_length(role)
    if readme_tables.BEGIN not in text or readme_tables.END not in text:
        complaints.append(f"{role.name}: README.md lacks the markers {readme_tables.BEGIN} and {readme_tables.END}")
    elif readme_tables.update_table(text, collection.role_options(role)) != text:
        complaints.append(f"{role.name}: README.md's table of variables is out of date; run `make docs-tables`")
    elif readme_tables.find_sections(text) != [readme_tables.HEADING] or not is_last(text):
        found = ", ".join(readme_tables.find_sections(text)) or "none"
        complaints.append(
            f"{role.name}: README.md must end with one section {readme_tables.HEADING}, which is the generated table; "
            f"sections that list variables: {found}"
        )
    return complaints


def is_last(text: str) -> bool:
    """Return whether the generated table is the last section of a README."""
    return f"{readme_tables.HEADING}\n\n{readme_tables.BEGIN}\n" in text and text.endswith(f"{readme_tables.END}\n")


def template_headers(role: Path) -> list[str]:
    """Complain about templates that do not say that Ansible manages the file; a shebang may stand above."""
    complaints = []
    for path in sorted(role.glob("templates/**/*.j2")):
        first = path.read_text().splitlines()[:2]
        if not path.name.endswith(COMMENTLESS) and not any("ansible_managed" in line for line in first):
            complaints.append(
                f"{role.name}: {path.relative_to(role)} does not begin with {{{{ ansible_managed | comment }}}}"
            )
    return complaints


def more_than_defaults(role: Path) -> list[str]:
    """Complain about files of the role that has defaults only, which would run in every play."""
    folders = sorted(path.name for path in role.iterdir() if path.name not in ("README.md", "defaults", "meta"))
    specs = ["meta/argument_specs.yml"] if (role / "meta/argument_specs.yml").exists() else []
    return [f"{role.name}: {name} does not belong to a role that has defaults only" for name in [*folders, *specs]]


def readme_length(role: Path) -> list[str]:
    """Complain about a README that is too long."""
    path = role / "README.md"
    written = len(readme_tables.remove_table(path.read_text()).splitlines()) if path.exists() else 0
    if written <= README_LIMIT:
        return []
    return [f"{role.name}: README.md has {written} lines beside its table, over {README_LIMIT}"]


def all_complaints(role: Path, root: Path) -> list[str]:
    """Run every check on one role."""
    if role.name == DEFAULTS_ONLY:
        return [complaint for check in (missing_files, more_than_defaults, readme_length) for complaint in check(role)]
    checks = (missing_files, specs_and_defaults, option_texts, lengths, readme, template_headers)
    return [complaint for check in checks for complaint in check(role)] + scenario(role, root)
