"""Every role keeps to the house style; what is asked is in tools/roles.py and tools/templates.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import collection, roles, templates

ROLES = collection.role_directories(collection.ROOT)
each_role = pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)


@each_role
def test_role_keeps_to_the_house_style(role: Path) -> None:
    assert roles.all_complaints(role, collection.ROOT) == []


@each_role
def test_templates_of_the_role_render_in_every_case(role: Path) -> None:
    assert templates.find_problems(role, collection.ROOT) == []
