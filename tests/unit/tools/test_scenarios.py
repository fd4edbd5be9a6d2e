"""Lines of scenarios that cannot fail are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import scenarios


@pytest.mark.parametrize(
    ("line", "told"),
    [("! id bob", True), ("(! id bob)", False), ("! id bob || exit 1", False), ("grep -v '! x' file", False)],
)
def test_negation_that_fails_nothing_is_told(tmp_path: Path, line: str, told: bool) -> None:
    (tmp_path / "molecule/a").mkdir(parents=True)
    (tmp_path / "molecule/a/verify.yml").write_text(f"shell: |\n  set -e\n  {line}\n  true\n")
    found = scenarios.negations(tmp_path)
    assert bool(found) is told
    if told:
        assert found[0].startswith("molecule/a/verify.yml:3: ")
