"""Python is in files that ruff and mypy read, never in a template or among the files of a role."""

from __future__ import annotations

import re
import subprocess

from tools.collection import ROOT

PYTHON = re.compile(rb"\A#!.*\bpython")


def test_no_python_is_hidden_in_roles_scenarios_or_playbooks() -> None:
    argv = ["git", "ls-files", "roles", "molecule", "playbooks"]
    names = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    assert names
    hidden = [
        name
        for name in names
        if (name.startswith("roles/") and name.endswith(".py"))
        or (not name.endswith(".py") and (ROOT / name).is_file() and PYTHON.match((ROOT / name).read_bytes()))
    ]
    assert not hidden, "move them to plugins/module_utils; a component installs them by `programs`"
