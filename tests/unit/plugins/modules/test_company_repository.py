"""The documentation of company_repository describes the options of its action."""

from __future__ import annotations

import yaml
from ansible_collections.vise.platform.plugins.action.company_repository import ARGUMENT_SPEC
from ansible_collections.vise.platform.plugins.modules import company_repository


def test_options_are_those_of_the_action() -> None:
    documented = yaml.safe_load(company_repository.DOCUMENTATION)["options"]
    assert {key: value["type"] for key, value in documented.items()} == {
        key: value["type"] for key, value in ARGUMENT_SPEC.items()
    }
    assert {key for key, value in documented.items() if value.get("required")} == {
        key for key, value in ARGUMENT_SPEC.items() if value.get("required")
    }
