"""Failing on demand: `MODE` at every request, `MODE@N` at the Nth from now alone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple

# 429 and 500 answer so, and do nothing; `timeout` neither acts nor answers, `lost` acts and does not answer.
MODES = ("429", "500", "timeout", "lost")
RETRY_AFTER = 1


class Order(NamedTuple):
    """How to fail, and since when it was said so, so that the same order given twice counts anew."""

    text: str
    stamp: float


class Faults:
    """Counts requests since an order was given."""

    def __init__(self, order: Callable[[str], Order]) -> None:
        self.order = order
        self.last = Order("none", 0)
        self.seen = 0
        self.lock = threading.Lock()

    def at_request(self, client: str) -> str:
        """Return how this request is to fail; empty when it is not."""
        order = self.order(client)
        mode, _at, number = order.text.partition("@")
        with self.lock:
            self.seen = 1 if order != self.last else self.seen + 1
            self.last = order
            meant = not number or self.seen == int(number)
        return mode if mode in MODES and meant else ""
