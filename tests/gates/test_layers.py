"""The layers of the code that runs on hosts: what is below imports nothing from above."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.collection import ROOT

MODULE_UTILS = ROOT / "plugins/module_utils"
PACKAGE = "ansible_collections.vise.platform.plugins.module_utils"
# These import only themselves.
FLOOR = ("host", "model")


def imported_packages(path: Path) -> Iterator[str]:
    """Yield the packages of module_utils that a file imports."""
    parts = path.relative_to(MODULE_UTILS).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            module = (node.module or "").split(".") if node.module else []
            if node.level:
                names = [*parts[: len(parts) - node.level + 1], *module]
            elif (node.module or "").startswith(PACKAGE):
                names = module[len(PACKAGE.split(".")) :]
            else:
                continue
            yield from [names[0]] if names else [alias.name for alias in node.names]


@pytest.mark.parametrize("layer", FLOOR)
def test_floor_imports_nothing_from_above(layer: str) -> None:
    files = sorted((MODULE_UTILS / layer).rglob("*.py"))
    assert files
    found = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files
        for name in imported_packages(path)
        if name != layer
    }
    assert not found


def test_relative_and_absolute_imports_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "MODULE_UTILS", tmp_path)
    (tmp_path / "host").mkdir()
    path = tmp_path / "host/a.py"
    path.write_text(
        f"from . import b\nfrom .. import tls\nfrom ..tls import store\nfrom {PACKAGE}.dkim import x\nimport os\n"
    )
    assert list(imported_packages(path)) == ["host", "tls", "tls", "dkim"]
