"""The layers of plugins/module_utils: a package imports only packages below it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.collection import ROOT

MODULE_UTILS = ROOT / "plugins/module_utils"
PACKAGE = "ansible_collections.vise.platform.plugins.module_utils"
# What each package may import besides itself; CONTRIBUTING.md shows the layers. A new line is a decision.
HOST = {"host"}
ALLOWED: dict[str, set[str]] = {
    "host": set(),
    "model": set(),
    "description": {"model"},
    "accounts": HOST,
    "base": {"host", "model"},
    "cloudflare": {"host", "model"},
    "component": HOST,
    "dkim": HOST,
    "docker": HOST,
    "drill": HOST,
    "firewall": HOST,
    "mail_probe": HOST,
    "mailcow": HOST,
    "mailcow_host": HOST,
    "nginx": HOST,
    "pgbouncer": {"host", "postgresql"},
    "object_storage": HOST,
    "package_updates": {"base", "component", "host"},
    "platform_check": {"host_status"},
    "postgresql": {"host", "model"},
    "redis": HOST,
    "releases": HOST,
    "restic": HOST,
    "ssh": HOST,
    "tls": HOST,
    "pgbackrest": {"host", "postgresql"},
    "restore_proof": {"host", "postgresql", "redis", "restic"},
    "host_status": {"base", "component", "host", "pgbackrest", "postgresql", "restic"},
    "company_repository": {"description", "model"},
    "login_checks": {"description"},
    "role_options": {"description", "model"},
    "inventory_checks": {"description", "model"},
    "preflight_checks": {"description", "model", "role_options"},
    "secret_values": {"description", "tls"},
}


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


def package_of(path: Path) -> str:
    """Return the package of module_utils that a file belongs to, or the module itself."""
    return path.relative_to(MODULE_UTILS).parts[0].removesuffix(".py")


def test_packages_import_only_what_is_below_them() -> None:
    files = sorted(MODULE_UTILS.rglob("*.py"))
    assert {package_of(path) for path in files} == set(ALLOWED)
    found = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files
        for name in imported_packages(path)
        if name not in ALLOWED[package_of(path)] | {package_of(path)}
    }
    assert not found


def test_table_has_no_circle() -> None:
    below: set[str] = set()
    while layer := {name for name, allowed in ALLOWED.items() if name not in below and allowed <= below}:
        below |= layer
    assert below == set(ALLOWED)


def drawn_imports(text: str) -> dict[str, set[str]]:
    """Return what each package imports in the flowchart of a page."""
    drawn: dict[str, set[str]] = {}
    for line in text.partition("flowchart TD\n")[2].partition("```")[0].splitlines():
        above, _arrow, below = (part.split("&") for part in line.partition("-->"))
        for name in above:
            drawn.setdefault(name.strip(), set()).update(one.strip() for one in below if one.strip())
        for name in below:
            drawn.setdefault(name.strip(), set())
    return {name: below for name, below in drawn.items() if name}


def test_picture_shows_the_allowed_imports() -> None:
    assert drawn_imports((ROOT / "CONTRIBUTING.md").read_text()) == ALLOWED


def test_relative_and_absolute_imports_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "MODULE_UTILS", tmp_path)
    (tmp_path / "host").mkdir()
    path = tmp_path / "host/a.py"
    path.write_text(
        f"from . import b\nfrom .. import tls\nfrom ..tls import store\nfrom {PACKAGE}.dkim import x\nimport os\n"
    )
    assert list(imported_packages(path)) == ["host", "tls", "tls", "dkim"]
