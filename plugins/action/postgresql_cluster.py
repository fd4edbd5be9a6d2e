# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Install the server's packages by apt between two executions of the module, when they are missing."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.vise.platform.plugins.action.component import APT
from ansible_collections.vise.platform.plugins.plugin_utils import apt_environment, taken_over

MODULE = "vise.platform.postgresql_cluster"


class ActionModule(ActionBase):  # type: ignore[misc,unused-ignore]  # ansible-core ships no type hints
    """The postgresql_cluster action."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Return the task's result."""
        super().run(tmp, task_vars)
        arguments = {**self._task.args, "take_over": taken_over.read_services(self, task_vars or {})}
        first = self._call(MODULE, arguments, task_vars)
        packages = first.pop("needs", None)
        if packages is None or first.get("failed"):
            return first
        installation = self._call("ansible.builtin.apt", {"name": packages, "state": "present", **APT}, task_vars)
        if installation.get("failed"):
            message = f"postgresql_cluster: apt failed: {installation.get('msg', installation)}"
            return {"failed": True, "msg": message, "actions": []}
        second = self._call(MODULE, arguments, task_vars)
        if "needs" in second:
            message = f"postgresql_cluster: the server is still missing after the installation of {packages}"
            return {"failed": True, "msg": message, "actions": []}
        actions = list(dict.fromkeys(first["actions"] + second.get("actions", [])))
        return {**second, "changed": True, "actions": actions}

    def _call(self, module: str, options: dict[str, t.Any], task_vars: dict[str, t.Any] | None) -> dict[str, t.Any]:
        with apt_environment.own_configuration(self._task, module):
            result: dict[str, t.Any] = self._execute_module(
                module_name=module, module_args=options, task_vars=task_vars
            )
        return result
