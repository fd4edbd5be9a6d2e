# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Confirm a change from outside: what answered still answers, and a new login works as the next run will need it."""

from __future__ import annotations

import contextlib
import time
import typing as t

from ansible.errors import AnsibleError
from ansible.plugins.loader import connection_loader
from ansible_collections.vise.platform.plugins.plugin_utils import outside

MODULE = "vise.platform.component_confirmation"
# A reload closes sshd's port for a moment.
ATTEMPTS, PAUSE, CONNECT_TIMEOUT = 2, 3, 8  # times, seconds, seconds
# sshd refuses the user; another attempt would only make it slow down this address.
REFUSED = "Permission denied"
# The first value that OpenSSH reads counts, so these precede the values of the operator.
OWN_CONNECTION = "-o ControlMaster=no -o ControlPath=none"


def confirm(
    action: t.Any,
    arguments: dict[str, t.Any],
    result: dict[str, t.Any],
    task_vars: dict[str, t.Any],
    answers: outside.Answers | None = None,
) -> dict[str, t.Any]:
    """Confirm a component's change; return the result of the task, failed when the host reverts.

    Args:
        action: the action plugin, with the open connection.
        arguments: the component's arguments.
        result: the result of the change.
        task_vars: the variables of the task.
        answers: what ports and sites answered before the change.
    """
    identity = {"name": arguments["name"], "generation": arguments["generation"]}
    answers = answers or {}
    lost = outside.find_lost(read_address(action), answers)
    if lost:
        problem = f"this controller gets other answers than before it: {outside.describe_lost(answers, lost)}"
        return _fail(action, arguments, identity, problem, task_vars)
    more = outside.report_unreached(action, arguments["name"], answers)
    call = {"module_name": MODULE, "module_args": {**identity, "state": "confirmed"}, "task_vars": task_vars}
    if not arguments["confirm"]["login"]:
        answer = action._execute_module(**call)
        if answer.get("confirmed"):
            return {**result, **more}
        return _fail(action, arguments, identity, f"it was not committed: {_explain(answer)}", task_vars)
    failures: dict[int | None, str] = {}
    for port in plan_attempts(read_port(action._connection), arguments["confirm"]["ports"]):
        if REFUSED in failures.get(port, ""):
            continue
        answer = _try_login(action, port, call)
        if answer.get("confirmed"):
            return {**result, **_describe_port(port, task_vars), **more}
        failures[port] = f"{_name_login(action, port)}: {_explain(answer)}"
        if "confirmed" in answer:
            break
    problem = f"no new login could confirm it: {'; '.join(failures.values())}"
    return _fail(action, arguments, identity, problem, task_vars)


def _fail(
    action: t.Any, arguments: dict[str, t.Any], identity: dict[str, str], problem: str, task_vars: dict[str, t.Any]
) -> dict[str, t.Any]:
    """Revert the change; return the failure of the task."""
    msg = f"{arguments['name']}: the new configuration was live, but {problem}"
    advice = arguments["confirm"]["advice"].replace("{user}", str(read_user(action._connection)))
    outcome = _revert(action, identity, arguments["confirm"]["timeout"], task_vars)
    return {"failed": True, "changed": False, "msg": "\n".join(filter(None, [msg, outcome, advice])), "actions": []}


def plan_attempts(port: int | None, ports: t.Sequence[int]) -> list[int | None]:
    """Return the port of each login to try, in order; None is the port of the inventory."""
    others = [other for other in ports if other != (port or 22)]
    return [None, *others] * ATTEMPTS


def open_connection(connection: t.Any, play_context: t.Any, port: int | None) -> t.Any:
    """Return a new connection with the options of an open one, which it does not share.

    Args:
        connection: the open connection.
        play_context: the play context of the action plugin.
        port: port of the login; None for the one of the inventory.
    """
    new = connection_loader.get(connection.ansible_name or connection._load_name, play_context)
    options = connection.get_options()
    changed: dict[str, t.Any] = {
        "ssh_args": f"{OWN_CONNECTION} {options.get('ssh_args') or ''}".strip(),
        # The last -S counts.
        "ssh_extra_args": f"{options.get('ssh_extra_args') or ''} -S none".strip(),
        "reconnection_retries": 0,
        "timeout": CONNECT_TIMEOUT,
        "port": port or options.get("port"),
    }
    new.set_options(direct={**options, **{name: value for name, value in changed.items() if name in options}})
    # The same shell and the same way to become root.
    new._shell = connection._shell
    new.set_become_plugin(connection.become)
    return new


def read_port(connection: t.Any) -> int | None:
    """Return the port of a connection; None when it has no such option or the client chooses it."""
    return t.cast("int | None", _read_option(connection, "port"))


def read_user(connection: t.Any) -> str | None:
    """Return the user of a connection; None when the client chooses it."""
    return t.cast("str | None", _read_option(connection, "remote_user"))


def _read_option(connection: t.Any, name: str) -> t.Any:
    return connection.get_option(name) if connection.has_option(name) else None


def _try_login(action: t.Any, port: int | None, call: dict[str, t.Any]) -> dict[str, t.Any]:
    try:
        with _replaced_connection(action, port):
            answer: dict[str, t.Any] = action._execute_module(**call)
    except AnsibleError as error:
        if REFUSED not in str(error):
            time.sleep(PAUSE)
        return {"msg": str(error)}
    return answer


@contextlib.contextmanager
def _replaced_connection(action: t.Any, port: int | None) -> t.Iterator[None]:
    old = action._connection
    new = open_connection(old, action._play_context, port)
    action._connection = new
    try:
        yield
    finally:
        action._connection = old
        new.close()


def _revert(action: t.Any, identity: dict[str, str], timeout: int, task_vars: dict[str, t.Any]) -> str:
    """Revert by the open connection; return the outcome as a sentence."""
    later = f"The host reverts the change itself, at most {timeout} s later."
    try:
        arguments = {**identity, "state": "reverted"}
        answer = action._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars)
    except AnsibleError as error:
        return f"{later} The open connection failed too: {error}"
    return f"{later} {_explain(answer)}" if answer.get("failed") else str(answer.get("msg", ""))


def _describe_port(port: int | None, task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
    if port is None:
        return {}
    name = task_vars.get("inventory_hostname", "this host")
    advice = f"{name} accepts logins at port {port} now: set ansible_port: {port} for it in the inventory"
    return {"login_port": port, "warnings": [advice]}


def read_address(action: t.Any) -> str:
    """Return the address of a login by SSH; empty for other connections, which prove nothing about ports."""
    if action._connection.transport not in ("ssh", "paramiko", "paramiko_ssh"):
        return ""
    return str(_read_option(action._connection, "host") or action._play_context.remote_addr or "")


def _name_login(action: t.Any, port: int | None) -> str:
    connection = action._connection
    address = _read_option(connection, "host") or action._play_context.remote_addr
    return f"{read_user(connection) or 'user'}@{address}, port {port or read_port(connection) or 22}"


def _explain(answer: dict[str, t.Any]) -> str:
    parts = (str(answer.get(key) or "").strip() for key in ("msg", "module_stderr", "module_stdout"))
    return " ".join(" ".join(filter(None, parts)).split())[-600:]
