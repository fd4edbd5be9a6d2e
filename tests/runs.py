"""The result of a run of ansible-playbook."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Run:
    """A run of ansible-playbook that has ended."""

    code: int
    output: str

    @property
    def changed(self) -> dict[str, int]:
        """Return how many tasks changed something, by host."""
        return {host: int(count) for host, count in re.findall(r"^(\S+)\s+: ok=.*changed=(\d+)", self.output, re.M)}

    @property
    def is_unchanged(self) -> bool:
        """Return whether no task on any host changed something."""
        return set(self.changed.values()) == {0}

    @property
    def tail(self) -> str:
        """Return the end of the output."""
        return self.output[-6000:]
