"""The trees on which each test of the contract runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.contract import trees


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> trees.Tree:
    """Return the repository of the stand-in."""
    return trees.build_stand_in(tmp_path_factory.mktemp("stand-in"))


@pytest.fixture(params=trees.given())
def tree(request: pytest.FixtureRequest, stand_in: trees.Tree) -> trees.Tree:
    """Return a tree: the stand-in, and the real repository where its checkout is given."""
    if request.param == "stand-in":
        return stand_in
    return trees.Tree("real", Path(os.environ[trees.CHECKOUT]))
