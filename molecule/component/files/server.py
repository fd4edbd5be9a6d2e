#!/usr/bin/python3
"""A minimal service: reads its configuration at start and on SIGHUP, and writes what it runs with."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path


def load(*_signal: object) -> None:
    """Read the configuration and write the generation that is live."""
    settings = json.loads(Path("/etc/demo/demo.json").read_text())
    if settings.get("crash"):
        sys.exit("the configuration says crash")
    if not settings.get("deaf"):
        Path("/run/demo/live").write_text(f"{settings['generation']} {settings['marker']}\n")


load()
signal.signal(signal.SIGHUP, load)
while True:
    signal.pause()
