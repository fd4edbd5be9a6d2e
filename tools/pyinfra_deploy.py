"""A deploy of pyinfra: the operations that tools/counterparts.py wrote into the inventory, in their order."""

from __future__ import annotations

import importlib

from pyinfra import host

for name, arguments in host.data.todo:
    module, operation = name.split(".")
    getattr(importlib.import_module(f"pyinfra.operations.{module}"), operation)(**arguments)
