"""The module holds the documentation of the action plugin."""

from __future__ import annotations

from typing import Any

import yaml
from ansible_collections.vise.platform.plugins.action.print_report import ARGUMENT_SPEC
from ansible_collections.vise.platform.plugins.modules import print_report


def test_documented_options_are_those_of_the_action() -> None:
    options: dict[str, dict[str, Any]] = yaml.safe_load(print_report.DOCUMENTATION)["options"]
    specs = {name: {key: value for key, value in one.items() if key != "description"} for name, one in options.items()}
    assert specs == ARGUMENT_SPEC
