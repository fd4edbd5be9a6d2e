# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Print a report on the controller as it is, and write it to a file."""

from __future__ import annotations

import json
import os
import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.vise.platform.plugins.module_utils.host import files

ARGUMENT_SPEC: dict[str, dict[str, t.Any]] = {
    "text": {"type": "str", "required": True},
    "document": {"type": "dict", "required": True},
    "format": {"type": "str", "choices": ["text", "json"], "default": "text"},
    "file": {"type": "path"},
    "problem": {"type": "str", "default": ""},
}


class ActionModule(ActionBase):  # type: ignore[misc,unused-ignore]  # ansible-core ships no type hints
    """The print_report action."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Return the task's result."""
        super().run(tmp, task_vars)
        _result, arguments = self.validate_argument_spec(ARGUMENT_SPEC)
        document = json.dumps(arguments["document"], indent=1, sort_keys=True, default=str)
        self._display.display(document if arguments["format"] == "json" else f"\n{arguments['text']}\n")
        if arguments["file"]:
            try:
                files.replace_file(os.path.abspath(arguments["file"]), f"{document}\n", mode=0o644)
            except OSError as error:
                return {"failed": True, "msg": f"{arguments['file']} cannot be written: {error.strerror}"}
        problem = arguments["problem"]
        return {"failed": bool(problem), "changed": False, "msg": problem or "no problem"}
