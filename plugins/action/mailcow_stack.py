# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Compare what mailcow's ports answer to the controller, before and after a change of its containers."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.vise.platform.plugins.modules.mailcow_stack import ANSWERS, ARGUMENT_SPEC
from ansible_collections.vise.platform.plugins.plugin_utils import new_login, outside

MODULE = "vise.platform.mailcow_stack"
# What a service sends first, by the variable of its port in mailcow.conf.
KINDS = {
    "SMTP_PORT": "greeting",
    "SMTPS_PORT": "tls",
    "SUBMISSION_PORT": "greeting",
    "IMAP_PORT": "greeting",
    "IMAPS_PORT": "tls",
    "POP_PORT": "greeting",
    "POPS_PORT": "tls",
    "SIEVE_PORT": "greeting",
}
EVERYWHERE = ("", "0.0.0.0", "[::]")  # noqa: S104  # it is compared


class ActionModule(ActionBase):  # type: ignore[misc,unused-ignore]  # ansible-core ships no type hints
    """Action plugin of the module mailcow_stack."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Run the module; when it would change something, probe the ports before and after it."""
        super().run(tmp, task_vars)
        _result, arguments = self.validate_argument_spec(ARGUMENT_SPEC)
        first = self._call({"ports": arguments["ports"]}, task_vars)
        earlier = first.pop("awaited_answers", None)
        if earlier is None or first.get("failed"):
            return first
        address = new_login.read_address(self)
        found = outside.probe(address, list_targets(arguments["ports"]))
        answers = outside.merge(found, outside.from_json(earlier))
        result = self._call({**arguments, "answers": outside.to_json(answers)}, task_vars)
        if result.get("failed"):
            return result
        lost = outside.find_lost(address, answers)
        if lost:
            return {**result, "failed": True, "msg": describe_failure(answers, lost)}
        done = self._call({**arguments, "answers": [], "state": "confirmed"}, task_vars)
        return done if done.get("failed") else {**result, **outside.report_unreached(self, "mailcow", answers)}

    def _call(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any] | None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars)
        result.pop("invocation", None)
        return result


def list_targets(ports: t.Mapping[str, t.Any]) -> list[outside.Target]:
    """Return the ports that mailcow publishes at all addresses, by its variables."""
    targets = []
    for name, kind in KINDS.items():
        address, _colon, port = str(ports.get(name, "")).rpartition(":")
        if address in EVERYWHERE and port.isdigit():
            targets.append(outside.Target(int(port), kind))
    return targets


def describe_failure(answers: outside.Answers, lost: outside.Answers) -> str:
    """Return which ports are lost, and what to do."""
    return (
        "mailcow works on its host, but this controller gets other answers than before the change: "
        f"{outside.describe_lost(answers, lost)}. Compare `docker ps` and the firewall of the host, and run again: "
        f"each run compares until they answer. If they must stay closed, remove {ANSWERS} on the host"
    )
