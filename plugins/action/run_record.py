# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""End the lease of this run on a host and record its changes; nothing is executed on a host without a lease."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.vise.platform.plugins.plugin_utils import run_lease, run_records


class ActionModule(ActionBase):  # type: ignore[misc,unused-ignore]  # ansible-core ships no type hints
    """The run_record action."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Return the task's result."""
        super().run(tmp, task_vars)
        task_vars = task_vars or {}
        host = task_vars["inventory_hostname"]
        changes = run_records.read_changes(run_lease.find_directory()).get(host, [])
        if self._task.check_mode or not (changes or run_lease.is_used(host)):
            return {"changed": False}
        lease = run_lease.identify(self, task_vars)
        record = run_records.build(lease, task_vars.get("inventory_dir") or ".", {host: changes}) if changes else {}
        arguments = {"run": lease["run"], "record": record}
        result: dict[str, t.Any] = self._execute_module("vise.platform.run_record", arguments, task_vars=task_vars)
        result.pop("invocation", None)
        if not (result.get("failed") or result.get("unreachable")):
            run_lease.unmark_used(host)
        return result
