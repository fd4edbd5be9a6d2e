# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Derive the components that a host should have, then read its status by one module."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.vise.platform.plugins.module_utils import preflight_checks
from ansible_collections.vise.platform.plugins.module_utils.model import topology


class ActionModule(ActionBase):  # type: ignore[misc,unused-ignore]  # ansible-core ships no type hints
    """The host_status action."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Return the task's result."""
        super().run(tmp, task_vars)
        variables = task_vars or {}
        arguments = {"components": self._derive_components(variables), **self._task.args}
        result: dict[str, t.Any] = self._execute_module("vise.platform.host_status", arguments, task_vars=variables)
        return result

    def _derive_components(self, variables: dict[str, t.Any]) -> list[str]:
        """Return the components of the host; none if the sites cannot be evaluated.

        The status of a host is wanted also while its description has a fault, which preflight reports.
        """
        sites = self._evaluate("sites", variables, {})
        # Repositories that cannot be evaluated exist.
        backups = self._evaluate("backup_repositories", variables, True)
        try:
            found = preflight_checks.list_components({"sites": sites}, variables)
        except (topology.TopologyError, KeyError, TypeError, AttributeError):
            return []
        return [name for name in found if name != "pgbackrest" or backups]

    def _evaluate(self, name: str, variables: dict[str, t.Any], unknown: t.Any) -> t.Any:
        try:
            return self._templar.template(variables.get(name, {}))
        except AnsibleError:
            return unknown
