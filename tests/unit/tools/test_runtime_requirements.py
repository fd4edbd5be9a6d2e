"""The Python packages of a company are those of the lock file, with all that they need and nothing else."""

from __future__ import annotations

import itertools
import re

from tools import runtime_requirements

LOCK = """\
a==1.0 ; python_full_version < '3.12' \\
    --hash=sha256:01 \\
    --hash=sha256:02
    # via
    #   -r requirements/controller.in
    #   linter
a==2.0 ; python_full_version >= '3.12' \\
    --hash=sha256:03
    # via linter
b==1.0 \\
    --hash=sha256:04
    # via a
c==1.0 \\
    --hash=sha256:05
    # via
    #   b
    #   linter
linter==1.0 \\
    --hash=sha256:06
    # via -r requirements/controller.in
d==1.0 \\
    --hash=sha256:07
    # via linter
"""


def test_template_is_that_of_the_lock_file() -> None:
    text = runtime_requirements.TEMPLATE.read_text()
    expected = runtime_requirements.build(runtime_requirements.LOCK.read_text())
    assert text == expected, "run `python -m tools.runtime_requirements`"


def test_packages_come_with_what_they_need() -> None:
    chosen = runtime_requirements.select(runtime_requirements.read_entries(LOCK), {"a"})
    assert [entry.split()[0] for entry in chosen] == ["a==1.0", "a==2.0", "b==1.0", "c==1.0"]


def test_each_package_has_one_version_and_hashes() -> None:
    lines = runtime_requirements.build(runtime_requirements.LOCK.read_text()).splitlines()
    packages = [line for line in lines if not line.startswith(("#", " "))]
    assert [line for line in packages if not re.match(r"[a-z0-9-]+==[0-9][^ ]* (?:; .* )?\\$", line)] == []
    assert set(runtime_requirements.PACKAGES) <= {line.partition("==")[0] for line in packages}
    after = [following for line, following in itertools.pairwise(lines) if line.endswith("\\")]
    assert all(line.startswith("    --hash=sha256:") for line in after)
