"""Record every module execution in the file VISE_EXECUTIONS, with the arguments and connection of each component."""

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
short_description: Record every module execution
description: [Also records the executions of action plugins, for which callbacks get no event.]
"""

LOCAL = {"localhost", "127.0.0.1"}


class CallbackModule(CallbackBase):  # type: ignore[misc]  # ansible-core ships no type hints
    """Wraps ActionBase._execute_module, which every execution calls; the workers are forked later and inherit it."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "executions"

    def __init__(self) -> None:
        super().__init__()
        execute = ActionBase._execute_module

        def execute_and_record(action: Any, *args: Any, **options: Any) -> Any:
            started = time.monotonic()
            result = execute(action, *args, **options)
            record(action, options, time.monotonic() - started)
            return result

        ActionBase._execute_module = execute_and_record


def record(action: Any, options: dict[str, Any], seconds: float) -> None:
    """Append one execution with a single write, because other workers append to the same file."""
    module = options.get("module_name") or action._task.action
    host = (options.get("task_vars") or {}).get("inventory_hostname", "")
    entry = {"host": "controller" if action._task.delegate_to in LOCAL else host, "module": module, "component": None}
    entry["seconds"] = seconds
    if module == "vise.platform.component":
        names = {"address": "host", "user": "remote_user", "key": "private_key_file"}
        connection = {name: action._connection.get_option(option) for name, option in names.items()}
        entry |= {"component": options.get("module_args"), "connection": connection}
    descriptor = os.open(os.environ["VISE_EXECUTIONS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, json.dumps(entry, default=str).encode() + b"\n")
    finally:
        os.close(descriptor)
