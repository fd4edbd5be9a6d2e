"""Fixtures of several modules."""

from __future__ import annotations

import typing as t

import pytest

if t.TYPE_CHECKING:
    from tests.unit.plugins.mailcow import Mailcow


@pytest.fixture
def mailcow(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Mailcow:
    """Run mailcow modules against a scripted API."""
    # The collection can be imported only once tests/conftest.py has run.
    from tests.unit.plugins.mailcow import Mailcow

    return Mailcow(monkeypatch, capsys)
