"""A fake certbot, and an empty store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .certbot import Server


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The fake certbot, with its directory."""
    # The collection can be imported only once tests/conftest.py has run.
    from ansible_collections.vise.platform.plugins.module_utils.tls import acme

    from .certbot import Server

    monkeypatch.setattr(acme, "LINEAGES", str(tmp_path / "letsencrypt"))
    monkeypatch.setattr(acme, "port_80_is_free", lambda: True)
    (tmp_path / "letsencrypt").mkdir()
    return Server(tmp_path / "letsencrypt")


@pytest.fixture
def root(tmp_path: Path) -> str:
    """The directory of the store."""
    return str(tmp_path / "tls")
