"""mailcow's ports are compared before and after a change; what is lost is a failure until it answers."""

from __future__ import annotations

import typing as t

import pytest
from ansible.plugins.action import ActionBase
from ansible_collections.vise.platform.plugins.action import mailcow_stack
from ansible_collections.vise.platform.plugins.plugin_utils import new_login, outside

PORTS = {"SMTP_PORT": "25", "IMAPS_PORT": "0.0.0.0:993", "POPS_PORT": "127.0.0.1:995", "DOVEADM_PORT": "19991"}
SMTP, IMAPS = outside.Target(25, "greeting"), outside.Target(993, "tls")
GREETING, SILENT = outside.Answer(outside.GREETING, "greeting '220'"), outside.Answer(outside.SILENT, "no answer")
CHANGED = {"changed": True, "actions": ["start postfix-mailcow"]}


class Action(mailcow_stack.ActionModule):
    """The action plugin, whose module returns given results."""

    def __init__(self, *results: dict[str, t.Any]) -> None:
        self.results, self.calls, self.shown = list(results), list[dict[str, t.Any]](), list[str]()
        self._display = self

    def display(self, text: str) -> None:
        """Show a text to the operator."""
        self.shown.append(text)

    def validate_argument_spec(self, spec: dict[str, t.Any]) -> tuple[None, dict[str, t.Any]]:
        """Return the arguments of the task."""
        assert "ports" in spec
        return None, {"ports": PORTS, "answers": None, "state": "started"}

    def _call(self, arguments: dict[str, t.Any], _task_vars: dict[str, t.Any] | None) -> dict[str, t.Any]:
        self.calls.append(arguments)
        return dict(self.results.pop(0))


@pytest.fixture
def probes(monkeypatch: pytest.MonkeyPatch) -> list[dict[outside.Target, outside.Answer]]:
    """Answers of the next probes; the last one repeats."""
    answers: list[dict[outside.Target, outside.Answer]] = []
    monkeypatch.setattr(ActionBase, "run", lambda *_given: {})
    monkeypatch.setattr(new_login, "read_address", lambda _action: "192.0.2.1")
    monkeypatch.setattr(outside, "PAUSE", 0)
    monkeypatch.setattr(outside, "probe", lambda *_given: answers.pop(0) if len(answers) > 1 else answers[0])
    return answers


def test_ports_are_those_that_mailcow_publishes_everywhere() -> None:
    assert mailcow_stack.list_targets(PORTS) == [SMTP, IMAPS]


@pytest.mark.usefixtures("probes")
def test_run_without_a_change_probes_nothing() -> None:
    action = Action({"changed": False, "actions": []})
    assert action.run() == {"changed": False, "actions": []}
    assert action.calls == [{"ports": PORTS}]


def test_change_is_confirmed_when_all_answer_as_before(probes: list[dict[outside.Target, outside.Answer]]) -> None:
    probes += [{SMTP: GREETING, IMAPS: SILENT}]
    action = Action({"awaited_answers": []}, CHANGED, {"changed": False})
    assert action.run() == {**CHANGED, "unreached": ["port 993"]}
    assert [call.get("state") for call in action.calls] == [None, "started", "confirmed"]
    assert outside.from_json(action.calls[1]["answers"])[SMTP] == GREETING
    assert len(action.shown) == 1


def test_port_that_is_lost_is_a_failure_and_stays_one(probes: list[dict[outside.Target, outside.Answer]]) -> None:
    probes += [{SMTP: GREETING}, {SMTP: SILENT}]
    result = Action({"awaited_answers": []}, CHANGED).run()
    assert result["failed"]
    assert "port 25 (before: greeting '220', now: no answer)" in result["msg"]
    # The next run finds no difference, but the answers from before the change.
    action = Action({"awaited_answers": outside.to_json({SMTP: GREETING})}, {"changed": False, "actions": []})
    assert action.run()["failed"]


@pytest.mark.usefixtures("probes")
def test_failure_of_mailcow_itself_is_the_result(probes: list[dict[outside.Target, outside.Answer]]) -> None:
    probes += [{SMTP: SILENT}]
    failure = {"failed": True, "msg": "vise-mailcow: mailcow does not work"}
    assert Action(failure).run() == failure
    assert Action({"awaited_answers": []}, failure).run() == failure
