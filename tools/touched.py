"""Select and run the tests that a change reaches: `make test-touched BASE=<rev>`.

Usage: python -m tools.touched BASE [--list]

What a scenario reaches is read from the code: the roles, modules, filters and playbooks that its files name, what these
name in turn, and what Python imports. A change to the sandbox or to the locked environment reaches everything.
"""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools import run_deep, run_scenarios, tiers
from tools.collection import ROOT

COLLECTION = "vise.platform"
PLUGINS = "ansible_collections.vise.platform.plugins"
# Kinds of plugin that YAML names as vise.platform.<name>.
PLUGIN_KINDS = ("modules", "action", "filter", "inventory", "lookup", "test", "callback")
NAMED = re.compile(r"\bvise\.platform\.(\w+)")
# They are part of every scenario, of every end-to-end test, or of both.
EVERYTHING = ("sandbox/", "requirements/", "scripts/", "ansible.cfg", ".config/molecule/")
EVERY_SCENARIO = ("molecule/conftest.py", "tests/machines.py", "tests/scenario.py", "tests/runs.py")
EVERY_E2E = ("tests/e2e/conftest.py", "tests/machines.py", "tests/runs.py", "group_vars/", "inventories/", "examples/")
# Nothing that runs reads them.
IGNORED = (".md",)
SITE = "playbooks/site.yml"
# Playbooks whose names are also words of other meaning in tests; a test of one names its path.
WORDS = {"check", "status"}


@dataclass(frozen=True)
class Selection:
    """The tests that a change reaches."""

    scenarios: tuple[str, ...] = ()
    e2e: tuple[str, ...] = ()
    deep: tuple[str, ...] = ()


class Graph:
    """The files of a checkout, and which of them each one uses."""

    def __init__(self, root: Path) -> None:
        """Read nothing yet."""
        self.root = root
        self.uses = functools.cache(self._uses)

    def closure(self, start: Iterable[str]) -> set[str]:
        """Return these files and all that they use, directly or not; a role counts as its folder, `roles/<role>`."""
        reached: set[str] = set()
        waiting = list(start)
        while waiting:
            path = waiting.pop()
            if path not in reached:
                reached.add(path)
                waiting += self.uses(path)
        return reached

    def _uses(self, path: str) -> frozenset[str]:
        full = self.root / path
        if full.is_dir():
            return frozenset(str(one.relative_to(self.root)) for one in full.rglob("*") if self._is_source(one))
        if not full.is_file():
            return frozenset()
        text = full.read_text(errors="ignore")
        found = {*self._playbooks(path, text)}
        # A library runs no plugin or playbook; it names some in messages.
        if not path.startswith("plugins/module_utils/"):
            found |= {*self._named(text)}
        if path.endswith(".py"):
            found |= {*self._imports(path, text)}
        return frozenset(found)

    def _is_source(self, path: Path) -> bool:
        return path.is_file() and "__pycache__" not in path.parts and not path.name.endswith(IGNORED)

    def _named(self, text: str) -> Iterator[str]:
        """Yield the roles, plugins and playbooks that a file names with the collection's name, and shipped packages."""
        for name in {*NAMED.findall(text)}:
            for kind in PLUGIN_KINDS:
                if (self.root / f"plugins/{kind}/{name}.py").is_file():
                    yield f"plugins/{kind}/{name}.py"
            if (self.root / "roles" / name).is_dir():
                yield f"roles/{name}"
            if (self.root / f"playbooks/{name}.yml").is_file():
                yield f"playbooks/{name}.yml"
        # A role ships a package of plugins/module_utils to its hosts as it is.
        for name in re.findall(r"plugins/module_utils/(\w+)", text):
            yield f"plugins/module_utils/{name}"
        # The option `programs` of a component names a module.
        for name in re.findall(r"\bmodule: ([a-z_]+(?:\.[a-z_]+)+)", text):
            yield f"plugins/module_utils/{name.replace('.', '/')}.py"

    def _playbooks(self, path: str, text: str) -> Iterator[str]:
        """Yield the playbooks and task files of playbooks/ that a file names by path."""
        for name in re.findall(r"playbooks/((?:tasks/|vars/)?\w+\.yml)", text):
            yield f"playbooks/{name}"
        stems = {one.stem for one in (self.root / "playbooks").glob("*.yml")}
        if path.startswith("playbooks/"):
            folder = Path(path).parent
            for name in re.findall(r"(?:import_playbook|import_tasks|include_tasks):\s*\"?([\w/.]+\.yml)", text):
                yield str(folder / name)
            for name in re.findall(r"vars_files:\s*\[([\w/.]+\.yml)\]", text):
                yield str(folder / name)
            # The stages of a drill
            for name in stems & {*re.findall(r"\bplaybook: (\w+)", text)}:
                yield f"playbooks/{name}.yml"
        if path.startswith(("tests/", "tools/", "molecule/")):
            for name in (stems - WORDS) & {*re.findall(r"[\"'](\w+)[\"']", text), *re.findall(r"/(\w+)\.yml", text)}:
                yield f"playbooks/{name}.yml"

    def _imports(self, path: str, text: str) -> Iterator[str]:
        """Yield the modules of this checkout that a Python file imports."""
        for node in ast.walk(ast.parse(text)):
            for name in imported(node, path):
                base = name.replace(".", "/")
                for one in (f"{base}.py", f"{base}/__init__.py"):
                    if (self.root / one).is_file():
                        yield one


@functools.cache
def graph_of(root: Path) -> Graph:
    """Return the graph of a checkout, whose files are read once."""
    return Graph(root)


def imported(node: ast.AST, path: str) -> list[str]:
    """Return the modules that an import may mean, by their dotted paths from the checkout's root."""
    if isinstance(node, ast.Import):
        modules = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        package = ".".join(Path(path).with_suffix("").parts[: -node.level]) if node.level else ""
        module = ".".join(part for part in (package, node.module) if part)
        modules = [module, *(f"{module}.{alias.name}" for alias in node.names)]
    else:
        return []
    return [name.replace(PLUGINS, "plugins", 1) for name in modules]


def touches(changes: Iterable[str], reached: set[str]) -> bool:
    """Return whether one of the changed files is reached, by itself or in a folder that is."""
    return any(change in reached for change in changes)


def select(changes: Sequence[str], root: Path) -> Selection:
    """Return the tests that changed files reach.

    Args:
        changes: paths below the checkout's root; they need not exist any more.
        root: the checkout.
    """
    changes = [change for change in changes if not change.endswith(IGNORED)]
    graph = graph_of(root)
    every = any(change.startswith(EVERYTHING) for change in changes)
    every_scenario = every or any(change in EVERY_SCENARIO for change in changes)
    every_e2e = every or any(change.startswith(EVERY_E2E) for change in changes)
    # No file names a removed one any more, but the folders that counted as a whole have lost it.
    removed = [change for change in changes if not (root / change).exists()]
    changes = [*changes, *(str(folder) for change in removed for folder in Path(change).parents)]
    reached = {
        name: every_scenario or touches(changes, graph.closure([f"molecule/{name}"]))
        for name in tiers.all_scenarios(root)
    }
    site = graph.closure([SITE])
    files = sorted(path.name for path in (root / "tests/e2e").glob("test_*.py"))
    platform = {
        name: every_e2e or touches(changes, graph.closure([f"tests/e2e/{name}"]) | (site if "phase" in name else set()))
        for name in files
    }
    campaigns = every_e2e or touches(changes, graph.closure(["tools/campaigns"]))
    shared = tiers.together(root)
    contract = [
        name
        for name in tiers.contract_scenarios(root)
        if reached[name] or any(reached[role] for role in shared.get(name, ()))
    ]
    deep = [
        name
        for name, target in tiers.deep_targets(root).items()
        if any(reached[one] for one in target.scenarios)
        or any(platform[one] for one in target.e2e)
        or (target.campaigns and campaigns)
    ]
    return Selection(tuple(contract), tuple(name for name in files if platform[name]), tuple(deep))


def changed_files(base: str, root: Path) -> list[str]:
    """Return the files that differ from a revision, those that git does not track yet included."""
    diff = ["git", "diff", "--name-only", "--no-renames", base]
    untracked = ["git", "ls-files", "--others", "--exclude-standard"]
    texts = [
        subprocess.run(argv, cwd=root, capture_output=True, text=True, check=True).stdout for argv in (diff, untracked)
    ]
    return sorted({line for text in texts for line in text.splitlines()})


def run(selection: Selection) -> int:
    """Run the selected tests, whatever fails."""
    results = []
    if selection.scenarios:
        results.append(run_scenarios.main([*selection.scenarios]))
    if selection.e2e:
        files = [f"tests/e2e/{name}" for name in selection.e2e]
        results.append(
            subprocess.run(["pytest", "--verbose", "-m", "not deep", *files], cwd=ROOT, check=False).returncode
        )
    if selection.deep:
        results.append(run_deep.main([*selection.deep]))
    return 1 if any(results) else 0


def main(arguments: Sequence[str]) -> int:
    """Select by the files that differ from a revision, and run unless only the list is wanted."""
    if not arguments or arguments[0].startswith("-"):
        print("Usage: make test-touched BASE=<rev>", file=sys.stderr)
        return 2
    selection = select(changed_files(arguments[0], ROOT), ROOT)
    print("scenarios:", " ".join(selection.scenarios) or "none")
    print("end to end:", " ".join(selection.e2e) or "none")
    print("deep targets:", " ".join(selection.deep) or "none", flush=True)
    return 0 if "--list" in arguments else run(selection)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
