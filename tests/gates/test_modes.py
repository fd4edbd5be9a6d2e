"""Code that ships creates files and directories whose permissions do not depend on the umask of the caller."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tools.collection import ROOT

PLUGINS = ROOT / "plugins"
# The umask removes nothing from these.
PRIVATE = {0o600, 0o700}
WRITERS = ("w", "a", "x")
# Files that write without host/files.py, and why their permissions are right.
EXCEPTIONS = {
    "module_utils/host/files.py": "sets all permissions itself",
    "module_utils/releases.py": "sets the permissions of the whole release afterwards",
    "module_utils/component/packages.py": "opens the lock of dpkg, which exists",
}


def numbers(call: ast.Call) -> set[object]:
    """Return the constants among the arguments of a call."""
    values = [*call.args, *(keyword.value for keyword in call.keywords)]
    return {value.value for value in values if isinstance(value, ast.Constant)}


def is_dependent(call: ast.Call) -> bool:
    """Return whether a call creates something with permissions that the umask changes."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name in ("mkdir", "makedirs"):
        return not PRIVATE & numbers(call)
    if name in ("write_text", "write_bytes", "touch"):
        return True
    if name == "open" and isinstance(call.func, ast.Name) and not isinstance(call.args[0], ast.Call):
        return any(
            str(value).startswith(WRITERS) for value in numbers(call) if isinstance(value, str) and len(value) < 4
        )
    if name != "open" or isinstance(call.func, ast.Name):
        return False
    creates = any(isinstance(node, ast.Attribute) and node.attr == "O_CREAT" for node in ast.walk(call))
    return creates and not PRIVATE & numbers(call)


def calls(path: Path) -> Iterator[ast.Call]:
    """Yield the calls in a file."""
    yield from (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))


def test_permissions_are_set_whatever_the_umask_is() -> None:
    found = [
        f"{path.relative_to(PLUGINS)}:{call.lineno}"
        for path in sorted(PLUGINS.rglob("*.py"))
        if str(path.relative_to(PLUGINS)) not in EXCEPTIONS
        for call in calls(path)
        if is_dependent(call)
    ]
    assert not found, "use host/files.py (replace_file, make_directories), or a mode that only its owner can read"
