"""What the tests of every scenario use: the host, the outside, and the role under test.

The tests of a role are in molecule/<role>/tests. They also run where several roles share a host (molecule/baseline);
a role's variables come from its own folder in both cases.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from testinfra.host import Host

from tests import machines, scenario


@pytest.fixture(scope="session")
def host() -> Host:
    """The scenario's first host, by SSH as root."""
    return machines.by_ssh(scenario.ADDRESS)


@pytest.fixture(scope="session")
def second() -> Host:
    """The scenario's second host, by SSH as root."""
    return machines.by_ssh(scenario.SECOND_ADDRESS)


@pytest.fixture(scope="session")
def world() -> Host:
    """The outside: another host of the network, which knows the platform by its addresses only."""
    return machines.by_docker(machines.WORLD)


@pytest.fixture(scope="module")
def role(request: pytest.FixtureRequest) -> scenario.Role:
    """The role whose tests these are."""
    folder = request.path.resolve().parents[1]
    scratch = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])
    return scenario.Role(folder.name, folder, scratch, Path(os.environ["MOLECULE_INVENTORY_FILE"]))
