"""Faults of the sandbox's S3 services, for one host of the scenario alone, since scenarios share them."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator

from tests import machines, scenario


def switch(service: str, fault: str) -> None:
    """Set a fault of a service for the scenario's first host; `none` ends it."""
    command = [sys.executable, "sandbox/sandbox.py", "fault", service, fault, scenario.ADDRESS, scenario.ADDRESS6]
    subprocess.run(command, cwd=machines.ROOT, check=True, capture_output=True)


@contextlib.contextmanager
def fault(service: str, kind: str) -> Iterator[None]:
    """Let a service fail for the scenario's first host."""
    switch(service, kind)
    try:
        yield
    finally:
        switch(service, "none")
