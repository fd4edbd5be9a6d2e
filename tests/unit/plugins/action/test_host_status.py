"""The components of a host follow from its groups and from the sites."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.play_context import PlayContext
from ansible.playbook.task import Task
from ansible.template import Templar, trust_as_template
from ansible_collections.vise.platform.plugins.action.host_status import ActionModule

VARIABLES: dict[str, Any] = {
    "inventory_hostname": "a",
    "groups": {"all": ["a"], "edge": ["a"], "docs": ["a"], "cache": ["a"]},
    "hostvars": {"a": {}},
    "sites": {"docs": {"group": "docs", "domain": "docs.test"}},
}


def run(variables: dict[str, Any], **arguments: Any) -> dict[str, Any]:
    """Return the arguments that the module gets on the host."""
    loader = DataLoader()
    task = Task.load({"name": "Read", "vise.platform.host_status": {}})
    task.args = arguments
    connection = SimpleNamespace(transport="local", _shell=SimpleNamespace(tmpdir=None))
    action = ActionModule(task, connection, PlayContext(), loader, Templar(loader, variables), None)
    action._execute_module = lambda _name, given, **_options: given
    result: dict[str, Any] = action.run(task_vars=variables)
    return result


def test_components_follow_from_groups_and_sites() -> None:
    assert run(VARIABLES)["components"] == ["admin_users", "ssh", "nginx", "certificates", "redis"]


@pytest.mark.parametrize(
    ("repositories", "expected"),
    [([], False), ([{"name": "a"}], True), (trust_as_template("{{ vault_missing }}"), True)],
)
def test_backups_of_databases_are_expected_only_with_a_repository(repositories: Any, expected: bool) -> None:
    variables = VARIABLES | {"groups": {"all": ["a"], "database": ["a"]}, "backup_repositories": repositories}
    assert ("pgbackrest" in run(variables)["components"]) == expected


@pytest.mark.parametrize(
    "change", [{"sites": trust_as_template("{{ missing }}")}, {"sites": {"docs": {}}}, {"sites": "text"}]
)
def test_faulty_description_does_not_prevent_the_status(change: dict[str, Any]) -> None:
    assert "components" in run(VARIABLES | change)


def test_options_of_the_task_are_kept() -> None:
    assert run(VARIABLES, proof_days=3, components=["x"]) == {"components": ["x"], "proof_days": 3}
