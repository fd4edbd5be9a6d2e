"""The tiers of tests, from molecule/tiers.yml: the contract (`make test`) and long faults (`make test-deep`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

FILE = "molecule/tiers.yml"
MARK = "pytest.mark.deep"


@dataclass(frozen=True)
class Target:
    """A target of `make test-deep`."""

    name: str
    scenarios: tuple[str, ...] = ()
    e2e: tuple[str, ...] = ()
    campaigns: tuple[str, ...] = ()


def load(root: Path) -> dict[str, Any]:
    """Return the content of molecule/tiers.yml."""
    content: dict[str, Any] = yaml.safe_load((root / FILE).read_text())
    return content


def deep_targets(root: Path) -> dict[str, Target]:
    """Return the targets of `make test-deep`, by name."""
    lists = {name: {kind: tuple(one) for kind, one in entry.items()} for name, entry in load(root)["deep"].items()}
    return {name: Target(name, **entry) for name, entry in lists.items()}


def together(root: Path) -> dict[str, list[str]]:
    """Return the scenarios in which several roles share a host, with the roles whose own scenarios they replace."""
    content: dict[str, list[str]] = load(root)["together"]
    return content


def all_scenarios(root: Path) -> list[str]:
    """List the scenarios of a checkout; one that converges nothing only defines hosts."""
    return sorted(path.parent.name for path in root.glob("molecule/*/converge.yml"))


def has_contract(root: Path, scenario: str) -> bool:
    """Return whether a scenario verifies something in `make test`."""
    folder = root / "molecule" / scenario
    return (folder / "verify.yml").exists() or (folder / "tests").is_dir() or scenario in together(root)


def has_faults(root: Path, scenario: str) -> bool:
    """Return whether a scenario has tests for `make test-deep`."""
    folder = root / "molecule" / scenario
    marked = any(MARK in path.read_text() for path in folder.glob("tests/test_*.py"))
    return marked or (folder / "faults.yml").exists()


def contract_scenarios(root: Path) -> list[str]:
    """List the scenarios that `make test` runs."""
    shared = {role for roles in together(root).values() for role in roles}
    return [name for name in all_scenarios(root) if name not in shared and has_contract(root, name)]


def complaints(root: Path) -> list[str]:
    """Complain about tests that no tier runs, and about entries of molecule/tiers.yml without tests."""
    targets = deep_targets(root).values()
    named = [name for target in targets for name in target.scenarios]
    faulty = {name for name in all_scenarios(root) if has_faults(root, name)}
    marked = {path.name for path in (root / "tests/e2e").glob("test_*.py") if MARK in path.read_text()}
    files = [name for target in targets for name in target.e2e]
    found = [f"{name} has fault tests, and no target in {FILE} runs them" for name in sorted(faulty - {*named})]
    found += [f"{FILE} names {name}, which has no fault tests" for name in sorted({*named} - faulty)]
    found += [
        f"tests/e2e/{name} has deep tests, and no target in {FILE} runs them" for name in sorted(marked - {*files})
    ]
    found += [f"{FILE} names {name}, which has no deep tests" for name in sorted({*files} - marked)]
    tests = {name: (root / "molecule" / name) for name in all_scenarios(root)}
    found += [
        f"molecule/{name} has neither tests nor a playbook that verifies"
        for name, folder in tests.items()
        if not has_contract(root, name) and not has_faults(root, name)
    ]
    for name, roles in together(root).items():
        text = (root / "molecule" / name / "molecule.yml").read_text()
        found += [
            f"molecule/{name} does not run the tests of {role}" for role in roles if f"/{role}/tests/" not in text
        ]
    return found
