"""The documentation of make_secrets describes the options of its action."""

from __future__ import annotations

import yaml
from ansible_collections.vise.platform.plugins.action.make_secrets import ARGUMENT_SPEC
from ansible_collections.vise.platform.plugins.modules import make_secrets


def test_options_are_those_of_the_action() -> None:
    documented = yaml.safe_load(make_secrets.DOCUMENTATION)["options"]
    assert {key: value["type"] for key, value in documented.items()} == {
        key: value["type"] for key, value in ARGUMENT_SPEC.items()
    }
    assert {key for key, value in documented.items() if value.get("required")} == {
        key for key, value in ARGUMENT_SPEC.items() if value.get("required")
    }
