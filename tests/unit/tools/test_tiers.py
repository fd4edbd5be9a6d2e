"""Every scenario and every deep test belongs to a tier."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tools import tiers
from tools.collection import ROOT

TIERS = {
    "together": {"both": ["a", "b"]},
    "deep": {"c-faults": {"scenarios": ["c"]}, "platform": {"e2e": ["test_x.py"]}},
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Scenarios a and b, which share a host in `both`; c with a contract and faults; d with hosts only."""
    write(tmp_path, "molecule/tiers.yml", yaml.safe_dump(TIERS))
    write(tmp_path, "molecule/both/molecule.yml", "[../a/tests/test_a.py, ../b/tests/test_b.py]")
    write(tmp_path, "molecule/d/molecule.yml", "")
    for name in ("a", "b", "both", "c"):
        write(tmp_path, f"molecule/{name}/converge.yml", "")
    for name in ("a", "b"):
        write(tmp_path, f"molecule/{name}/tests/test_{name}.py", "def test(): ...")
    write(tmp_path, "molecule/c/verify.yml", "")
    write(tmp_path, "molecule/c/faults.yml", "")
    write(tmp_path, "tests/e2e/test_x.py", tiers.MARK)
    return tmp_path


def write(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


def test_contract_has_each_role_once(checkout: Path) -> None:
    assert tiers.contract_scenarios(checkout) == ["both", "c"]


def test_complete_checkout_has_no_complaint(checkout: Path) -> None:
    assert tiers.complaints(checkout) == []


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("molecule/a/tests/test_a.py", tiers.MARK, "a has fault tests"),
        ("tests/e2e/test_y.py", tiers.MARK, "test_y.py has deep tests"),
        ("tests/e2e/test_x.py", "", "names test_x.py, which has no deep tests"),
        ("molecule/e/converge.yml", "", "molecule/e has neither tests"),
        ("molecule/both/molecule.yml", "[../a/tests/test_a.py]", "does not run the tests of b"),
    ],
)
def test_test_that_no_tier_runs_is_reported(checkout: Path, name: str, text: str, complaint: str) -> None:
    write(checkout, name, text)
    assert any(complaint in one for one in tiers.complaints(checkout))


def test_entry_without_fault_tests_is_reported(checkout: Path) -> None:
    (checkout / "molecule/c/faults.yml").unlink()
    assert any("names c, which has no fault tests" in one for one in tiers.complaints(checkout))


def test_workflow_runs_every_deep_target_nightly() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/nightly.yml").read_text())
    [job] = workflow["jobs"].values()
    assert job["strategy"]["matrix"]["target"] == list(tiers.deep_targets(ROOT))
