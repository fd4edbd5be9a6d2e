"""The action plugin: it runs apt between two executions only when a package is missing."""

from __future__ import annotations

import typing as t

import pytest
from ansible.plugins.action import ActionBase
from ansible_collections.vise.platform.plugins.action import postgresql_cluster

MISSING = {"changed": True, "actions": ["install postgresql-17", "create the cluster"], "needs": ["postgresql-17"]}


class Task:
    args: t.ClassVar[dict[str, t.Any]] = {"version": "17"}


class Action(postgresql_cluster.ActionModule):  # type: ignore[misc,unused-ignore]
    """The action without Ansible: it records the called modules and answers from a list."""

    def __init__(self, *answers: dict[str, t.Any]) -> None:
        self.answers, self.called, self._task = list(answers), list[str](), Task()

    def _call(self, module: str, _options: dict[str, t.Any], _vars: dict[str, t.Any] | None) -> dict[str, t.Any]:
        self.called.append(module.rsplit(".", 1)[-1])
        return dict(self.answers.pop(0))


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ActionBase, "run", lambda *_args, **_more: {})


def test_installed_server_needs_one_execution() -> None:
    action = Action({"changed": False, "actions": []})
    assert action.run() == {"changed": False, "actions": []}
    assert action.called == ["postgresql_cluster"]


def test_packages_are_installed_between_two_executions() -> None:
    action = Action(MISSING, {"changed": True}, {"changed": True, "actions": ["create the cluster"]})
    assert action.run() == {"changed": True, "actions": ["install postgresql-17", "create the cluster"]}
    assert action.called == ["postgresql_cluster", "apt", "postgresql_cluster"]


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ([MISSING, {"failed": True, "msg": "no such package"}], "apt failed: no such package"),
        ([MISSING, {"changed": False}, MISSING], "still missing"),
        ([MISSING, {"changed": True}, {"failed": True, "msg": "fenced"}], "fenced"),
        ([{"failed": True, "msg": "fenced"}], "fenced"),
    ],
)
def test_failure_is_reported(answers: list[dict[str, t.Any]], message: str) -> None:
    result = Action(*answers).run()
    assert result["failed"]
    assert message in result["msg"]
