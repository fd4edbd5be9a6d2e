"""A pyinfra deploy: runs the operations that counterparts.py wrote to the inventory, in order."""

from __future__ import annotations

import importlib

from pyinfra import host

for name, arguments in host.data.operations:
    module, operation = name.split(".")
    getattr(importlib.import_module(f"pyinfra.operations.{module}"), operation)(**arguments)
