"""A change is confirmed from outside; otherwise it is reverted, and the message names who or what has failed."""

from __future__ import annotations

import typing as t

import pytest
from ansible.errors import AnsibleConnectionFailure
from ansible.playbook.play_context import PlayContext
from ansible.plugins.loader import become_loader, connection_loader
from ansible_collections.vise.platform.plugins.plugin_utils import new_login, outside

CONFIRM = {"timeout": 60, "ports": [2222], "login": True, "advice": "Ask {user}."}
ARGUMENTS = {"name": "ssh", "generation": "g", "confirm": CONFIRM}
PORT, SITE = outside.Target(443), outside.Target(443, "site", "docs.example.org")
ACCEPTED, SILENT = outside.Answer(outside.ACCEPTED, "accepted"), outside.Answer(outside.SILENT, "no answer")
RESULT = {"changed": True, "actions": ["reload ssh.service"]}
CONFIRMED = {"confirmed": True, "changed": True, "msg": ""}
REVERTED = {"confirmed": False, "changed": True, "msg": "Rolled back, live."}


def open_ssh(port: int | None = None, name: str = "ssh") -> t.Any:
    connection = connection_loader.get(name, PlayContext())
    connection.set_options(
        direct={
            "host": "192.0.2.1",
            "remote_user": "ada",
            "port": port,
            "ssh_args": "-o ControlMaster=auto -o ControlPersist=60s",
            "ssh_common_args": "-S /shared",
            "private_key_file": "/key",
        }
        if name == "ssh"
        else {}
    )
    return connection


class Action:
    """An action plugin whose answers are given: by port of the connection, "open" for the open connection."""

    def __init__(self, answers: dict[t.Any, t.Any]) -> None:
        self._play_context = PlayContext()
        self._connection = open_ssh()
        self._display, self.shown = self, list[str]()
        self.answers, self.open, self.calls = answers, self._connection, list[tuple[t.Any, str]]()

    def display(self, text: str) -> None:
        """Show a text to the operator."""
        self.shown.append(text)

    def _execute_module(self, module_args: dict[str, str], **_more: t.Any) -> dict[str, t.Any]:
        key = "open" if self._connection is self.open else self._connection.get_option("port")
        self.calls.append((key, module_args["state"]))
        answer = self.answers[key]
        if isinstance(answer, Exception):
            raise answer
        return dict(answer)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait between logins."""
    monkeypatch.setattr(new_login, "PAUSE", 0)


def confirm(action: Action) -> dict[str, t.Any]:
    return new_login.confirm(action, ARGUMENTS, dict(RESULT), {"inventory_hostname": "web-1"})


def test_login_at_the_port_of_the_inventory_confirms() -> None:
    action = Action({None: CONFIRMED})
    assert confirm(action) == RESULT
    assert action.calls == [(None, "confirmed")]
    assert action._connection is action.open


def test_login_at_another_port_confirms_and_the_inventory_must_follow() -> None:
    action = Action({None: AnsibleConnectionFailure("refused"), 2222: CONFIRMED})
    result = confirm(action)
    assert result["login_port"] == 2222
    assert result["warnings"] == [
        "web-1 accepts logins at port 2222 now: set ansible_port: 2222 for it in the inventory"
    ]


def test_failed_login_reverts_by_the_open_connection_and_names_the_login_and_the_advice() -> None:
    refused = AnsibleConnectionFailure("Permission denied (publickey).")
    action = Action({None: refused, 2222: AnsibleConnectionFailure("No route"), "open": REVERTED})
    result = confirm(action)
    assert (result["failed"], result["changed"]) == (True, False)
    first, second, third = result["msg"].split("\n")
    assert "ssh: the new configuration was live, but no new login could confirm it" in first
    assert "ada@192.0.2.1, port 22: Permission denied (publickey).; ada@192.0.2.1, port 2222: No route" in first
    assert (second, third) == ("Rolled back, live.", "Ask ada.")
    assert action.calls[-1] == ("open", "reverted")
    # A port that refuses the user is not tried again.
    assert len(action.calls) == 1 + new_login.ATTEMPTS + 1


def test_login_without_the_rights_of_root_does_not_confirm() -> None:
    answer = {"failed": True, "module_stderr": "sudo: a password is required", "msg": "MODULE FAILURE"}
    result = confirm(Action({None: answer, 2222: answer, "open": REVERTED}))
    assert "sudo: a password is required" in result["msg"]


def test_change_that_the_host_has_reverted_is_not_tried_again() -> None:
    gone = {"confirmed": False, "msg": "the host has reverted it"}
    action = Action({None: gone, "open": REVERTED})
    assert "the host has reverted it" in confirm(action)["msg"]
    assert action.calls == [(None, "confirmed"), ("open", "reverted")]


def test_lost_connection_is_left_to_the_timer_of_the_host() -> None:
    lost = AnsibleConnectionFailure("timed out")
    result = confirm(Action({None: lost, 2222: lost, "open": lost}))
    assert "The host reverts the change itself, at most 60 s later." in result["msg"]


def test_new_connection_shares_nothing_with_the_open_one_but_its_login() -> None:
    old = open_ssh(22)
    old.set_become_plugin(become_loader.get("sudo"))
    new = new_login.open_connection(old, PlayContext(), 2222)
    command = [part.decode() for part in new._build_command("ssh", "ssh", "192.0.2.1")]
    # The first value counts.
    assert command[1:5] == ["-o", "ControlMaster=no", "-o", "ControlPath=none"]
    assert command[len(command) - command[::-1].index("-S")] == "none"
    assert {"Port=2222", 'User="ada"', 'IdentityFile="/key"'} <= set(command)
    assert not any(part.startswith("ControlPath=") and part != "ControlPath=none" for part in command)
    assert (new.become, new.get_option("reconnection_retries")) == (old.become, 0)
    assert old.get_option("port") == 22


def test_connection_without_ports_is_opened_again() -> None:
    old = open_ssh(name="local")
    assert new_login.read_port(old) is None
    assert new_login.open_connection(old, PlayContext(), None) is not old


@pytest.mark.parametrize("login", [True, False])
def test_what_answered_before_and_not_after_reverts_without_a_login(
    monkeypatch: pytest.MonkeyPatch, login: bool
) -> None:
    monkeypatch.setattr(outside, "PAUSE", 0)
    monkeypatch.setattr(outside, "probe", lambda _address, targets: dict.fromkeys(targets, SILENT))
    action = Action({"open": REVERTED})
    arguments = {**ARGUMENTS, "confirm": {**CONFIRM, "login": login}}
    before = {PORT: ACCEPTED, outside.Target(25): SILENT}
    result = new_login.confirm(action, arguments, dict(RESULT), {}, before)
    assert result["failed"]
    assert "gets other answers than before it: port 443 (before: accepted, now: no answer)" in result["msg"]
    assert result["msg"].endswith("Rolled back, live.\nAsk ada.")
    assert action.calls == [("open", "reverted")]


def test_what_the_controller_never_reached_is_only_reported() -> None:
    action = Action({None: CONFIRMED})
    before = {outside.Target(25): SILENT, SITE: ACCEPTED}
    result = new_login.confirm(action, ARGUMENTS, dict(RESULT), {}, before)
    assert result == {**RESULT, "unreached": ["port 25", "https://docs.example.org at port 443"]}
    assert len(action.shown) == 1
    assert "ssh: this controller did not reach port 25, https://docs.example.org" in action.shown[0]


def test_without_a_login_the_open_connection_confirms() -> None:
    action = Action({"open": CONFIRMED})
    arguments = {**ARGUMENTS, "confirm": {**CONFIRM, "login": False}}
    assert new_login.confirm(action, arguments, dict(RESULT), {}) == RESULT
    assert action.calls == [("open", "confirmed")]


def test_change_that_the_host_has_reverted_fails_without_a_login_too() -> None:
    action = Action({"open": {"confirmed": False, "msg": "the host has reverted it"}})
    arguments = {**ARGUMENTS, "confirm": {**CONFIRM, "login": False}}
    result = new_login.confirm(action, arguments, dict(RESULT), {})
    assert result["failed"]
    assert "it was not committed: the host has reverted it" in result["msg"]


def test_only_a_connection_by_ssh_has_an_address() -> None:
    action = Action({})
    assert new_login.read_address(action) == "192.0.2.1"
    action._connection = open_ssh(name="local")
    assert new_login.read_address(action) == ""


@pytest.mark.parametrize(
    ("port", "ports", "expected"),
    [(None, [22], [None]), (None, [2222], [None, 2222]), (22, [2222], [None, 2222]), (2222, [2222], [None])],
)
def test_ports_are_those_of_the_inventory_and_of_the_component(
    port: int | None, ports: list[int], expected: list[int | None]
) -> None:
    assert new_login.plan_attempts(port, ports) == expected * new_login.ATTEMPTS
