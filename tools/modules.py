"""Rules for all modules and plugins of the collection, as functions that return complaints."""

from __future__ import annotations

import ast
from pathlib import Path

import yaml

NAMESPACE = "vise.platform"
# This fragment describes modules of all services.
ATTRIBUTES = "attributes"
# Kinds of plugin whose files are units of their own; module_utils are libraries and tested by their own names.
TESTED = ("modules", "action", "callback", "filter", "inventory", "lookup", "test")


def service_modules(root: Path) -> dict[str, set[str]]:
    """Return the modules that share a service's credentials, by the documentation fragment that describes these."""
    services: dict[str, set[str]] = {}
    for path in (root / "plugins/modules").glob("*.py"):
        for fragment in documentation_fragments(path):
            if not fragment.startswith(ATTRIBUTES):
                services.setdefault(fragment, set()).add(path.stem)
    return services


def documentation_fragments(path: Path) -> list[str]:
    """Return the names of the collection's documentation fragments that a module uses."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "DOCUMENTATION":
            fragments = yaml.safe_load(ast.literal_eval(node.value)).get("extends_documentation_fragment", [])
            names = [fragments] if isinstance(fragments, str) else fragments
            return [name.removeprefix(f"{NAMESPACE}.") for name in names if name.startswith(f"{NAMESPACE}.")]
    return []


def action_groups(root: Path) -> list[str]:
    """Complain when the action groups are not exactly the services and their modules, or no playbook uses a group."""
    groups = yaml.safe_load((root / "meta/runtime.yml").read_text())["action_groups"]
    services = service_modules(root)
    playbooks = [path.read_text() for path in sorted((root / "playbooks").rglob("*.yml"))]
    complaints = []
    for service in sorted(groups.keys() | services.keys()):
        members, modules = set(groups.get(service, [])), services.get(service, set())
        complaints += [
            f"{name} is missing in the action group {service} of meta/runtime.yml" for name in sorted(modules - members)
        ]
        complaints += [
            f"the action group {service} names {name}, which does not have its credentials"
            for name in sorted(members - modules)
        ]
        if not any(f"group/{NAMESPACE}.{service}:" in text for text in playbooks):
            complaints.append(f"no playbook uses group/{NAMESPACE}.{service} in module_defaults")
    return complaints


def unit_tests(root: Path) -> list[str]:
    """Complain about plugins without a unit test: tests/unit/plugins/<kind>/test_<name>.py."""
    complaints = []
    for kind in TESTED:
        for path in sorted((root / "plugins" / kind).glob("*.py")):
            wanted = root / "tests/unit/plugins" / kind / f"test_{path.stem}.py"
            if path.stem != "__init__" and not wanted.is_file():
                complaints.append(f"{path.relative_to(root)} has no {wanted.relative_to(root)}")
    return complaints
