# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Take the lease of the host for this run; nothing is executed in check mode."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.vise.platform.plugins.plugin_utils import run_lease


class ActionModule(ActionBase):  # type: ignore[misc,unused-ignore]  # ansible-core ships no type hints
    """The run_lease action."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Return the task's result."""
        super().run(tmp, task_vars)
        return run_lease.take(self, task_vars or {})
