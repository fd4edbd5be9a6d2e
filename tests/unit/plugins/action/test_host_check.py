"""What a host needs outside of it follows from its groups; a fault of the description hides nothing."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.play_context import PlayContext
from ansible.playbook.task import Task
from ansible.template import Templar, trust_as_template
from ansible_collections.vise.platform.plugins.action import host_check
from ansible_collections.vise.platform.plugins.action.host_check import ActionModule

REPOSITORY = {
    "name": "first",
    "endpoint": "s3.test",
    "region": "r",
    "bucket": "b",
    "path": "/p",
    "full": {"key": "f", "secret": "fs"},
    "append": {"key": "a", "secret": "as"},
}
VARIABLES: dict[str, Any] = {
    "inventory_hostname": "a",
    "groups": {"all": ["a", "b"], "edge": ["a"], "docs": ["a"], "mail": ["a"], "database": ["b"]},
    "hostvars": {"a": {}, "b": {}},
    "sites": {"docs": {"group": "docs", "domain": "docs.test"}},
    "backup_sets": [{"name": "mail", "group": "mail", "paths": ["/x"]}],
    "backup_repositories": [REPOSITORY],
    "backup_pruner": "b",
}


def run(change: dict[str, Any], **result: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arguments that the module gets, and the result of the action."""
    variables = VARIABLES | change
    loader = DataLoader()
    task = Task.load({"name": "Check", "vise.platform.host_check": {}})
    task.args = {"mail_servers": ["mx.test"]}
    connection = SimpleNamespace(transport="local", _shell=SimpleNamespace(tmpdir=None))
    action = ActionModule(task, connection, PlayContext(), loader, Templar(loader, variables), None)
    given: dict[str, Any] = {}

    def execute(_name: str, arguments: dict[str, Any], **_options: Any) -> dict[str, Any]:
        given.update(arguments)
        return {"checks": [], "time": time.time(), **result}

    action._execute_module = execute
    return given, action.run(task_vars=variables)


def test_mail_host_checks_port_25_certificates_and_its_own_credential() -> None:
    given, _result = run({})
    assert given["mail_servers"] == ["mx.test"]
    assert given["acme_directory"] == "https://acme-v02.api.letsencrypt.org/directory"
    assert [(one["name"], one["path"], one["key"]) for one in given["repositories"]] == [
        ("repository first, credential append", "/p/files/a", "a")
    ]


def test_database_host_checks_the_credential_that_may_delete() -> None:
    given, _result = run({"inventory_hostname": "b"})
    assert "mail_servers" not in given
    assert given["acme_directory"] == ""
    assert [(one["path"], one["key"]) for one in given["repositories"]] == [("/p/database", "f")]


@pytest.mark.parametrize(
    "change",
    [
        {"backups_enabled": False},
        {"backup_repositories": []},
        {"backup_repositories": [REPOSITORY | {"append": {}}]},
        {"backup_sets": []},
    ],
)
def test_host_without_backups_checks_no_storage(change: dict[str, Any]) -> None:
    assert run(change)[0]["repositories"] == []


def test_variable_without_a_value_is_not_checkable_and_hides_no_other() -> None:
    given, result = run({"backup_repositories": trust_as_template("{{ vault_missing }}")})
    assert given["acme_directory"]
    (unknown,) = [one for one in result["checks"] if one["state"] == "unknown"]
    assert "backup_repositories cannot be evaluated: 'vault_missing' is undefined" in unknown["text"]


@pytest.mark.parametrize("sites", [{"docs": {"group": "docs"}}, {"docs": "text"}, [1]])
def test_faulty_sites_do_not_end_the_check(sites: Any) -> None:
    assert run({"sites": sites})[0]["acme_directory"] in ("", "https://acme-v02.api.letsencrypt.org/directory")


@pytest.mark.parametrize(
    ("found", "state"), [(100.0, "ok"), (101.5, "ok"), (95.0, "ok"), (60.0, "problem"), (200.0, "problem")]
)
def test_clock_may_differ_by_some_seconds(found: float, state: str) -> None:
    assert host_check.check_clock(found, 100.0, 102.0)["state"] == state
