"""Write what the platform does today into README.md and the start page of the manual, from docs/capabilities.yml.

Usage: python -m tools.capabilities
"""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tools import blocks

SOURCE = "docs/capabilities.yml"


@dataclass(frozen=True)
class Capability:
    """One thing that the platform does, with the code that provides it and the tests that prove it."""

    title: str
    sentence: str
    page: str
    tests: list[str]
    roles: list[str] = field(default_factory=list)
    playbooks: list[str] = field(default_factory=list)
    plugins: list[str] = field(default_factory=list)

    def providers(self) -> list[str]:
        """Return the files that provide the capability."""
        return [
            *(f"roles/{name}/tasks/main.yml" for name in self.roles),
            *(f"playbooks/{name}.yml" for name in self.playbooks),
            *(f"plugins/modules/{name}.py" for name in self.plugins),
        ]

    def proofs(self) -> list[str]:
        """Return the files that prove the capability."""
        return [f"{test}/molecule.yml" if test.startswith("molecule/") else test for test in self.tests]


def load(root: Path) -> tuple[list[Capability], str]:
    """Read the capabilities and the sentence about what is planned."""
    source = yaml.safe_load((root / SOURCE).read_text(encoding="utf-8"))
    return [Capability(**entry) for entry in source["capabilities"]], source["planned"]


def problems(capabilities: list[Capability], root: Path) -> list[str]:
    """List capabilities that nothing provides or proves, and files that do not exist."""
    found = []
    for capability in capabilities:
        pages = [f"docs{capability.page}.md"]
        for kind, files in {"provider": capability.providers(), "test": capability.proofs(), "page": pages}.items():
            found += [f"{capability.title}: no {kind} is named"] * (not files)
            found += [
                f"{capability.title}: {kind} {file} does not exist" for file in files if not (root / file).is_file()
            ]
    return found


def unlisted_roles(capabilities: list[Capability], names: list[str]) -> list[str]:
    """List the roles that no capability names."""
    return sorted(set(names) - {name for capability in capabilities for name in capability.roles})


def readme_block(capabilities: list[Capability], planned: str) -> str:
    """Return the list for README.md."""
    items = [f"- **{capability.title}.** {capability.sentence}" for capability in capabilities]
    lines = [textwrap.fill(item, 120, subsequent_indent="  ", break_on_hyphens=False) for item in items]
    return "\n".join(["", *lines, "", planned, "", ""])


def features_block(capabilities: list[Capability]) -> str:
    """Return the features of the start page as YAML; VitePress shows each as a card with a link."""
    return "features:\n" + "".join(
        f"  - title: {json.dumps(capability.title)}\n"
        f"    details: {json.dumps(capability.sentence)}\n"
        f"    link: {capability.page}\n"
        for capability in capabilities
    )


def documents(root: Path) -> dict[Path, str]:
    """Return path and wanted text of each document that states the capabilities."""
    capabilities, planned = load(root)
    readme, index = root / "README.md", root / "docs" / "index.md"
    start = blocks.replace_block(index.read_text(encoding="utf-8"), "capabilities", features_block(capabilities))
    return {
        readme: blocks.replace_block(
            readme.read_text(encoding="utf-8"), "capabilities", readme_block(capabilities, planned)
        ),
        index: blocks.replace_block(start, "planned", f"\n{planned}\n\n"),
    }


def update(documents_of: Callable[[Path], dict[Path, str]], root: Path) -> None:
    """Write the documents that are out of date."""
    for path, text in documents_of(root).items():
        if path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"{path.relative_to(root)}: updated")


def main() -> int:
    """Update all documents, or report what is wrong with the source."""
    root = Path(__file__).resolve().parents[1]
    wrong = problems(load(root)[0], root)
    if wrong:
        print("\n".join(wrong), file=sys.stderr)
        return 1
    update(documents, root)
    return 0


if __name__ == "__main__":
    sys.exit(main())
