"""Inject faults: `MODE` at every request, `MODE@N` only at the Nth request from now."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple

# 429, 500 and `busy` (a page with status 503) are answers without a change; `timeout` neither changes nor answers,
# `lost` changes and does not answer.
MODES = ("429", "500", "busy", "timeout", "lost")
# Answers that do not depend on the token's permissions: 403 as new zones give it at random, and the page of a firewall.
REFUSALS = ("403", "blocked")
RETRY_AFTER = 1


class Order(NamedTuple):
    """A fault and its time, so that the same fault given twice restarts the count."""

    text: str
    stamp: float


class Faults:
    """Counts the requests since the last order."""

    def __init__(self, order: Callable[[str], Order]) -> None:
        self.order = order
        self.last = Order("none", 0)
        self.seen = 0
        self.lock = threading.Lock()

    def at_request(self, client: str) -> str:
        """Return the fault of this request; empty when it has none."""
        order = self.order(client)
        mode, _at, number = order.text.partition("@")
        with self.lock:
            self.seen = 1 if order != self.last else self.seen + 1
            self.last = order
            applies = not number or self.seen == int(number)
        return mode if mode in (*MODES, *REFUSALS) and applies else ""
