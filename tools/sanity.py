"""Run ansible-test sanity on what the collection ships.

ansible-test insists on a tree ansible_collections/<namespace>/<name> that git tracks, so the built artifact is
unpacked into one. What it leaves out (tests, tools, sandbox) is checked by ruff and mypy instead. Exceptions are in
tests/sanity, each with its reason.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

from ansible import release
from ansible_test._internal.python_requirements import get_venv_packages

from tools import collection

CACHE = collection.ROOT / ".cache/sanity"

# ansible-test downloads pip's bootstrap script from a site of its own unless it lies in its cache; this one does
# the same with the pip that Python carries, so that only the package index is needed.
BOOTSTRAP = """\
import ensurepip, subprocess, sys
ensurepip.bootstrap()
wanted = [word for word in sys.argv[1:] if word not in ("--no-setuptools", "--no-wheel")]
sys.exit(subprocess.call([sys.executable, "-m", "pip", "install", "--quiet", *wanted]))
"""


def place_pip_bootstrap(python: str, cache: Path) -> Path:
    """Put the bootstrap script where ansible-test looks before it downloads one."""
    pip = get_venv_packages(SimpleNamespace(version=python))["pip"]
    path = cache / f"get_pip_{pip.replace('.', '_')}.py"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(BOOTSTRAP)
    return path


def export(into: Path) -> None:
    """Lay out what the collection ships as a git work tree."""
    if into.exists():
        shutil.rmtree(into)
    collection.unpack(collection.build(CACHE), into)
    shutil.copytree(collection.ROOT / "tests/sanity", into / "tests/sanity")
    # The exceptions are the same for each ansible-core, which looks for a list of its own.
    [exceptions] = (into / "tests/sanity").glob("ignore-*.txt")
    exceptions.rename(exceptions.with_name(f"ignore-{'.'.join(release.__version__.split('.')[:2])}.txt"))
    subprocess.run(["git", "init", "--quiet"], cwd=into, check=True)
    subprocess.run(["git", "add", "--all"], cwd=into, check=True)


def main(arguments: list[str]) -> int:
    """Export and check; further arguments (a test's name, a path) go to ansible-test."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    tree = CACHE / "ansible_collections/vise/platform"
    export(tree)
    place_pip_bootstrap(python, Path("~/.ansible/test/cache").expanduser())
    command = ["ansible-test", "sanity", "--python", python, "--color", "no", *arguments]
    print("+", *command, flush=True)
    return subprocess.run(command, cwd=tree, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
