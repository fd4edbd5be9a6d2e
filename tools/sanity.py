"""Run ansible-test sanity on the files that the collection ships.

ansible-test needs a directory ansible_collections/<namespace>/<name> that git tracks, so the built artifact is unpacked
into one. Files outside the artifact (tests, tools, sandbox) are checked by ruff and mypy. Exceptions are listed in
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

# Unless its cache has pip's bootstrap script, ansible-test downloads it from its own site. This replacement uses the
# pip that is part of Python, so that only the package index is needed.
BOOTSTRAP = """\
import ensurepip, subprocess, sys
ensurepip.bootstrap()
wanted = [word for word in sys.argv[1:] if word not in ("--no-setuptools", "--no-wheel")]
sys.exit(subprocess.call([sys.executable, "-m", "pip", "install", "--quiet", *wanted]))
"""


def place_pip_bootstrap(python: str, cache: Path) -> Path:
    """Write the bootstrap script to ansible-test's cache, so that it does not download one."""
    pip = get_venv_packages(SimpleNamespace(version=python))["pip"]
    path = cache / f"get_pip_{pip.replace('.', '_')}.py"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(BOOTSTRAP)
    return path


def export(into: Path) -> None:
    """Unpack the files that the collection ships into a git work tree."""
    if into.exists():
        shutil.rmtree(into)
    collection.unpack(collection.build(CACHE), into)
    shutil.copytree(collection.ROOT / "tests/sanity", into / "tests/sanity")
    # ansible-test looks for a list named after the version of ansible-core; ours is the same for each version.
    [exceptions] = (into / "tests/sanity").glob("ignore-*.txt")
    exceptions.rename(exceptions.with_name(f"ignore-{'.'.join(release.__version__.split('.')[:2])}.txt"))
    subprocess.run(["git", "init", "--quiet"], cwd=into, check=True)
    subprocess.run(["git", "add", "--all"], cwd=into, check=True)


def main(arguments: list[str]) -> int:
    """Export the files and run the tests; arguments (test names, paths) are passed to ansible-test."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    tree = CACHE / "ansible_collections/vise/platform"
    export(tree)
    place_pip_bootstrap(python, Path("~/.ansible/test/cache").expanduser())
    command = ["ansible-test", "sanity", "--python", python, "--color", "no", *arguments]
    print("+", *command, flush=True)
    return subprocess.run(command, cwd=tree, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
