"""The documentation of internal_authority describes the options of its action."""

from __future__ import annotations

import yaml
from ansible_collections.vise.platform.plugins.action.internal_authority import ARGUMENT_SPEC
from ansible_collections.vise.platform.plugins.modules import internal_authority


def test_options_are_those_of_the_action() -> None:
    documented = yaml.safe_load(internal_authority.DOCUMENTATION)["options"]
    keys = ("type", "choices", "required")
    assert {name: {key: option[key] for key in keys if key in option} for name, option in documented.items()} == {
        name: {key: option[key] for key in keys if key in option} for name, option in ARGUMENT_SPEC.items()
    }
