"""Note every module execution in the file that VISE_EXECUTIONS names, and what each component was asked for, where."""

from __future__ import annotations

import json
import os
import time
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: executions
type: aggregate
short_description: Note every module execution
description: [Counts what action plugins execute as well, which no event of a callback tells.]
"""

LOCAL = {"localhost", "127.0.0.1"}


class CallbackModule(CallbackBase):  # type: ignore[misc]  # ansible-core ships no type hints
    """Wraps the one place through which every execution goes; workers are forked later and inherit it."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "executions"

    def __init__(self) -> None:
        super().__init__()
        execute = ActionBase._execute_module

        def noted(action: Any, *args: Any, **options: Any) -> Any:
            begun = time.monotonic()
            result = execute(action, *args, **options)
            note(action, options, time.monotonic() - begun)
            return result

        ActionBase._execute_module = noted


def note(action: Any, options: dict[str, Any], seconds: float) -> None:
    """Append one execution, in one write: other workers append to the same file."""
    module = options.get("module_name") or action._task.action
    host = (options.get("task_vars") or {}).get("inventory_hostname", "")
    entry = {"host": "controller" if action._task.delegate_to in LOCAL else host, "module": module, "component": None}
    entry["seconds"] = seconds
    if module == "vise.platform.component":
        names = {"address": "host", "user": "remote_user", "key": "private_key_file"}
        way = {name: action._connection.get_option(option) for name, option in names.items()}
        entry |= {"component": options.get("module_args"), "way": way}
    descriptor = os.open(os.environ["VISE_EXECUTIONS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, json.dumps(entry, default=str).encode() + b"\n")
    finally:
        os.close(descriptor)
