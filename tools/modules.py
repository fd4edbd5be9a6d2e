"""What every module and plugin of the collection must keep to, as functions that return complaints."""

from __future__ import annotations

from pathlib import Path

import yaml

# Kinds of plugin whose files are units of their own; module_utils are libraries and tested by their own names.
TESTED = ("modules", "action", "callback", "filter", "inventory", "lookup", "test")


def module_names(root: Path) -> set[str]:
    """Name the collection's modules."""
    return {path.stem for path in (root / "plugins/modules").glob("*.py") if path.stem != "__init__"}


def action_group(root: Path) -> list[str]:
    """Complain when the action group is not exactly the collection's modules."""
    group = set(yaml.safe_load((root / "meta/runtime.yml").read_text())["action_groups"]["platform"])
    names = module_names(root)
    complaints = [f"{name} is not in the action group of meta/runtime.yml" for name in sorted(names - group)]
    return complaints + [f"the action group names {name}, which is no module" for name in sorted(group - names)]


def unit_tests(root: Path) -> list[str]:
    """Complain about plugins without a unit test: tests/unit/plugins/<kind>/test_<name>.py."""
    complaints = []
    for kind in TESTED:
        for path in sorted((root / "plugins" / kind).glob("*.py")):
            wanted = root / "tests/unit/plugins" / kind / f"test_{path.stem}.py"
            if path.stem != "__init__" and not wanted.is_file():
                complaints.append(f"{path.relative_to(root)} has no {wanted.relative_to(root)}")
    return complaints
