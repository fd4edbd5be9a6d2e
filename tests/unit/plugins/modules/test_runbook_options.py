"""The module holds the documentation of the action plugin."""

from __future__ import annotations

from typing import Any

import yaml
from ansible_collections.vise.platform.plugins.action.runbook_options import ARGUMENT_SPEC
from ansible_collections.vise.platform.plugins.modules import runbook_options


def test_documented_options_are_those_of_the_action() -> None:
    options: dict[str, dict[str, Any]] = yaml.safe_load(runbook_options.DOCUMENTATION)["options"]
    specs = {name: {key: value for key, value in one.items() if key != "description"} for name, one in options.items()}
    assert specs == ARGUMENT_SPEC
