"""The manual names a scenario for each package that acts on hosts, and the scenario uses the package."""

from __future__ import annotations

import re

from tests.gates.test_layers import ALLOWED
from tools import tiers, touched
from tools.collection import ROOT

ROW = re.compile(r"^\| `(\w+)` \| (.+) \|$", re.MULTILINE)
# Noticed by end-to-end tests; they have no scenario of their own.
END_TO_END = {"cloudflare", "drill"}


def read_rows() -> dict[str, list[str]]:
    """Return the scenarios of each package."""
    text = (ROOT / "docs/testing.md").read_text()
    section = text.partition("## Which test notices a fault")[2].partition("\n## ")[0]
    return {package: re.findall(r"`(\w+)`", scenarios) for package, scenarios in ROW.findall(section)}


def test_each_package_that_acts_on_hosts_has_a_scenario() -> None:
    acting = {name for name, below in ALLOWED.items() if "host" in below} | {"host"}
    assert read_rows().keys() == acting - END_TO_END


def test_scenario_uses_the_package_whose_faults_it_notices() -> None:
    graph = touched.graph_of(ROOT)
    known = tiers.all_scenarios(ROOT)
    unused = []
    for package, scenarios in read_rows().items():
        folder = ROOT / "plugins/module_utils" / package
        files = [folder.with_suffix(".py"), *folder.rglob("*.py")]
        names = {str(path.relative_to(ROOT)) for path in files if path.name != "__init__.py"}
        for scenario in scenarios:
            assert scenario in known, scenario
            if not names & graph.closure([f"molecule/{scenario}"]):
                unused.append((package, scenario))
    assert unused == []
