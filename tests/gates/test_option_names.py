"""Every name that a variable of a role contains has a kind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml
from ansible_collections.vise.platform.plugins.module_utils.model import names

from tools import collection


def list_options() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each variable of a role with its specification."""
    for role in collection.role_directories(collection.ROOT):
        path = role / "meta/argument_specs.yml"
        if path.exists():
            yield from yaml.safe_load(path.read_text())["argument_specs"]["main"].get("options", {}).items()


OPTIONS = dict(list_options())


def test_every_list_of_named_entries_has_a_kind() -> None:
    named = {name for name, option in OPTIONS.items() if "name" in option.get("options", {})}
    assert named - set(names.OPTIONS) == set()


def test_kinds_are_those_of_options_that_roles_have() -> None:
    for name, option in names.OPTIONS.items():
        parts = OPTIONS[name].get("options") or {}
        if not isinstance(option, str) and parts:
            assert set(option) <= set(parts), name
