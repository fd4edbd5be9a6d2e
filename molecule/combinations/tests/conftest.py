"""The roles' filters and the component action are plugins of the collection, which Ansible imports."""

from __future__ import annotations

from tests.conftest import pytest_configure

pytest_configure()
